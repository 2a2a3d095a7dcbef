"""A Kafka record as bytes with its place, and what is known of one that cannot be processed."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from schemas.errors import InvalidMessageError
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.message import Message

_KEY = re.compile(rb"(?P<tenant>[a-z][a-z0-9_-]{0,63})/(?P<call>[A-Za-z0-9][A-Za-z0-9._:@-]{0,127})")


_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class ConsumerRecord:
    """One record of a topic, undecoded."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    written_at: datetime = _EPOCH
    """When it was written to the topic, as the broker says."""

    @property
    def place(self) -> str:
        """`topic/partition/offset`: for logs, and the name of a message that has no readable id."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def call_of_key(key: bytes | None) -> tuple[str, str] | None:
    """Tenant and call id out of a message key, where it holds them."""
    match = _KEY.fullmatch(key or b"")
    return (match["tenant"].decode(), match["call"].decode()) if match else None


def dead_letter_for(
    step: str, raw: ConsumerRecord, message: Message | None, error: InvalidMessageError, now: datetime
) -> DeadLetter:
    """The dead letter of a message: its place and the exception's class, never its text or content."""
    call = call_of_key(raw.key)
    if message is not None:
        call = (getattr(message, "tenant_id", None) or "", getattr(message, "call_id", None) or "")
    tenant_id, call_id = call or (None, None)
    value = raw.value or b""
    return DeadLetter(
        dead_letter_id=DeadLetter.id_of(step, raw.topic, raw.partition, raw.offset),
        step=step,
        source_topic=raw.topic,
        source_partition=raw.partition,
        source_offset=raw.offset,
        exception_class=type(error).__name__,
        problems=error.problems,
        tenant_id=tenant_id or None,
        call_id=call_id or None,
        value_sha256=sha256(value).hexdigest(),
        value_bytes=len(value),
        failed_at=now,
    )
