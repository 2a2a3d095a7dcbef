"""Which refused message may be published again: what is looked at before anything is written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from schemas.errors import InvalidMessageError
from schemas.messages.call_ended import CallEnded
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, call_of_key
from schemas.messages.topics import TOPICS, AnyTopic

LetterState = Literal["open", "retried", "resolved", "discarded", "purged"]
"""As the view `dead_letters` has it."""

LETTER_STATES: tuple[LetterState, ...] = get_args(LetterState)

Hindrance = Literal[
    "handled",
    "purged",
    "foreign_topic",
    "never_again",
    "forged",
    "quarantined",
    "gone",
    "unreadable",
    "another_message",
    "another_tenant",
    "too_large",
]
"""Why a message is not published again."""

ADVICE: Mapping[Hindrance, str] = {
    "handled": "somebody has published it again or discarded it meanwhile",
    "purged": "its call was destroyed: nothing of it comes back",
    "foreign_topic": "no stage of this release by that name reads that topic: discard it, or upgrade",
    "never_again": "messages of its topic are not published again",
    "forged": "no stage of ours wrote the letter: see who may write to calls.dead_letters.v1",
    "quarantined": "it was refused after every retry: mend the cause, then say --again-anyway, or discard it",
    "gone": "Kafka keeps it no more",
    "unreadable": "it has no value, or the batch that it lies in cannot be read: have its producer send it again",
    "another_message": "another message lies at its place: the topic was made anew; have its producer send it again",
    "another_tenant": "the message is of another tenant than its letter says: see who may write to the topic",
    "too_large": "Kafka takes no message of its size any more: raise max.message.bytes of the topic",
}

GONE_ADVICE: Mapping[str, str] = {
    "calls.ended.v1": "Kafka keeps it no more. Its recording is in the object store: have telephony announce the call "
    "again, or publish it with `callstream publish RECORDING --meta FACTS --call-id …`; a call that is known by now "
    "needs nothing: discard the letter",
    "transcripts.received.v1": "Kafka keeps it no more, and the sealed text has gone with it: send the transcript "
    "again with `callstream publish --transcript`",
    "calls.transcribed.v1": "Kafka keeps it no more, and no transcript of the call lies in the object store: publish "
    "the recording again",
    "calls.rated.v1": "Kafka keeps it no more: tell it again with `callstream rate`",
    "facts.received.v1": "Kafka keeps it no more: import it again with `callstream facts import`",
    "verdicts.given.v1": "Kafka keeps it no more: import it again with `callstream verdicts import`",
    "calls.listed.v1": "Kafka keeps it no more: import the list again with `callstream cdr import`",
    "calls.analyzed.v1": "Kafka keeps it no more: judge the call again with `callstream replay`",
    "calls.reanalyzed.v1": "Kafka keeps it no more: judge the call again with `callstream replay`",
}
"""What is right instead, by topic, those of other lanes aside, where retention has deleted the message."""


@dataclass(frozen=True)
class StoredLetter:
    """A dead letter as ClickHouse has it, and its state."""

    letter: DeadLetter
    state: LetterState

    @property
    def position(self) -> str:
        """`topic/partition/offset` of the message."""
        letter = self.letter
        return f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}"


_TOPIC_OF: Mapping[str, AnyTopic] = {topic.name: topic for topic in TOPICS}


def hindrance_of_letter(
    stored: StoredLetter, reads: Mapping[str, frozenset[str]], most_retries: int, *, again_anyway: bool
) -> Hindrance | None:
    """By the letter alone. `reads` is stage → names of the topics that it reads."""
    letter = stored.letter
    if stored.state == "purged":
        return "purged"
    if letter.source_topic not in reads.get(letter.step, ()):
        return "foreign_topic"
    place = letter.step, letter.source_topic, letter.source_partition, letter.source_offset
    if letter.dead_letter_id != DeadLetter.id_of(*place):
        return "forged"
    if _TOPIC_OF[letter.source_topic].never_again:
        return "never_again"
    if letter.retries >= most_retries and not again_anyway:
        return "quarantined"
    return None


def hindrance_of_record(letter: DeadLetter, record: ConsumerRecord | None) -> Hindrance | None:
    """By what lies at the place of the letter: it must be the very message that was refused, and of the same tenant."""
    if record is None:
        return "gone"
    if record.unreadable or record.value is None:
        return "unreadable"
    if letter.value_sha256 is not None and sha256(record.value).hexdigest() != letter.value_sha256:
        return "another_message"
    if letter.tenant_id is not None and tenants_of(record) - {letter.tenant_id}:
        return "another_tenant"
    return None


def tenants_of(record: ConsumerRecord) -> set[str]:
    """Those that the key and the message name."""
    tenants: set[str] = set()
    if (call := call_of_key(record.key)) is not None:
        tenants.add(call[0])
    try:
        message = _TOPIC_OF[record.topic].read(record)
    except (InvalidMessageError, KeyError):
        return tenants
    named = getattr(message, "tenant_id", None)
    return tenants | {named} if isinstance(named, str) else tenants


def advice_of(hindrance: Hindrance, topic: str) -> str:
    """What to do about it, as a sentence without a full stop."""
    if hindrance == "never_again":
        return _TOPIC_OF[topic].never_again
    if hindrance == "gone":
        return GONE_ADVICE.get("calls.ended.v1" if _is_event(topic) else topic, ADVICE["gone"])
    return ADVICE[hindrance]


def _is_event(topic: str) -> bool:
    """Whether messages of that topic are events of calls, on whichever lane."""
    return topic in _TOPIC_OF and _TOPIC_OF[topic].message is CallEnded
