"""`DeadLetter` v1: a message that can never be processed, and where it still lies."""

from typing import ClassVar, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field

from schemas.messages.message import Identifier, Message, Sha256, Slug, TenantId, UtcDatetime


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
