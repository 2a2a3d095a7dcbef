"""Masked transcripts in the object store: one for each call, filed by day, compressed and sealed."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date
from hashlib import sha256
from typing import Protocol

import cramjam
from pydantic import TypeAdapter, ValidationError

from processors.custody.ports import CallKeyRefusedError, KeyGoneError, SealBrokenError, SealedIdentity
from schemas.errors import InvalidMessageError
from schemas.messages.message import Identifier, TenantId
from schemas.messages.topics import CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.object_store.sealed_store import ObjectTooLargeError
from streams.ports import ObjectMissingError, ObjectStore, StoreAccessError

logger = logging.getLogger(__name__)

FORMAT = "1"
"""How the content is written: the length of the JSON of a `Transcript`, in four bytes, then that JSON compressed with
zstd. Part of the key and of what is sealed."""

PREFIX = "transcripts/"
DAY_PREFIX = "call_days/"
COMPRESSION_LEVEL = 6
"""A call of five minutes becomes 14 % of itself in 0.4 ms; higher levels cost more and save nothing."""
LENGTH_BYTES = 4
_KEY = re.compile(
    r"transcripts/(?P<tenant>[^/]+)/(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})/(?P<call>[^/]+)\.(?P<version>[^./]+)"
)
_IN_CLEAR = re.compile(r"transcripts/(?P<tenant>[^/]+)/(?P<call>[^/]+)\.json")
_TENANT_ID = TypeAdapter[str](TenantId)
_CALL_ID = TypeAdapter[str](Identifier)
_BEHIND_A_SLASH = chr(ord("/") + 1)
"""What all keys of a folder come before: `a/…` is before `a0`."""


class SealedObjects(Protocol):
    """Objects that only their key opens (`SealedStore`). Every method may raise `RetryableError` and
    `OperatorError`."""

    def put(self, key: str, identity: SealedIdentity, day: date, data: bytes) -> object:
        """Durable when this returns; an object that is there is replaced whole."""
        ...

    def read(self, key: str, identity: SealedIdentity, day: date, *, most_bytes: int | None = None) -> bytes:
        """Raises `ObjectMissingError`, `KeyGoneError`, `SealBrokenError` and `ObjectTooLargeError`."""
        ...


class NotReadableError(Exception):
    """What lies there is not what should; the text says why, in a few words and without any content."""


@dataclass(frozen=True)
class StoredObject:
    """An object where transcripts lie; `place` is None for one that no transcript is called like."""

    key: str
    place: "TranscriptPlace | None"


@dataclass(frozen=True)
class TranscriptPlace:
    """Where the transcript of a call lies. `day` is the UTC day on which the call ended."""

    tenant_id: str
    call_id: str
    day: date

    @property
    def key(self) -> str:
        """In the object store."""
        return f"{PREFIX}{self.tenant_id}/{self.day:%Y/%m/%d}/{self.call_id}.{FORMAT}"

    @property
    def identity(self) -> SealedIdentity:
        """To what its bytes are bound."""
        return SealedIdentity(self.tenant_id, self.call_id, "transcript", FORMAT)

    @classmethod
    def of(cls, tenant_id: str, call_id: str, day: date) -> "TranscriptPlace":
        """Raises `ValueError` for an id that an event could not hold."""
        return cls(valid_tenant(tenant_id), valid_call(call_id), day)

    @classmethod
    def of_key(cls, key: str) -> "TranscriptPlace | None":
        """None for a key that `key` never is."""
        match = _KEY.fullmatch(key)
        if match is None or match["version"] != FORMAT:
            return None
        try:
            return cls.of(match["tenant"], match["call"], date.fromisoformat(match["day"].replace("/", "-")))
        except ValueError:
            return None


class TranscriptStore:
    """Masked transcripts in an object store, one for each call.

    `transcripts/<tenant>/<yyyy>/<mm>/<dd>/<call_id>.1`, by the UTC day on which the call ended, sealed with the
    `transcript` key of the call. On which day a call ended stands beside it (`call_days/…`, no secret): a second event
    with the same call id finds the first transcript, whatever day it names itself.

    Every method may raise `RetryableError`, `StoreAccessError` and, where keys are refused, other `OperatorError`s.
    """

    def __init__(self, store: ObjectStore, sealed: SealedObjects) -> None:
        self._store = store
        self._sealed = sealed

    def load(self, tenant_id: str, call_id: str) -> Transcript | None:
        """What was recognised for this call before; None where nothing was, where its key was destroyed, or where
        nothing can be read.

        It may stem from another recording or recogniser: compare its `call` and `engine`. Raises `ValueError` for
        an id that an event could not hold.
        """
        day = self._day_of(tenant_id, call_id)
        if day is None:
            return None
        try:
            return self.read(TranscriptPlace.of(tenant_id, call_id, day))
        except (ObjectMissingError, KeyGoneError):
            return None
        except NotReadableError as error:
            logger.warning("the stored transcript of %s/%s cannot be used: %s", tenant_id, call_id, error)
            return None

    def save(self, transcript: Transcript) -> None:
        """Remember what was recognised; an earlier transcript of the call is replaced. Durable when this returns."""
        day = transcript.call.ended_at.astimezone(UTC).date()
        place = TranscriptPlace.of(transcript.tenant_id, transcript.call_id, day)
        # First where it lies, then what lies there: a transcript that nobody finds would let a second event pass.
        self._store.put(day_key(place.tenant_id, place.call_id), day.isoformat().encode(), content_type="text/plain")
        self._sealed.put(place.key, place.identity, day, compressed(transcript.encode()))

    def read(self, place: TranscriptPlace) -> Transcript:
        """The transcript that lies there. Raises `ObjectMissingError`, `KeyGoneError` and `NotReadableError`."""
        try:
            packed = self._sealed.read(place.key, place.identity, place.day, most_bytes=Transcript.max_bytes)
            transcript = CALLS_TRANSCRIBED.decode(expanded(packed, Transcript.max_bytes))
        except SealBrokenError:
            raise NotReadableError("it was changed, cut, exchanged or sealed under another key") from None
        except CallKeyRefusedError:
            raise NotReadableError("the row of its key in the register was changed or exchanged") from None
        except ObjectTooLargeError:
            raise NotReadableError("it is too large") from None
        except StoreAccessError:
            self._store.check()  # a bucket that refuses everything is another matter: a person must look
            raise NotReadableError("the store refuses it to us") from None
        except InvalidMessageError as error:
            raise NotReadableError(f"it does not fit its schema ({type(error).__name__})") from None
        if TranscriptPlace(transcript.tenant_id, transcript.call_id, _day(transcript)) != place:
            raise NotReadableError("it belongs to another call or day")
        return transcript

    def tenants(self) -> Iterator[str]:
        """Whoever has transcripts, sorted by the bytes of their keys."""
        after = ""
        while (entry := next(iter(self._store.entries(PREFIX, after=after)), None)) is not None:
            tenant_id = entry.key.split("/")[1]
            if _is_tenant(tenant_id) and entry.key.count("/") > 1:
                yield tenant_id
                after = f"{PREFIX}{tenant_id}{_BEHIND_A_SLASH}"
            else:
                after = entry.key

    def objects(self, tenant_id: str, first: date, last: date, *, after: str = "") -> Iterator[StoredObject]:
        """What lies in the folders of these days, both included, and comes behind `after`; sorted by key.

        Transcripts, and whatever else is there.
        """
        folder = f"{PREFIX}{valid_tenant(tenant_id)}/"
        begin, end = f"{folder}{first:%Y/%m/%d}/", f"{folder}{last:%Y/%m/%d}{_BEHIND_A_SLASH}"
        for entry in self._store.entries(folder, after=max(begin, after)):
            if entry.key >= end:
                return
            yield StoredObject(entry.key, TranscriptPlace.of_key(entry.key))

    def in_clear(self) -> Iterator[str]:
        """Keys of transcripts as releases before 0.4 wrote them, in clear and in no folder of a day.

        Passes over the folders of years, so that it costs a few listings where there are none.
        """
        after = ""
        while (entry := next(iter(self._store.entries(PREFIX, after=after)), None)) is not None:
            _, _tenant, *rest = entry.key.split("/")
            if len(rest) > 1:
                after = f"{'/'.join(entry.key.split('/')[:3])}{_BEHIND_A_SLASH}"
                continue
            if _IN_CLEAR.fullmatch(entry.key):
                yield entry.key
            after = entry.key

    def seal(self, key: str) -> Transcript | None:
        """Move one of those into its day, and remove it; None where it is no transcript and was left alone.

        One that is there already stands.
        """
        match = _IN_CLEAR.fullmatch(key)
        try:
            transcript = CALLS_TRANSCRIBED.decode(self._store.read(key, length=Transcript.max_bytes + 1))
        except (ObjectMissingError, InvalidMessageError):
            return None
        if match is None or (transcript.tenant_id, transcript.call_id) != (match["tenant"], match["call"]):
            return None
        if self.load(transcript.tenant_id, transcript.call_id) is None:
            self.save(transcript)
        self._store.delete(key)
        return transcript

    def _day_of(self, tenant_id: str, call_id: str) -> date | None:
        key = day_key(tenant_id, call_id)
        try:
            written = self._store.read(key, length=10)
        except ObjectMissingError:
            return None
        except StoreAccessError:
            self._store.check()
            logger.warning("where the transcript of %s/%s lies is refused to us", tenant_id, call_id)
            return None
        try:
            return date.fromisoformat(written.decode("ascii"))
        except ValueError:
            return None


def compressed(data: bytes) -> bytes:
    """As `FORMAT` says."""
    return len(data).to_bytes(LENGTH_BYTES) + bytes(cramjam.zstd.compress(data, level=COMPRESSION_LEVEL))


def expanded(packed: bytes, most_bytes: int) -> bytes:
    """The inverse, which never takes more memory than it says. Raises `NotReadableError`."""
    length = int.from_bytes(packed[:LENGTH_BYTES])
    if length > most_bytes:
        raise NotReadableError("it is too large")
    target = bytearray(length)
    try:
        written = cramjam.zstd.decompress_into(packed[LENGTH_BYTES:], target)
    except cramjam.DecompressionError:
        written = -1
    if written != length:
        raise NotReadableError("it does not expand")
    return bytes(target)


def _day(transcript: Transcript) -> date:
    return transcript.call.ended_at.astimezone(UTC).date()


def day_key(tenant_id: str, call_id: str) -> str:
    """Where it stands on which day a call ended: spread over 4,096 folders, as a disk is slow with millions of files in
    one.

    Raises `ValueError` for an id that an event could not hold.
    """
    return f"{DAY_PREFIX}{valid_tenant(tenant_id)}/{sha256(call_id.encode()).hexdigest()[:3]}/{valid_call(call_id)}"


def valid_tenant(tenant_id: str) -> str:
    """The id, so that none leads out of the place of its tenant. Raises `ValueError`, which does not repeat it."""
    return _valid(_TENANT_ID, tenant_id, "tenant_id")


def valid_call(call_id: str) -> str:
    """As `valid_tenant`."""
    return _valid(_CALL_ID, call_id, "call_id")


def _is_tenant(tenant_id: str) -> bool:
    try:
        valid_tenant(tenant_id)
    except ValueError:
        return False
    return True


def _valid(kind: TypeAdapter[str], value: str, name: str) -> str:
    try:
        return kind.validate_python(value)
    except ValidationError:
        raise ValueError(f"{name} does not fit the schema") from None
