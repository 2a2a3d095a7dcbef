"""Every topic, declared once: name, schema, partitions, retention. `callstream topics apply` creates them."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.call_rated import CallRated
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.message import Message
from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.rules_published import RulesPublished
from schemas.messages.transcript import Transcript

M = TypeVar("M", bound=Message)

DAY_MS = 24 * 60 * 60 * 1000
MAX_MESSAGE_BYTES = Message.max_bytes
"""The largest message of any topic: what clients and brokers must be able to carry."""

RECORD_OVERHEAD_BYTES = 64 * 1024
"""What key, headers and framing add to a message."""


@dataclass(frozen=True)
class Topic(Generic[M]):
    """A Kafka topic and the one message type that flows in it.

    Messages about a call are keyed by `<tenant_id>/<call_id>`; dead letters by their own id, because some know no call;
    rules by pack and version. Alerts of surges are of no one call and have their own id in its place;
    deliveries have that of their alert, accesses their own.
    """

    name: str
    message: type[M]
    purpose: str
    partitions: int = 12
    retention_ms: int = 30 * DAY_MS
    compacted: bool = False

    def decode(self, raw: bytes | None) -> M:
        """Raises `InvalidMessageError`."""
        return self.message.decode(raw)

    def config(self) -> dict[str, str]:
        """Topic-level settings as Kafka names them."""
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.message.max_bytes + RECORD_OVERHEAD_BYTES),
        }


CALLS_ENDED = Topic("calls.ended.v1", CallEnded, "a call is over and its recording is durable")
CALLS_TRANSCRIBED = Topic(
    "calls.transcribed.v1",
    Transcript,
    "what was said; kept long, because history is judged again from it",
    retention_ms=400 * DAY_MS,
)
CALLS_ANALYZED = Topic("calls.analyzed.v1", CallAnalysis, "the judgement of a call, its terminal outcome included")
CALLS_REANALYZED = Topic(
    "calls.reanalyzed.v1",
    CallAnalysis,
    "history judged again by `callstream replay`: the lane beside calls.analyzed.v1 that live traffic never waits for",
    retention_ms=7 * DAY_MS,
)
CALLS_RATED = Topic(
    "calls.rated.v1",
    CallRated,
    "what is known of a call only after it: satisfaction, whether it was settled, state of the order, CRM data",
    retention_ms=400 * DAY_MS,
)
ALERTS_RAISED = Topic("alerts.raised.v1", Alert, "what subscribers must hear of, with its evidence")
RULES_PUBLISHED = Topic(
    "rules.published.v1",
    RulesPublished,
    "rule packs, every version under its own key; in force is the highest",
    partitions=1,
    retention_ms=-1,
    compacted=True,
)
ALERTS_DELIVERED = Topic(
    "alerts.delivered.v1", AlertDelivery, "what became of each alert at each subscriber, attempt by attempt"
)
RECORDINGS_ACCESSED = Topic(
    "recordings.accessed.v1",
    RecordingAccessed,
    "who looked for, read, heard, exported or deleted what; kept longer than the year that it must be",
    partitions=1,
    retention_ms=400 * DAY_MS,
)
CALLS_DEAD_LETTERS = Topic(
    "calls.dead_letters.v1",
    DeadLetter,
    "messages that can never be processed",
    partitions=1,
    retention_ms=400 * DAY_MS,
)

AnyTopic = (
    Topic[CallEnded]
    | Topic[Transcript]
    | Topic[CallAnalysis]
    | Topic[CallRated]
    | Topic[Alert]
    | Topic[RulesPublished]
    | Topic[AlertDelivery]
    | Topic[RecordingAccessed]
    | Topic[DeadLetter]
)

TOPICS: tuple[AnyTopic, ...] = (
    CALLS_ENDED,
    CALLS_TRANSCRIBED,
    CALLS_ANALYZED,
    CALLS_REANALYZED,
    CALLS_RATED,
    ALERTS_RAISED,
    RULES_PUBLISHED,
    ALERTS_DELIVERED,
    RECORDINGS_ACCESSED,
    CALLS_DEAD_LETTERS,
)


def message_key(tenant_id: str, call_id: str) -> bytes:
    """The Kafka key of everything about one call: all of it goes to one partition, in order."""
    return f"{tenant_id}/{call_id}".encode()


def alert_key(alert: Alert) -> bytes:
    """The Kafka key of an alert: that of its call; of one that is about no call, its own id in place of the call's."""
    return message_key(alert.tenant_id, alert.call_id or alert.alert_id)
