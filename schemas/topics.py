"""Every topic, declared once: name, schema, partitions, retention. `callstream topics apply` creates them."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.call_analysis import CallAnalysis
from schemas.call_ended import CallEnded
from schemas.dead_letter import DeadLetter
from schemas.message import Message
from schemas.transcript import Transcript

M = TypeVar("M", bound=Message)

DAY_MS = 24 * 60 * 60 * 1000
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""A two-hour transcript with word times is about 3 MB; Kafka's own default of 1 MB would refuse it."""


@dataclass(frozen=True)
class Topic(Generic[M]):
    """A Kafka topic and the one message type that flows in it, keyed by `<tenant_id>/<call_id>`."""

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
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
        }


CALLS_ENDED = Topic("calls.ended.v1", CallEnded, "a call is over and its recording is durable")
CALLS_TRANSCRIBED = Topic(
    "calls.transcribed.v1",
    Transcript,
    "what was said; kept long, because history is judged again from it",
    retention_ms=400 * DAY_MS,
)
CALLS_ANALYZED = Topic("calls.analyzed.v1", CallAnalysis, "the judgement of a call, its terminal outcome included")
CALLS_DEAD_LETTERS = Topic(
    "calls.dead_letters.v1",
    DeadLetter,
    "messages that can never be processed",
    partitions=1,
    retention_ms=400 * DAY_MS,
)

TOPICS: tuple[Topic[CallEnded] | Topic[Transcript] | Topic[CallAnalysis] | Topic[DeadLetter], ...] = (
    CALLS_ENDED,
    CALLS_TRANSCRIBED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
)


def message_key(tenant_id: str, call_id: str) -> bytes:
    """The Kafka key of everything about one call: all of it goes to one partition, in order."""
    return f"{tenant_id}/{call_id}".encode()
