"""`capture`: a recording that comes in, whole or piece by piece → sealed object → `calls.ended.v1`.

Every way in goes through `TakeIn`. What is durable when, and what a crash at each point leaves behind: ADR 0050.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from processors.custody.intake import (
    Abandon,
    Announce,
    Announced,
    Compare,
    Complete,
    Intake,
    IntakeCommand,
    IntakeSource,
    LeaseLostError,
    Renew,
    Reserve,
    Reserved,
    Stored,
)
from processors.custody.ports import SealedIdentity
from processors.custody.sealed import SUITE
from processors.listening.audio import UnhearableError
from schemas.errors import InvalidCallError, OperatorError, RetryableError
from schemas.messages.call_ended import AudioEncryption, CallEnded
from schemas.messages.topics import LANES, Lane
from schemas.messages.transcript import AudioFacts
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import key_id_of, recording_key
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.register import Register
from streams.ports import Clock, Intakes, ObjectStore, PublisherPort, SystemClock
from streams.runtime import tracing
from streams.settings import Settings
from streams.stages.capture import PENDING_URI, event_of, extension_of, facts_of_recording, pieces_of
from streams.wiring import sealed_store_from

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
"""So long an upload may stand still before another one may take its place."""

HEAD_BYTES = 64 * 1024
"""So much of a recording tells what it is."""

WHOLE_BYTES = 8 * 1024 * 1024
"""A recording of at most so much is measured where nobody says when its call began. It is the largest part of one that
is ever held."""

_DECLARED = ("sha256", "bytes")
_OURS = ("uri", "encryption")
"""Fields of `audio` that follow from where and how we keep it."""

Probe = Callable[[bytes], AudioFacts]


class TooLargeError(OperatorError):
    """More bytes came than a recording may have."""

    exit_code = 1


@dataclass(frozen=True)
class TakenIn:
    """The event of the call, whether this upload made it, and how long capturing took (null where it did not)."""

    call: CallEnded
    created: bool
    capture_ms: int | None


@dataclass(frozen=True)
class TakeIn:
    """Takes recordings in, each once. May be used by several threads at once, if `probe` may."""

    store: ObjectStore
    sealed: SealedStore
    """Over the same store."""
    intakes: Intakes
    publisher: PublisherPort
    clock: Clock
    probe: Probe
    max_bytes: int
    lease: timedelta = LEASE
    lane: Lane = "live"
    """How urgent it is that what is taken in is heard."""

    def take_in(
        self,
        facts: Mapping[str, Any],
        chunks: Iterable[bytes],
        *,
        extension: str,
        source: IntakeSource,
        received_at: Callable[[], datetime] | None = None,
    ) -> TakenIn:
        """Seal a recording, store it, announce its call. When this returns, object and event are durable.

        `facts` are fields of `CallEnded`; `call_id` and `ended_at` must be among them. `audio.sha256` and
        `audio.bytes` are compared with what comes. `received_at` is asked after the last chunk when that came in; else
        it is now. The same recording with the same facts once more is the same call, and `created` is false.

        Raises `InvalidCallError`, `TooLargeError`, `IntakeConflictError` where the call id is taken by something else,
        `IntakeBusyError` where another upload of the call is under way, `LeaseLostError` where this one stood still
        too long, `RetryableError` and `StoreAccessError`; and whatever `chunks` raise. Then nothing is taken in, with
        one exception: where Kafka or the register fails behind the last byte, the recording may be durable, and
        `streams.stages.sweep` announces it later. Doing it again is right after every error.
        """
        arriving = _Arriving(self.max_bytes, HEAD_BYTES if facts.get("started_at") else WHOLE_BYTES)
        upload = _upload(facts, extension, arriving, received_at or self.clock.now)
        reserve = Reserve(upload.version, upload.key, source, self.clock.now(), self.lease)
        if isinstance(self._tell(upload.draft, reserve), Reserved):
            return self._first(upload, chunks)
        for chunk in chunks:
            arriving.take(chunk)
        return self._again(upload)

    def _first(self, upload: "_Upload", chunks: Iterable[bytes]) -> TakenIn:
        draft, arriving = upload.draft, upload.arriving
        identity = SealedIdentity(draft.tenant_id, draft.call_id, "recording", upload.version)
        renew_at = self.clock.now() + self.lease / 3
        try:
            with self.sealed.writer(upload.key, identity, draft.ended_at.astimezone(UTC).date()) as writer:
                for chunk in chunks:
                    arriving.take(chunk)
                    upload.look(self.probe)
                    writer.write(chunk)
                    if (now := self.clock.now()) >= renew_at and self._renewed(upload, now):
                        renew_at = now + self.lease / 3
                received_at = upload.received_at()
                call = upload.event(self.store.uri_of(upload.key), self.probe)
                writer.commit()
            stored = self._tell(draft, Complete(upload.version, upload.content(), call.encode(), received_at))
        except BaseException:
            # Where this fails, too, or the process dies, the lease runs out.
            with suppress(RetryableError, OperatorError):
                self._tell(draft, Abandon(upload.version))
            raise
        assert isinstance(stored, Stored)  # noqa: S101 - what else would follow
        return TakenIn(call, True, self._announce(call))

    def _renewed(self, upload: "_Upload", now: datetime) -> bool:
        """Whether the register knows that the upload goes on: if not now, the next chunk may tell it.

        Raises `LeaseLostError`.
        """
        try:
            self._tell(upload.draft, Renew(upload.version, now, self.lease))
        except LeaseLostError:
            raise
        except RetryableError:
            return False
        return True

    def _again(self, upload: "_Upload") -> TakenIn:
        state = self._tell(upload.draft, Compare(upload.content()))
        if isinstance(state, Stored):
            call = CallEnded.decode(state.event)
            return TakenIn(call, False, self._announce(call))
        assert isinstance(state, Announced)  # noqa: S101 - `Compare` is refused otherwise
        first = replace(upload, version=state.attempt, key=state.object_key)
        call = first.event(self.store.uri_of(first.key), self.probe)
        if self.lane == "redo":
            self.publisher.publish([tracing.begun("capture", LANES["redo"].record(call))])
        return TakenIn(call, False, state.capture_ms)

    def _announce(self, call: CallEnded) -> int | None:
        return announce(self.intakes, self.publisher, self.clock, call, self.lane)

    def _tell(self, draft: CallEnded, command: IntakeCommand) -> Intake:
        return self.intakes.tell(draft.tenant_id, draft.call_id, command)


def take_in_file(
    take_in: TakeIn, file: Path, facts: Mapping[str, Any], max_bytes: int, *, source: IntakeSource
) -> TakenIn:
    """Take in a recording that lies in a file; at most `max_bytes` of it. Raises as `TakeIn.take_in` does."""
    known = facts_of_recording(file, facts, max_bytes, take_in.probe)
    return take_in.take_in(known, pieces_of(file), extension=extension_of(file), source=source)


def take_in_from(
    settings: Settings, publisher: PublisherPort, probe: Probe, clock: Clock | None = None, lane: Lane = "live"
) -> TakeIn:
    """Taking in with the object store, the register and the audio keys of these settings.

    Nothing is opened yet. `probe` is called by whichever thread takes in: `DecoderProcess.probe` lets one wait for the
    other. Raises `OperatorError`, which names a setting.
    """
    clock = clock or SystemClock()
    store, register = object_store_from(settings), Register.of(settings)
    sealed = sealed_store_from(settings, store, "audio", register=register)
    intakes = RegisterIntakes(register, clock)
    return TakeIn(store, sealed, intakes, publisher, clock, probe, settings.intake_max_bytes, lane=lane)


def announce(
    intakes: Intakes, publisher: PublisherPort, clock: Clock, call: CallEnded, lane: Lane = "live"
) -> int | None:
    """Publish the event of a call that is stored; milliseconds from its last byte to Kafka's acknowledgement.

    Doing it twice is harmless: consumers drop repeats, and the first time counts. Raises `RetryableError` and
    `OperatorError`.
    """
    publisher.publish([tracing.begun("capture", LANES[lane].record(call))])
    state = intakes.tell(call.tenant_id, call.call_id, Announce(clock.now()))
    return state.capture_ms if isinstance(state, Announced) else None


@dataclass(frozen=True)
class _Upload:
    """What is known of one attempt before, and with its bytes after they have come."""

    facts: Mapping[str, Any]
    declared: Mapping[str, Any]
    """What the other side says of the bytes that it sends: `sha256`, `bytes`."""
    draft: CallEnded
    version: str
    key: str
    arriving: "_Arriving"
    received_at: Callable[[], datetime]

    def content(self) -> str:
        """Tells recordings apart, and what is said of them, but not who received them where and when."""
        return sha256(self.draft.encode() + self.arriving.sha256.encode()).hexdigest()

    def event(self, uri: str, probe: Probe) -> CallEnded:
        """The event of what has come. Raises `InvalidCallError` where that is not what was announced."""
        arrived = {"sha256": self.arriving.sha256, "bytes": self.arriving.bytes}
        for name, value in self.declared.items():
            if value != arrived[name]:
                raise InvalidCallError(f"audio.{name}: not that of the bytes that came")
        key_id = key_id_of(self.draft.tenant_id, self.draft.ended_at)
        encryption = AudioEncryption(algorithm=SUITE, key_id=key_id, parameters={"version": self.version})
        audio = {"uri": uri, **arrived, "encryption": encryption.model_dump()}
        return event_of(self.facts, audio, self._found(probe))

    def look(self, probe: Probe) -> None:
        """What the recording is, once as much of it has come as tells that: so that nobody waits for it at the end."""
        if self.arriving.found is None and self.arriving.head_is_full:
            self.arriving.found = _probed(probe, self.arriving.head)

    def _found(self, probe: Probe) -> AudioFacts | None:
        """What the recording is; null where that cannot be told, also not from its beginning."""
        (found,) = self.arriving.found or _probed(probe, self.arriving.head)
        if found is None or self.arriving.head_is_whole:
            return found
        return found.model_copy(update={"duration_ms": 0})  # of a part nobody knows how long the whole lasts


def _probed(probe: Probe, head: bytes) -> tuple[AudioFacts | None]:
    try:
        return (probe(head),)
    except UnhearableError:
        return (None,)


def _upload(
    facts: Mapping[str, Any],
    extension: str,
    arriving: "_Arriving",
    received_at: Callable[[], datetime],
) -> _Upload:
    """An attempt of its own. Raises `InvalidCallError`."""
    for name in ("call_id", "ended_at"):
        if facts.get(name) is None:
            raise InvalidCallError(f"{name}: missing; a recording is known by the id of its call and filed by its end")
    given = facts.get("audio") or {}
    if not isinstance(given, Mapping):
        raise InvalidCallError("audio: must be an object")
    for name in _OURS:
        if given.get(name) is not None:
            raise InvalidCallError(f"audio.{name}: leave it out; it says where and how callstream keeps the recording")
    declared = {name: given[name] for name in _DECLARED if given.get(name) is not None}
    rest = {name: value for name, value in given.items() if name not in (*_OURS, *_DECLARED)}
    known = {name: value for name, value in facts.items() if name != "audio" and value is not None} | {"audio": rest}
    # Equal for equal facts, whenever they come.
    draft = event_of(known, {"uri": PENDING_URI, "sha256": sha256().hexdigest(), "bytes": 0}, None)
    version = token_hex(8)
    try:
        key = recording_key(draft.tenant_id, draft.call_id, draft.ended_at, version, extension)
    except ValueError as error:
        raise InvalidCallError(str(error)) from None
    return _Upload(known, declared, draft, version, key, arriving, received_at)


class _Arriving:
    """Counts what comes, and keeps the beginning."""

    def __init__(self, max_bytes: int, head_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._head_bytes = head_bytes
        self._digest = sha256()
        self._head = bytearray()
        self.bytes = 0
        self.found: tuple[AudioFacts | None] | None = None
        """What the beginning tells, null in it where that is nothing; null where nobody has looked yet."""

    def take(self, chunk: bytes) -> None:
        """Raises `TooLargeError`."""
        self.bytes += len(chunk)
        if self.bytes > self._max_bytes:
            raise TooLargeError(f"the recording has more than {self._max_bytes} bytes (intake_max_bytes)")
        self._digest.update(chunk)
        if (room := self._head_bytes - len(self._head)) > 0:
            self._head += chunk[:room]

    @property
    def sha256(self) -> str:
        """Of everything that came."""
        return self._digest.hexdigest()

    @property
    def head_is_full(self) -> bool:
        """Whether more bytes would not make it longer."""
        return len(self._head) == self._head_bytes

    @property
    def head_is_whole(self) -> bool:
        """Whether it is all that came."""
        return len(self._head) == self.bytes

    @property
    def head(self) -> bytes:
        """The first bytes, all of them where they are few."""
        return bytes(self._head)
