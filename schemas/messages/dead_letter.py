"""`DeadLetter` v1: a message that can never be processed, and where it can be found."""

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, ClassVar, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field, StringConstraints

from schemas.errors import InvalidMessageError
from schemas.messages.message import Identifier, Message, Sha256, Slug, TenantId, UtcDatetime
from schemas.messages.records import ConsumerRecord, Headers, call_of_key

RETRIES_HEADER = "callstream-retries"
"""Of a message that was published again: how often, as a number."""
RETRY_OF_HEADER = "callstream-retry-of"
"""The id of the dead letter for which it was published again."""
ORIGIN_HEADER = "callstream-origin"
"""Where the message lay when it was first refused: `topic/partition/offset`."""

MOST_RETRIES = 9_999
Handling = Literal["retried", "discarded"]
"""What a person has done about a dead letter: had its message published again, or given it up."""

_HEADER_FORMS = {
    RETRIES_HEADER: re.compile(rb"[1-9][0-9]{0,3}"),
    RETRY_OF_HEADER: re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ORIGIN_HEADER: re.compile(rb"[a-z0-9._]{1,128}/[0-9]{1,10}/[0-9]{1,19}"),
}


DeadLetterId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
RecordPlace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._]{1,128}/[0-9]{1,10}/[0-9]{1,19}$")]
"""`topic/partition/offset` of a message."""


class DeadLetter(Message):
    """Names step, topic, partition, offset and exception class; never the exception's text nor the message.

    The message itself still lies in its topic at the place named. `problems` name schema fields and kinds of
    error only. `tenant_id` and `call_id` are known where the message could be read or its key says so.
    Once somebody has handled it, the letter is written again with `handling`, which outranks the one without.
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
    retries: int = Field(
        default=0, ge=0, le=MOST_RETRIES, description="how often the message had been published again, by its headers"
    )
    retry_of: DeadLetterId | None = Field(
        default=None, description="letter for which the message was published again, by its headers"
    )
    origin: RecordPlace | None = Field(
        default=None,
        description="where the message lay when it was first refused, by its headers: topic/partition/offset",
    )
    handling: Handling | None = Field(default=None, description="what somebody has done about it; null: nothing yet")
    handled_at: UtcDatetime | None = None
    handled_by: Identifier | None = Field(default=None, description="account that did it")
    handled_reason: Slug | None = Field(default=None, description="why, as a word")

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
        retries=int(_header(record.headers, RETRIES_HEADER) or 0),
        retry_of=_header(record.headers, RETRY_OF_HEADER),
        origin=_header(record.headers, ORIGIN_HEADER),
    )


def _header(headers: Headers, name: str) -> str | None:
    """Its value; None where there is none, or more than one, or what stands there is none of ours."""
    values = [value for each, value in headers if each == name]
    if len(values) != 1 or not _HEADER_FORMS[name].fullmatch(values[0]):
        return None
    return values[0].decode("ascii")


def headers_of_retry(letter: DeadLetter) -> Headers:
    """What stands beside the message of the letter when it is published again, in place of all that stood there."""
    origin = letter.origin or f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}"
    return (
        (RETRIES_HEADER, str(min(letter.retries + 1, MOST_RETRIES)).encode()),
        (RETRY_OF_HEADER, letter.dead_letter_id.encode()),
        (ORIGIN_HEADER, origin.encode()),
    )
