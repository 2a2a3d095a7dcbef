"""The one place where recordings are read, and where it is said what they are called."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256

from pydantic import TypeAdapter, ValidationError

from processors.custody.ports import KeyGoneError, SealBrokenError, SealedIdentity
from processors.custody.sealed import SUITE
from schemas.messages.call_ended import CallEnded
from schemas.messages.message import Identifier, TenantId
from schemas.messages.outcome import Outcome
from streams.adapters.object_store.sealed_store import ObjectTooLargeError, SealedStore
from streams.ports import ForeignUriError, ObjectMissingError, ObjectStore, StoreAccessError

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_OF_BEFORE = re.compile(
    r"recordings/(?P<tenant>[^/]+)/(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/(?P<call>[^/]+)"
    r"\.(?P<digest>[0-9a-f]{12})\.(?P<extension>[a-z0-9]{1,8})"
)
_TENANT_ID = TypeAdapter[str](TenantId)
_CALL_ID = TypeAdapter[str](Identifier)


class UnreadableRecordingError(Exception):
    """The recording cannot be heard, however often it is tried: the terminal outcome of its call, and why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        self.outcome = outcome
        self.reason = reason
        super().__init__(f"{outcome}: {reason}")


class RecordingStore:
    """Recordings in an object store, sealed under the audio keys of their calls.

    Every method may raise `RetryableError` and `OperatorError`, as store and keys do.
    """

    def __init__(
        self, store: ObjectStore, sealed: SealedStore, max_recording_bytes: int, *, hears_unsealed: bool = False
    ) -> None:
        """`sealed` is over the same store. `hears_unsealed`: recordings that lie in clear are loaded, too."""
        self._store = store
        self._sealed = sealed
        self._max_recording_bytes = max_recording_bytes
        self._hears_unsealed = hears_unsealed

    def load_audio(self, call: CallEnded) -> bytes:
        """The recording, exactly as it came when its event was written: size and SHA-256 agree.

        Never holds much more than `max_recording_bytes`, once sealed and once in clear, whatever lies in the store.
        Raises `UnreadableRecordingError`:

        | outcome     | reason            | when                                                    |
        |-------------|-------------------|---------------------------------------------------------|
        | unsupported | not_sealed        | the event names no encryption, and that is refused here |
        | unsupported | encrypted         | the event names an encryption that is not ours          |
        | unsupported | foreign_uri       | the URI does not point into our bucket                  |
        | unsupported | foreign_key       | the key is not below recordings/<tenant>/               |
        | unsupported | too_large         | the event announces more than the limit                 |
        | no_audio    | key_destroyed     | there is no key for it, or no more                      |
        | no_audio    | object_missing    | nothing is stored there                                 |
        | no_audio    | forbidden         | this object is refused to us, others not                |
        | no_audio    | empty_object      | it has no bytes                                         |
        | bad_audio   | seal_broken       | it was changed, cut or exchanged while it lay there     |
        | bad_audio   | size_mismatch     | it has more or fewer bytes than announced               |
        | bad_audio   | checksum_mismatch | as many bytes, but others                               |
        """
        audio = call.audio
        seal = seal_of(call)
        try:
            key = self._store.key_of(audio.uri)
        except ForeignUriError:
            raise UnreadableRecordingError("unsupported", "foreign_uri") from None
        if not key.startswith(f"recordings/{_tenant(call.tenant_id)}/"):
            raise UnreadableRecordingError("unsupported", "foreign_key")
        if audio.bytes > self._max_recording_bytes:
            raise UnreadableRecordingError("unsupported", "too_large")
        try:
            data = self._read(call, key, seal)
        except ObjectMissingError:
            raise UnreadableRecordingError("no_audio", "object_missing") from None
        except KeyGoneError:
            raise UnreadableRecordingError("no_audio", "key_destroyed") from None
        except SealBrokenError:
            raise UnreadableRecordingError("bad_audio", "seal_broken") from None
        except ObjectTooLargeError:
            raise UnreadableRecordingError("bad_audio", "size_mismatch") from None
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

    def _read(self, call: CallEnded, key: str, seal: "RecordingSeal | None") -> bytes:
        if seal is None:
            return self._read_of_before(call, key)
        try:
            return self._sealed.read(key, seal.identity, seal.day, most_bytes=call.audio.bytes)
        except KeyGoneError:
            self._store.size(key)  # where no object is either, that is what is missing
            raise

    def _read_of_before(self, call: CallEnded, key: str) -> bytes:
        """What an event without a seal points to: sealed since then, or in clear where that is heard.

        Raises `UnreadableRecordingError` besides.
        """
        recording = ClearRecording.of_key(key)
        # What it is sealed as follows from the event, too: else a forged one would lead to the recording of any call.
        if recording is not None and recording.call_id == call.call_id:
            with suppress(ObjectMissingError):
                return self._read(call, recording.sealed_key, RecordingSeal(recording.identity, recording.day))
        if not self._hears_unsealed:
            raise UnreadableRecordingError("unsupported", "not_sealed")
        return self._store.read(key, length=call.audio.bytes + 1)  # one more than announced shows that there is more


@dataclass(frozen=True)
class ClearRecording:
    """A recording as releases before 0.4 wrote it: in clear, with the beginning of its SHA-256 in its name."""

    key: str
    tenant_id: str
    day: date
    call_id: str
    digest: str
    extension: str

    @classmethod
    def of_key(cls, key: str) -> "ClearRecording | None":
        """None for the key of anything else."""
        match = _OF_BEFORE.fullmatch(key)
        if match is None:
            return None
        try:
            day = date.fromisoformat(match["day"].replace("/", "-"))
            return cls(key, _tenant(match["tenant"]), day, _call(match["call"]), match["digest"], match["extension"])
        except ValueError:
            return None

    @property
    def identity(self) -> SealedIdentity:
        """What it is sealed as."""
        return SealedIdentity(self.tenant_id, self.call_id, "recording", f"{self.digest}0000")

    @property
    def sealed_key(self) -> str:
        """Where it lies once it is sealed: its event, which says nothing of that, still leads there."""
        return (
            f"recordings/{self.tenant_id}/{self.day:%Y/%m/%d}/{self.call_id}.{self.identity.version}.{self.extension}"
        )


@dataclass(frozen=True)
class RecordingSeal:
    """What a recording must be sealed as, by its event."""

    identity: SealedIdentity
    day: date


def seal_of(call: CallEnded) -> RecordingSeal | None:
    """None for a recording in clear. Raises `UnreadableRecordingError` for a seal that is not ours."""
    encryption = call.audio.encryption
    if encryption is None:
        return None
    tenant_id, _, day = encryption.key_id.partition(":")
    version = encryption.parameters.get("version")
    try:
        if encryption.algorithm != SUITE or tenant_id != call.tenant_id or version is None:
            raise ValueError
        identity = SealedIdentity(call.tenant_id, call.call_id, "recording", version)
        return RecordingSeal(identity, date.fromisoformat(day))
    except ValueError:
        raise UnreadableRecordingError("unsupported", "encrypted") from None


def recording_key(tenant_id: str, call_id: str, ended_at: datetime, version: str, extension: str) -> str:
    """`recordings/<tenant>/<yyyy>/<mm>/<dd>/<call_id>.<version>.<extension>`, by the UTC day on which the call ended.

    The version (16 hex digits) is another one for each attempt to store it: nothing ever takes the place of a
    recording, which is evidence. Raises `ValueError` for a naive `ended_at`, an id that an event could not hold, or
    an extension that is not 1–8 lower-case letters and digits.
    """
    if not _EXTENSION.fullmatch(extension):
        raise ValueError("extension is not 1 to 8 lower-case letters and digits")
    return f"recordings/{day_folder(tenant_id, ended_at)}/{_call(call_id)}.{version}.{extension}"


def day_folder(tenant_id: str, ended_at: datetime) -> str:
    """`<tenant>/<yyyy>/<mm>/<dd>`, by the UTC day on which the call ended.

    Raises `ValueError` for a naive time and for an id that an event could not hold.
    """
    return f"{_tenant(tenant_id)}/{_utc_day(ended_at):%Y/%m/%d}"


def key_id_of(tenant_id: str, ended_at: datetime) -> str:
    """What an event calls the key of its recording: `<tenant>:<yyyy-mm-dd>`, by the UTC day on which the call ended."""
    return f"{_tenant(tenant_id)}:{_utc_day(ended_at):%Y-%m-%d}"


def _utc_day(time: datetime) -> date:
    """Raises `ValueError` for a naive time, which has none."""
    if time.tzinfo is None:
        raise ValueError("ended_at has no time zone")
    return time.astimezone(UTC).date()


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
