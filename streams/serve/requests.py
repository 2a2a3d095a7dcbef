"""What an upload says of its call: fields of `CallEnded`, and what only a request may hold."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.belongs_in_transcript import problem_of_transcript
from schemas.messages.belongs_there import with_what_belongs_there
from schemas.messages.call_ended import CallEnded, CallFacts, Customer, Role, SpeakerSegment
from schemas.messages.message import Identifier, Message, Record, Sha256, Slug, TenantId
from schemas.messages.transcript_received import TranscriptReceived
from streams.serve.problems import RefusedError, not_found, unprocessable

MOST_EVENT_BYTES = CallEnded.max_bytes

M = TypeVar("M", bound=Message)

CustomerOfNumber = Callable[[str, str], Mapping[str, object]]
"""Tenant and phone number → fields of `Customer`, its key among them. Raises `OperatorError` for what is no number."""


class CustomerOfUpload(Customer):
    """As in `CallEnded`, or with the number in place of the key."""

    number: SecretStr | None = Field(
        default=None,
        max_length=64,
        description="phone number; made the customer key at once, and neither stored nor logged",
    )


class AudioOfUpload(Record):
    """What is known of the recording. What the file turns out to be goes before it."""

    sha256: Sha256 | None = Field(default=None, description="where given, another content is refused")
    bytes: int | None = Field(default=None, ge=0, le=2**63 - 1, description="where given, another length is refused")
    container: Slug | None = None
    codec: Slug | None = None
    sample_rate_hz: int | None = Field(default=None, ge=1, le=768_000)
    channels: int | None = Field(default=None, ge=1, le=64)
    channel_roles: tuple[Role, ...] | None = Field(default=None, max_length=64)
    speaker_segments: tuple[SpeakerSegment, ...] | None = Field(default=None, max_length=10_000)


class CallOfUpload(CallFacts):
    """What is known of a call, its recording or transcript apart."""

    tenant_id: TenantId = Field(default="", description="tenant of the API key; may be left out")
    customer: CustomerOfUpload = CustomerOfUpload()


class RecordingEvent(CallOfUpload, Message):
    """What is known of a call whose recording is uploaded."""

    max_bytes: ClassVar[int] = MOST_EVENT_BYTES

    audio: AudioOfUpload | None = None


class TranscriptUpload(TranscriptReceived):
    """A call as text, from a recogniser or a chat system that is not ours; see docs/transcripts.md."""

    model_config = ConfigDict(json_schema_extra={"required": ["call", "utterances"]})

    call: CallOfUpload
    sealed: None = Field(default=None, exclude=True, description="leave it out")


_FROM_NUMBER = {"number", "number_last4"}
"""Whether the last digits are kept is the policy of the tenant, not what the sender says (R30)."""


def read_event(raw: bytes, tenant_id: str, customer_of: CustomerOfNumber) -> dict[str, Any]:
    """Fields of `CallEnded`, without its recording, of the tenant of the key. Raises `RefusedError` (404, 422)."""
    event = _decoded(RecordingEvent, raw)
    fields = event.model_dump(mode="json", exclude={"customer": _FROM_NUMBER}, exclude_unset=True)
    return fields | _of_tenant(event, tenant_id, customer_of)


def read_transcript(raw: bytes, tenant_id: str, customer_of: CustomerOfNumber) -> TranscriptReceived:
    """The message, of the tenant of the key. Raises `RefusedError` (404, 422)."""
    upload = _decoded(TranscriptUpload, raw)
    if not upload.utterances:
        raise unprocessable(
            "invalid_event",
            "The transcript is not one: see `errors`.",
            [problem_of_transcript("utterances: too_short")],
        )
    fields = upload.model_dump(mode="json", exclude={"call": {"customer": _FROM_NUMBER}}, exclude_unset=True)
    fields["call"] |= _of_tenant(upload.call, tenant_id, customer_of)
    return _decoded(TranscriptReceived, json.dumps(fields).encode())


def _decoded(model: type[M], raw: bytes) -> M:
    """Raises `RefusedError` (422)."""
    try:
        return model.decode(raw)
    except InvalidMessageError as error:
        is_transcript = issubclass(model, TranscriptReceived)
        problems = [
            problem_of_transcript(problem, model) if is_transcript else with_what_belongs_there(model, problem)
            for problem in error.problems
        ]
    raise unprocessable("invalid_event", "The event is not one: see `errors`.", problems)


def _of_tenant(call: CallOfUpload, tenant_id: str, customer_of: CustomerOfNumber) -> dict[str, Any]:
    """The fields of the call that follow from the key, and from the number of the customer."""
    if call.tenant_id not in ("", tenant_id):
        raise not_found("There is no such tenant for this key.")
    fields: dict[str, Any] = {"tenant_id": tenant_id}
    number = call.customer.number
    if number is not None:
        if call.customer.key is not None:
            raise unprocessable(
                "invalid_event", "Give the number of the customer or the key.", ["customer: number_and_key"]
            )
        said = call.customer.model_dump(mode="json", exclude=_FROM_NUMBER, exclude_unset=True)
        fields["customer"] = {**said, **_fields_of(number, tenant_id, customer_of)}
    return fields


def _fields_of(number: SecretStr, tenant_id: str, customer_of: CustomerOfNumber) -> Mapping[str, object]:
    try:
        return customer_of(tenant_id, number.get_secret_value())
    except OperatorError:
        pass  # raised below: the number must not ride along as __context__
    raise unprocessable("invalid_event", "The number is no phone number.", ["customer.number: not_a_number"])


def event_of_header(value: str) -> bytes:
    """The JSON in the header `X-Callstream-Event`: base64url, with or without padding. Raises `RefusedError` (422)."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        pass
    raise unprocessable(
        "invalid_event", "The header X-Callstream-Event holds no base64url.", ["X-Callstream-Event: base64url"]
    )


_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_OF_MEDIA_TYPE = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "application/ogg": "ogg",
}
_ANY = ("application/octet-stream", "")
MULTIPART = "multipart/form-data"


def require_recording(media_type: str) -> None:
    """Raises `RefusedError` (415) for what is said to be no recording."""
    if not (media_type.startswith("audio/") or media_type in _OF_MEDIA_TYPE or media_type in _ANY):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send multipart/form-data, or the recording itself as audio/* or application/octet-stream.",
        )


def extension_for(media_type: str, file_name: str = "") -> str:
    """The extension under which a recording is stored; of its name nothing else is kept."""
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    return extension if _EXTENSION.fullmatch(extension) else _OF_MEDIA_TYPE.get(media_type, "bin")


class TakenInAnswer(BaseModel):
    """A recording is sealed and durable, and its call is announced."""

    tenant_id: TenantId
    call_id: Identifier
    created: bool = Field(description="false where the same recording was taken in before")
    sha256: Sha256 = Field(description="of the recording as it came")
    bytes: int = Field(ge=0, description="of the recording as it came")
    capture_ms: int | None = Field(description="from its last byte to the acknowledgement of Kafka; null if not known")


class HandedOverAnswer(BaseModel):
    """A transcript is sealed and durable, and the pipeline has it."""

    tenant_id: TenantId
    call_id: Identifier


CallState = Literal["receiving", "stored", "announced", "pending", "done"]


class CallAnswer(BaseModel):
    """Where a call stands."""

    tenant_id: TenantId
    call_id: Identifier
    state: CallState = Field(
        description="receiving: an upload is under way; stored: durable, not announced yet; announced: Kafka has the "
        "event; pending: it is on its way through the pipeline; done: it has an outcome"
    )
    outcome: str | None = Field(
        description="analyzed, too_short, no_audio, bad_audio, unsupported, refused or purged; null before, and where "
        "the database does not answer (`outcome_reason` is then not_available)"
    )
    outcome_reason: str | None
    capture_ms: int | None = None


CallIdInPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]

TenantInQuery = Annotated[TenantId | None, Field(description="where the account has roles in several tenants")]


@dataclass(frozen=True)
class Principal:
    """Who asks: the tenant of a key, and what the key allows."""

    key_id: str
    tenant_id: str
    scopes: frozenset[str]
