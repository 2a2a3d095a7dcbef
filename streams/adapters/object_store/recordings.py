"""The one place where recordings and transcripts are read and written; decryption will come in here."""

import logging
import re
from datetime import UTC, date, datetime
from hashlib import sha256

from pydantic import TypeAdapter, ValidationError

from schemas.errors import InvalidMessageError
from schemas.messages.call_ended import Audio
from schemas.messages.message import Identifier, TenantId
from schemas.messages.outcome import Outcome
from schemas.messages.topics import CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.ports import ForeignUriError, ObjectMissingError, ObjectStore, StoreAccessError

logger = logging.getLogger(__name__)

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_TENANT_ID = TypeAdapter[str](TenantId)
_CALL_ID = TypeAdapter[str](Identifier)


class UnreadableRecordingError(Exception):
    """The recording cannot be heard, however often it is tried: the terminal outcome of its call, and why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        self.outcome = outcome
        self.reason = reason
        super().__init__(f"{outcome}: {reason}")


class RecordingStore:
    """Recordings and transcripts in an object store.

    Every method may raise `RetryableError` and `StoreAccessError`, as the store does.
    """

    def __init__(self, store: ObjectStore, max_recording_bytes: int) -> None:
        self._store = store
        self._max_recording_bytes = max_recording_bytes

    def load_audio(self, tenant_id: str, audio: Audio) -> bytes:
        """The recording, exactly as it was when its event was written: size and SHA-256 agree.

        Never holds more than `max_recording_bytes` + 1 bytes, whatever lies in the store. Raises
        `UnreadableRecordingError`:

        | outcome     | reason            | when                                      |
        |-------------|-------------------|-------------------------------------------|
        | unsupported | encrypted         | the event names an encryption             |
        | unsupported | foreign_uri       | the URI does not point into our bucket    |
        | unsupported | foreign_key       | the key is not below recordings/<tenant>/ |
        | unsupported | too_large         | the event announces more than the limit   |
        | no_audio    | object_missing    | nothing is stored there                   |
        | no_audio    | forbidden         | this object is refused to us, others not  |
        | no_audio    | empty_object      | it has no bytes                           |
        | bad_audio   | size_mismatch     | it has more or fewer bytes than announced |
        | bad_audio   | checksum_mismatch | as many bytes, but others                 |
        """
        if audio.encryption is not None:
            raise UnreadableRecordingError("unsupported", "encrypted")
        try:
            key = self._store.key_of(audio.uri)
        except ForeignUriError:
            raise UnreadableRecordingError("unsupported", "foreign_uri") from None
        if not key.startswith(f"recordings/{_tenant(tenant_id)}/"):
            raise UnreadableRecordingError("unsupported", "foreign_key")
        if audio.bytes > self._max_recording_bytes:
            raise UnreadableRecordingError("unsupported", "too_large")
        try:
            data = self._store.read(key, length=audio.bytes + 1)  # one more than announced shows that there is more
        except ObjectMissingError:
            raise UnreadableRecordingError("no_audio", "object_missing") from None
        except StoreAccessError:
            # One object may be refused alone: by its mode, its key in a KMS, or because it lies in an archive. A bucket
            # that refuses everything is another matter: a person must look, and no call may get an outcome from it.
            self._store.check()
            raise UnreadableRecordingError("no_audio", "forbidden") from None
        if not data:
            raise UnreadableRecordingError("no_audio", "empty_object")
        if len(data) != audio.bytes:
            raise UnreadableRecordingError("bad_audio", "size_mismatch")
        if sha256(data).hexdigest() != audio.sha256:
            raise UnreadableRecordingError("bad_audio", "checksum_mismatch")
        return data

    def put_recording(self, tenant_id: str, call_id: str, ended_at: datetime, extension: str, data: bytes) -> str:
        """Store a recording, durable when this returns, and return the URI for its event.

        The key is `recordings/<tenant>/<yyyy>/<mm>/<dd>/<call_id>.<digest>.<extension>`, by the UTC day on which the
        call ended, with the first 12 digits of the recording's SHA-256: a second recording under the same call id
        never takes the place of the first, which is evidence. Raises `ValueError` for a naive `ended_at`, an id that
        an event could not hold, or an extension that is not 1–8 lower-case letters and digits.
        """
        if ended_at.tzinfo is None:
            raise ValueError("ended_at has no time zone")
        if not _EXTENSION.fullmatch(extension):
            raise ValueError("extension is not 1 to 8 lower-case letters and digits")
        day = ended_at.astimezone(UTC).strftime("%Y/%m/%d")
        digest = sha256(data).hexdigest()[:12]
        key = f"recordings/{_tenant(tenant_id)}/{day}/{_call(call_id)}.{digest}.{extension}"
        self._store.put(key, data)
        return self._store.uri_of(key)

    def load_transcript(self, tenant_id: str, call_id: str) -> Transcript | None:
        """What was recognised for this call before; None where nothing was, or nothing that can be read.

        It may stem from another recording or recogniser: compare its `call` and `engine`. Raises `ValueError` for
        an id that an event could not hold.
        """
        try:
            raw = self._store.read(_transcript_key(tenant_id, call_id), length=Transcript.max_bytes + 1)
        except ObjectMissingError:
            return None
        except StoreAccessError:
            self._store.check()
            logger.warning("the stored transcript of %s/%s is refused to us", tenant_id, call_id)
            return None
        try:
            transcript = CALLS_TRANSCRIBED.decode(raw)
        except InvalidMessageError as error:
            logger.warning("the stored transcript of %s/%s is unreadable: %s", tenant_id, call_id, type(error).__name__)
            return None
        if (transcript.tenant_id, transcript.call_id) != (tenant_id, call_id):
            logger.warning("the stored transcript of %s/%s belongs to another call", tenant_id, call_id)
            return None
        return transcript

    def save_transcript(self, transcript: Transcript) -> None:
        """Remember what was recognised; an earlier transcript of the call is replaced. Durable when this returns."""
        key = _transcript_key(transcript.tenant_id, transcript.call_id)
        self._store.put(key, transcript.encode(), content_type="application/json")


def recording_key(tenant_id: str, call_id: str, ended_at: datetime, version: str, extension: str) -> str:
    """`recordings/<tenant>/<yyyy>/<mm>/<dd>/<call_id>.<version>.<extension>`, by the UTC day on which the call ended.

    The version (16 hex digits) is another one for each attempt to store it: nothing ever takes the place of a
    recording, which is evidence. Raises `ValueError` for a naive `ended_at`, an id that an event could not hold, or
    an extension that is not 1–8 lower-case letters and digits.
    """
    if not _EXTENSION.fullmatch(extension):
        raise ValueError("extension is not 1 to 8 lower-case letters and digits")
    day = f"{_utc_day(ended_at):%Y/%m/%d}"
    return f"recordings/{_tenant(tenant_id)}/{day}/{_call(call_id)}.{version}.{extension}"


def key_id_of(tenant_id: str, ended_at: datetime) -> str:
    """What an event calls the key of its recording: `<tenant>:<yyyy-mm-dd>`, by the UTC day on which the call ended."""
    return f"{_tenant(tenant_id)}:{_utc_day(ended_at):%Y-%m-%d}"


def _utc_day(time: datetime) -> date:
    """Raises `ValueError` for a naive time, which has none."""
    if time.tzinfo is None:
        raise ValueError("ended_at has no time zone")
    return time.astimezone(UTC).date()


def _transcript_key(tenant_id: str, call_id: str) -> str:
    return f"transcripts/{_tenant(tenant_id)}/{_call(call_id)}.json"


def _tenant(tenant_id: str) -> str:
    return _valid(_TENANT_ID, tenant_id, "tenant_id")


def _call(call_id: str) -> str:
    return _valid(_CALL_ID, call_id, "call_id")


def _valid(kind: TypeAdapter[str], value: str, name: str) -> str:
    """The id, so that none leads out of the place of its tenant. The error does not repeat what it may hold."""
    try:
        return kind.validate_python(value)
    except ValidationError:
        raise ValueError(f"{name} does not fit the schema") from None
