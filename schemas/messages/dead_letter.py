"""`DeadLetter` v1: a message that can never be processed, and where it can be found."""

from datetime import datetime
from hashlib import sha256
from typing import ClassVar, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field

from schemas.errors import InvalidMessageError
from schemas.messages.message import Identifier, Message, Sha256, Slug, TenantId, UtcDatetime
from schemas.messages.records import ConsumerRecord, call_of_key


class DeadLetter(Message):
    """Names step, topic, partition, offset and exception class; never the exception's text nor the message.

    The message itself still lies in its topic at the place named. `problems` name schema fields and kinds of
    error only. `tenant_id` and `call_id` are known where the message could be read or its key says so.
    """

    max_bytes: ClassVar[int] = 512 * 1024

    schema_version: Literal[1] = 1
    dead_letter_id: str
    step: Slug
    source_topic: str
    source_partition: int = Field(ge=0)
    source_offset: int = Field(ge=0)
    exception_class: str
    problems: tuple[str, ...] = ()
    tenant_id: TenantId | None = None
    call_id: Identifier | None = None
    value_sha256: Sha256 | None = None
    value_bytes: int = Field(default=0, ge=0)
    failed_at: UtcDatetime

    @staticmethod
    def id_of(step: str, source_topic: str, source_partition: int, source_offset: int) -> str:
        """The same id on every delivery of the same message to the same step."""
        return str(uuid5(NAMESPACE_URL, f"callstream:{step}/{source_topic}/{source_partition}/{source_offset}"))


def dead_letter_for(
    step: str, record: ConsumerRecord, message: Message | None, error: InvalidMessageError, now: datetime
) -> DeadLetter:
    """The dead letter of a message: its position and the exception's class, never its text or content."""
    call = call_of_key(record.key)
    if message is not None:
        call = (getattr(message, "tenant_id", None) or "", getattr(message, "call_id", None) or "")
    tenant_id, call_id = call or (None, None)
    value = record.value or b""
    return DeadLetter(
        dead_letter_id=DeadLetter.id_of(step, record.topic, record.partition, record.offset),
        step=step,
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        exception_class=type(error).__name__,
        problems=error.problems,
        tenant_id=tenant_id or None,
        call_id=call_id or None,
        value_sha256=sha256(value).hexdigest(),
        value_bytes=len(value),
        failed_at=now,
    )
