"""The stage `play`: people listen to recordings over HTTP.

A process of its own, because it alone of those that are reached over HTTP may open recordings: `serve`, at which
systems upload, seals them and cannot. What it answers is in `streams/play`; this file gives it store and register.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import LifoQueue

from processors.custody.audit_entry import AuditLog
from processors.custody.ports import Tombstones
from processors.listening.virtual_wav import SoundFrames, WavShape
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.object_store.archive import ArchivedResults
from streams.adapters.object_store.from_settings import whole_store_from
from streams.adapters.object_store.playable import DecodesStretches, PlayableRecordings
from streams.adapters.register.api_keys import RegisterApiKeys
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.register import Register
from streams.adapters.register.tombstones import RegisterTombstones
from streams.listening import Listening
from streams.play.application import build_app
from streams.play.ports import Played
from streams.ports import Clock, ObjectStore
from streams.runtime.loop import Loop
from streams.runtime.worker_context import WorkerContext
from streams.serve.application import ASKING_THREADS
from streams.serve.authentication import Authentication
from streams.serve.people import People
from streams.serve.permission import Authenticates
from streams.serve.ports import ServedExports
from streams.serve.server import Server
from streams.settings import Settings
from streams.stages.exporting import RangedSounds, exporting_from, exports_of
from streams.stages.serve import people_from
from streams.wiring import rendition_store_from, require_register, sealed_store_from, transcript_store_from

LOOKED_AFTER_EVERY_S = 0.5
DECODERS = 2
DECODE_WITHIN_S = 20.0
"""A stretch takes milliseconds, a whole recording that cannot be sought in seconds."""

_SILENT = WavShape(8_000, 1, 8)
_SILENCE = _SILENT.header() + bytes(_SILENT.frames * _SILENT.frame_bytes)


class Decoders:
    """Some decoder processes: while one is at a recording that takes long, others are heard."""

    def __init__(self, count: int = DECODERS, within_s: float = DECODE_WITHIN_S) -> None:
        self._all = [DecoderProcess(within_s) for _ in range(count)]
        self._free: LifoQueue[DecoderProcess] = LifoQueue()
        for each in self._all:
            self._free.put(each)

    def start(self) -> None:
        """Start them now, rather than while somebody waits for the first sound."""
        for each in self._all:
            each.probe(_SILENCE)

    def stretch(self, parts: Sequence[bytes], at_ms: int, first: int, count: int, channels: int) -> SoundFrames:
        """See `DecodesStretches`. Waits for a decoder that is free."""
        decoder = self._free.get()
        try:
            return decoder.stretch(parts, at_ms, first, count, channels)
        finally:
            self._free.put(decoder)

    def close(self) -> None:
        """End them."""
        for each in self._all:
            each.close()


def listening_from(
    settings: Settings,
    store: ObjectStore,
    register: Register,
    clock: Clock,
    decode: DecodesStretches,
    *,
    audit_log: AuditLog,
    tombstones: Tombstones,
) -> Listening:
    """The use case over this store and register, with the keys of audio and transcripts that the settings give."""
    recordings = PlayableRecordings(
        store,
        sealed_store_from(settings, store, "audio", register=register),
        rendition_store_from(settings, store),
        decode,
    )
    return Listening(
        recordings,
        transcript_store_from(settings, store),
        RegisterIntakes(register, clock),
        tombstones,
        audit_log,
        clock,
        ArchivedResults(sealed_store_from(settings, store, "transcript", register=register)),
    )


def build(worker: WorkerContext) -> Loop:
    """See `play_loop`. Raises what `people_from` and `exporting_from` do besides."""
    settings, clock = worker.settings, worker.clock
    register, store = Register.of(settings), whole_store_from(settings)
    audit_log, tombstones = RegisterAuditLog(register, clock), RegisterTombstones(register, clock)
    asking = ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="ask")
    people = People(people_from(settings, register, clock), clock, asking)

    def close() -> None:
        people.close()
        asking.shutdown(wait=False, cancel_futures=True)

    def exports(listening: Listening) -> ServedExports:
        sounds = RangedSounds(lambda tenant, call, muting: listening.approved(tenant, call, muting=muting))
        return exports_of(exporting_from(settings, register, clock, audit_log, tombstones, sounds))

    return play_loop(
        worker,
        store,
        register,
        authentication=Authentication(RegisterApiKeys(register, clock), people, clock, asking),
        audit_log=audit_log,
        tombstones=tombstones,
        close_authentication=close,
        exports_by=exports,
    )


def play_loop(
    worker: WorkerContext,
    store: ObjectStore,
    register: Register,
    *,
    authentication: Authenticates,
    audit_log: AuditLog,
    tombstones: Tombstones,
    close_authentication: Callable[[], None],
    exports_by: Callable[[Listening], ServedExports] | None = None,
) -> Loop:
    """Waits for object store and register, then listens. Raises `AddressError` and `CertificateError`."""
    settings, decoders = worker.settings, Decoders()
    worker.wait_for(store.check)
    worker.wait_for(lambda: require_register(register))
    listening = listening_from(
        settings, store, register, worker.clock, decoders.stretch, audit_log=audit_log, tombstones=tombstones
    )
    checks = {"the object store": store.check, "the register": lambda: require_register(register)}
    exports = None if exports_by is None else exports_by(listening)
    decoders.start()
    server = Server(
        build_app(Played(settings, authentication, listening, checks, exports)),
        settings,
        worker.clock.now(),
        name="play",
        answered=worker.metrics.answered,
    )
    server.start()

    def close() -> None:
        server.stop()
        decoders.close()
        close_authentication()
        register.close()

    return worker.loop(server.look, every_s=LOOKED_AFTER_EVERY_S, close=close)
