"""Every topic, declared once: name, schema, partitions, retention. `callstream topics apply` creates them.

How many partitions there are, and how long they are kept, is what one machine needs; a cluster has a file of its own
(`schemas/config/topics_file.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, Literal, TypeVar

from schemas.errors import InvalidMessageError, UnreadableBatchError
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.audit_checkpoint import AuditCheckpoint
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.call_listed import CallListed
from schemas.messages.call_rated import CallRated
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.fact_received import FactReceived
from schemas.messages.message import Message
from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.transcript import Transcript
from schemas.messages.transcript_received import TranscriptReceived
from schemas.messages.verdict_given import VerdictGiven

M = TypeVar("M", bound=Message)

DAY_MS = 24 * 60 * 60 * 1000
MASKED_DAYS = 7
"""So long Kafka keeps masked text, unless the setting `kafka_masked_days` says otherwise."""

SEGMENT_DAYS = 7
"""After so many days brokers close a file of a topic, unless they are told otherwise."""

MAX_MESSAGE_BYTES = Message.max_bytes
"""The largest message of any topic: what clients and brokers must be able to carry."""

RECORD_OVERHEAD_BYTES = 64 * 1024
"""What key, headers and framing add to a message."""


def message_key(tenant_id: str, call_id: str) -> bytes:
    """The Kafka key of everything about one call: all of it goes to one partition, in order."""
    return f"{tenant_id}/{call_id}".encode()


def key_of_call(message: Any) -> bytes:
    """The key of a message about one call."""
    return message_key(message.tenant_id, message.call_id)


def key_of_alert(alert: Alert) -> bytes:
    """That of its call; an alert that is about no call has its own id in place of the call's."""
    return message_key(alert.tenant_id, alert.call_id or alert.alert_id)


def key_of_custody(event: CustodyChanged) -> bytes:
    """That of its call; an event that is about no call has its own id in place of the call's."""
    return f"{event.tenant_id}/{event.call_id or event.event_id}".encode()


def key_of_fact(fact: FactReceived) -> bytes:
    """All that is told of one thing goes to one partition, in order. A digest: what it is made of may be personal."""
    return sha256(f"{fact.tenant_id}/{fact.entity}/{fact.key}".encode()).hexdigest().encode()


@dataclass(frozen=True)
class Topic(Generic[M]):
    """A Kafka topic, the one message type that flows in it, and the key under which each message is written.

    What is about a call is keyed by `<tenant_id>/<call_id>`; `key_means` says what other keys are.
    """

    name: str
    message: type[M]
    purpose: str
    key: Callable[[M], bytes] = key_of_call
    key_means: str = "<tenant_id>/<call_id>"
    key_pattern: str | None = None
    """Of keys that are neither a call's nor an id, as a regular expression."""
    partitions: int = 12
    """Where the file of topics says nothing else (`schemas/config/topics_file.py`). One: it is read whole, by workers
    that would not see another, or in one order; no file changes that."""
    retention_ms: int = 30 * DAY_MS
    segment_ms: int | None = None
    """A file of the topic is closed after this long: what is in an open one is not deleted, however old. None: as the
    brokers say, which is after seven days or a gigabyte."""
    masked_text: bool = False
    """It says what was said, masked: kept for as long as the setting `kafka_masked_days` says, usually 7 days, because
    Kafka's disks hold it as it is. It stays in ClickHouse and, sealed, in the object store."""
    kept_with: str = ""
    """What lies elsewhere and is kept for the same time: then no file says another one."""
    from_outside: bool = False
    """Programs other than callstream write here: unknown fields are refused (ADR 0027). Between our own stages they
    are ignored, so that workers of two releases run side by side."""

    never_again: str = ""
    """Why a message of it that was refused is not published again; empty where it may be."""

    @property
    def is_one_order(self) -> bool:
        """Whether it has one partition for good."""
        return self.partitions == 1

    def decode(self, raw: bytes | None) -> M:
        """Raises `InvalidMessageError`."""
        return self.message.decode(raw, from_outside=self.from_outside)

    def read(self, record: ConsumerRecord) -> M:
        """The message of a record. Raises `InvalidMessageError`."""
        if record.unreadable:
            raise UnreadableBatchError([record.unreadable])
        return self.decode(record.value)

    def record(self, message: M) -> ProducerRecord:
        """The message as it is written to this topic.

        Raises `InvalidMessageError` for one that is larger than its topic takes.
        """
        value = message.encode()
        if len(value) > self.message.max_bytes:
            raise InvalidMessageError([f"the message is larger than {self.name} takes"])
        return ProducerRecord(self.name, self.key(message), value)

    def config(self, masked_days: int = MASKED_DAYS, retention_days: int | None = None) -> dict[str, str]:
        """Topic-level settings as Kafka names them, those aside that depend on the brokers.

        `retention_days`: how long it is kept where that is not as declared; of topics with masked text `masked_days`
        says it.
        """
        retention_ms, segment_ms = self.retention_ms, self.segment_ms
        if retention_days is not None:
            retention_ms = retention_days * DAY_MS
            if retention_days <= SEGMENT_DAYS:
                segment_ms = DAY_MS
        if self.masked_text:
            retention_ms, segment_ms = masked_days * DAY_MS, DAY_MS
        return {
            # By a producer's clock, retention would delete what was written today and is stamped 60 days old.
            "message.timestamp.type": "LogAppendTime",
            # Never "compact": whoever may write a key could then take away what others wrote under it.
            "cleanup.policy": "delete",
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(self.message.max_bytes + RECORD_OVERHEAD_BYTES),
            **({"segment.ms": str(segment_ms)} if segment_ms is not None else {}),
        }


CALLS_ENDED = Topic("calls.ended.v1", CallEnded, "a call is over and its recording is durable", from_outside=True)
CALLS_BACKFILLED = Topic(
    "calls.backfilled.v1",
    CallEnded,
    "a past call whose recording was taken in in bulk: the lane beside calls.ended.v1 that live calls never wait for",
    from_outside=True,
)
CALLS_REANNOUNCED = Topic(
    "calls.reannounced.v1",
    CallEnded,
    "a call that is to be heard once more, by another recogniser: the lane for what is done again",
    from_outside=True,
)
CALLS_LISTED = Topic(
    "calls.listed.v1",
    CallListed,
    "a call that the exchange's own list has, against which completeness is reconciled",
    retention_ms=30 * DAY_MS,
    from_outside=True,
)
TRANSCRIPTS_RECEIVED = Topic(
    "transcripts.received.v1",
    TranscriptReceived,
    "a call that was written down elsewhere, sealed in the object store; kept only until it is surely masked",
    retention_ms=3 * DAY_MS,
    segment_ms=DAY_MS // 4,
    kept_with="the sealed originals in the object store",
    from_outside=True,
)
CALLS_TRANSCRIBED = Topic(
    "calls.transcribed.v1",
    Transcript,
    "what was said, masked; history is judged again from the object store",
    masked_text=True,
)
CALLS_ANALYZED = Topic(
    "calls.analyzed.v1",
    CallAnalysis,
    "the judgement of a call, its terminal outcome included",
    masked_text=True,
)
CALLS_REANALYZED = Topic(
    "calls.reanalyzed.v1",
    CallAnalysis,
    "calls judged again by `callstream replay`, or with what a second reader found: the lane beside calls.analyzed.v1 "
    "that live traffic never waits for",
    masked_text=True,
)
CALLS_RATED = Topic(
    "calls.rated.v1",
    CallRated,
    "what is known of a call only after it: satisfaction, whether it was settled, state of the order, CRM data",
    retention_ms=400 * DAY_MS,
    from_outside=True,
)
FACTS_RECEIVED = Topic(
    "facts.received.v1",
    FactReceived,
    "what other systems know of orders, customers, agents and courses, as of a moment; their systems keep it",
    key=key_of_fact,
    key_means="SHA-256 of <tenant_id>/<entity>/<key>",
    key_pattern=r"^[0-9a-f]{64}$",
    retention_ms=7 * DAY_MS,
    segment_ms=DAY_MS,
    from_outside=True,
)
VERDICTS_GIVEN = Topic(
    "verdicts.given.v1",
    VerdictGiven,
    "what people say of calls and findings: worth hearing, right, wrong, missed",
    retention_ms=400 * DAY_MS,
    from_outside=True,
)
ALERTS_RAISED = Topic(
    "alerts.raised.v1",
    Alert,
    "what subscribers must hear of, with its evidence",
    masked_text=True,
    key=key_of_alert,
    key_means="<tenant_id>/<call_id>; <tenant_id>/<alert_id> where no single call is meant",
    never_again="subscribers would be told of it again; judge the call again with `callstream replay --alerts`",
)
RULES_PUBLISHED = Topic(
    "rules.published.v1",
    RulesPublished,
    "rule packs, every version, kept forever; in force is the highest",
    key=lambda published: published.key(),
    key_means="<tenant_id>/<pack>@<version>+<SHA-256 of the pack>; * in place of a tenant for all",
    key_pattern=r"^(\*|[a-z][a-z0-9_-]*)/[a-z][a-z0-9_]*@[0-9]+(\+[0-9a-f]{64})?$",
    partitions=1,
    retention_ms=-1,
    never_again="rules come into force by `callstream rules publish` alone",
)
ALERTS_DELIVERED = Topic(
    "alerts.delivered.v1",
    AlertDelivery,
    "what became of each alert at each subscriber, attempt by attempt",
    key=lambda delivery: delivery.alert_id.encode(),
    key_means="alert_id",
)
RECORDINGS_ACCESSED = Topic(
    "recordings.accessed.v1",
    RecordingAccessed,
    "who looked for, read, heard, exported or deleted what; kept longer than the year that it must be",
    key=lambda access: access.access_id.encode(),
    key_means="access_id",
    partitions=1,
    retention_ms=400 * DAY_MS,
    never_again="only the worker `relay` says what the audit log has",
)
CUSTODY_CHANGED = Topic(
    "custody.changed.v1",
    CustodyChanged,
    "what became of recordings and keys: taken in, removed, wrapped anew, destroyed",
    key=key_of_custody,
    key_means="<tenant_id>/<call_id>; <tenant_id>/<event_id> where no single call is meant; * in place of a tenant for "
    "all",
    key_pattern=r"^(\*|[a-z][a-z0-9_-]*)/[A-Za-z0-9][A-Za-z0-9._:@-]*$",
    retention_ms=400 * DAY_MS,
    never_again="only the worker `relay` says what has changed in the register",
)
AUDIT_CHECKPOINTS = Topic(
    "audit.checkpoints.v1",
    AuditCheckpoint,
    "what was signed of the audit log, kept for ever: by it a log that was cut or written anew is found",
    key=lambda checkpoint: str(checkpoint.size).encode(),
    key_means="how many entries it was signed over",
    key_pattern=r"^[0-9]+$",
    partitions=1,
    retention_ms=-1,
    never_again="only the worker `audit` says what it has signed",
)
CALLS_DEAD_LETTERS = Topic(
    "calls.dead_letters.v1",
    DeadLetter,
    "messages that can never be processed",
    key=lambda letter: letter.dead_letter_id.encode(),
    key_means="dead_letter_id",
    partitions=1,
    retention_ms=400 * DAY_MS,
    never_again="a letter about a letter would be refused as well; `store` writes it once its table takes it",
)

Lane = Literal["live", "backfill", "redo"]
"""How urgent it is that a call is heard."""

LANES: Mapping[Lane, Topic[CallEnded]] = {
    "live": CALLS_ENDED,
    "backfill": CALLS_BACKFILLED,
    "redo": CALLS_REANNOUNCED,
}
"""Each has a topic of its own, because a log is read in its order. All must have the same number of partitions: what is
announced of one call then comes to one worker, whatever the lane."""

LANE_OF: Mapping[str, Lane] = {topic.name: lane for lane, topic in LANES.items()}
"""By the name of the topic."""

AnyTopic = Topic[Any]

TOPICS: tuple[AnyTopic, ...] = tuple(each for each in globals().values() if isinstance(each, Topic))
"""Every topic of this file, in its order."""
