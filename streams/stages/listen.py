"""`listen`: fetch a recording, recognise what was said, judge how it was said.

The only stage that sees audio, and it sees each recording once.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from processors.custody.ports import Tombstones
from processors.emotion.segments import EmotionModel
from processors.listening.audio import DecodeLimits, Recording, UnhearableError, decode
from processors.listening.engine_port import SpeechEngine
from processors.listening.pipeline import Decoder, ListenSettings, Stopwatch, listen, listener_of, unheard_transcript
from processors.listening.renditions import Renditions
from schemas.config.tenants import RecordingFormat, Tenants, read_tenants
from schemas.errors import ConflictingCallError, OperatorError, RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, LANE_OF
from schemas.messages.transcript import Transcript
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.lane_source import KafkaLaneSource
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import RecordingStore, UnreadableRecordingError
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.register import Register
from streams.analysis import build_emotion, build_engine, hears_several, listen_settings
from streams.ports import Clock, LaneSource, PlaceCommits
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.fair_queue import FairQueue
from streams.runtime.in_flight import LONG_CALL_S, InFlight, Window
from streams.runtime.logs import describe
from streams.runtime.loop import REFUSALS_FILE, Loop, Streak
from streams.runtime.memory import memory_bytes
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.stage import Stage
from streams.runtime.worker_context import WorkerContext
from streams.wiring import (
    buried_calls,
    recording_store_from,
    rendition_store_from,
    require_register,
    require_sealed_transcripts,
    require_topics,
    transcript_store_from,
)

log = logging.getLogger(__name__)

WINDOW_BYTES = 64 * 1024 * 1024
"""Of events that a worker reads ahead in one lane. Usual ones have a thousand bytes, and may have half a million."""

LEAVE_WITHIN_S = 1.0
"""So much of the time that a stopped worker has is for leaving the group."""

FAILURES_IN_A_ROW = 20
"""So many recordings in a row that raise a bug: then the code is wrong, not the recordings."""


def build(worker: WorkerContext) -> Loop:
    """Waits for object store and Kafka; raises `WeightsError`, `DeviceError`, `HeadsError` and `StoreAccessError`."""
    settings = worker.settings
    store = object_store_from(settings)
    worker.wait_for(store.check)
    transcripts = transcript_store_from(settings, store)
    worker.wait_for(lambda: require_sealed_transcripts(transcripts))
    worker.wait_for(lambda: require_register(Register.of(settings)))
    before_bytes = memory_bytes()
    engine = build_engine(settings)
    emotion = build_emotion(settings, engine)
    worker.metrics.models_loaded(engine.identity.name, memory_bytes() - before_bytes)
    decoder = DecoderProcess()

    def decode_and_tell(data: bytes, limits: DecodeLimits) -> Recording:
        recording = decoder.decode(data, limits)
        worker.watchdog.audio_is(recording.facts.duration_ms / 1000)  # an event may say less than there is
        return recording

    heard = listen_settings(settings)
    tenants = read_tenants(settings.tenants_file)
    renditions = RenditionMaker(
        rendition_store_from(settings, store),
        decoder.render,
        DecodeLimits(heard.max_call_ms),
        lambda tenant: tenants.convert_recordings_to(tenant) or settings.convert_recordings_to,
    )
    stage = listen_stage(
        engine,
        recording_store_from(settings, store),
        transcripts,
        heard,
        worker.clock,
        time.monotonic,
        emotion,
        decode_and_tell,
        renditions,
        buried_calls(settings),
        lambda transcript: count_heard(worker.metrics, transcript),
    )
    worker.wait_for(lambda: require_topics(settings))
    return loop_of(worker, stage, tenants)


def loop_of(worker: WorkerContext, stage: "Stage[CallEnded, Recorded, Transcript]", tenants: Tenants) -> Loop:
    """Calls of all lanes, several at once, fairly shared between tenants."""
    settings = worker.settings
    timed = replace(stage, timed=worker.metrics.timed)

    def open_source(assigned: Callable[[PlaceCommits], None], revoked: Callable[[], None]) -> LaneSource:
        return KafkaLaneSource(settings, stage.name, [*LANE_OF], assigned, revoked)

    in_flight = InFlight(
        stage.name,
        open_source,
        LANE_OF,
        FairQueue(settings.lane_weights, tenants.weight, LONG_CALL_S),
        timed.handle,
        worker.publisher(),
        worker.stop,
        settings.retry_max_wait_s,
        settings.listen_at_once if hears_several(settings) else 1,
        Window(settings.listen_window_calls, WINDOW_BYTES),
        worker.guard(),
        Streak(f"{stage.name} refused", settings.dead_letter_streak_limit, worker.folder / REFUSALS_FILE),
        worker.metrics,
        worker.watchdog,
        paused=lambda: worker.pauses.paused_tenants(stage.name),
        finish_within_s=max(settings.finish_within_s - LEAVE_WITHIN_S, 0),
    )
    loop = worker.loop(in_flight.step, close=in_flight.close)
    in_flight.beat = loop.beat
    return loop


Renderer = Callable[[bytes, DecodeLimits, RecordingFormat | None], Renditions]
"""`processors.listening.renditions.render`, or the same in a process of its own."""


@dataclass(frozen=True)
class RenditionMaker:
    """Makes, once for each recording that was heard, what people need to listen to it."""

    store: RenditionStore
    render: Renderer
    limits: DecodeLimits
    format_of: Callable[[str], RecordingFormat | None]
    """Tenant → what its recordings are converted to."""

    def make(self, call: CallEnded, audio: bytes) -> None:
        """Durable when this returns. What cannot be made of a recording is left out: it was heard, and that counts.

        Raises `RetryableError` and `OperatorError`.
        """
        if self.store.is_complete(call):
            return
        convert_to = self.format_of(call.tenant_id)
        try:
            made = self.render(audio, self.limits, convert_to)
        except UnhearableError as error:
            log.warning("listen: no waveform of %s/%s: %s", call.tenant_id, call.call_id, error.reason)
            return
        self.store.save(call, made, convert_to)


@dataclass(frozen=True)
class Recorded:
    """A call on its way through `listen`: with its audio, or with why there is none, or with what was heard before.

    `received` is its transcript from elsewhere, which stands as long as its recording cannot be heard.
    """

    call: CallEnded
    audio: bytes | None = None
    unreadable: UnreadableRecordingError | None = None
    heard_before: Transcript | None = None
    received: Transcript | None = None
    known_at: datetime | None = None
    """When the transcript that is known of it was made, by the clock of whoever made it."""

    def moment(self, now: datetime) -> datetime:
        """When a transcript that is made now was made: after the one that is known, whose clock may have been wrong.

        The newest stands; one of an hour ahead would else stand for an hour.
        """
        return now if self.known_at is None else max(now, self.known_at + timedelta(milliseconds=1))


def listen_stage(
    engine: SpeechEngine,
    recordings: RecordingStore,
    transcripts: TranscriptStore,
    settings: ListenSettings,
    clock: Clock,
    stopwatch: Stopwatch,
    emotion: EmotionModel | None = None,
    decode: Decoder = decode,
    renditions: RenditionMaker | None = None,
    tombstones: Tombstones = NO_TOMBSTONES,
    was_heard: Callable[[Transcript], None] = lambda _transcript: None,
) -> Stage[CallEnded, Recorded, Transcript]:
    """calls.ended.v1 → fetch, decode, VAD, recognise, judge emotion → calls.transcribed.v1.

    The transcript is kept in the object store, so that a call that comes again is not recognised again: the same
    event, heard by the same engine, gives the stored transcript. Another event with the same call id is refused.
    What is heard takes the place of a transcript that `receive` had of the call. `was_heard` is told of each recording
    that was recognised just now.
    Several threads may work on calls at once where the engine lets them.
    """

    listener = listener_of(engine, settings, emotion)
    failures = Streak("listen failed on", FAILURES_IN_A_ROW)

    def load(call: CallEnded) -> Recorded:
        known = transcripts.load(call.tenant_id, call.call_id)
        if known is not None:
            _refuse_conflict(call, known)
        heard = known if known is not None and _was_heard(known) else None
        received = known if known is not None and known.engine.is_received else None
        if heard is not None and heard.engine.hears_like(listener):
            return Recorded(call, heard_before=heard)
        known_at = known.transcribed_at if known is not None else None
        try:
            return Recorded(call, audio=recordings.load_audio(call), received=received, known_at=known_at)
        except UnreadableRecordingError as error:
            # What another recogniser heard is worth more than a recording that has lawfully gone since.
            return Recorded(call, unreadable=error, heard_before=heard or received, known_at=known_at)

    def step(recorded: Recorded) -> Transcript:
        if recorded.heard_before is not None:
            return recorded.heard_before
        made_at = recorded.moment(clock.now())
        if recorded.audio is None:
            reason = recorded.unreadable
            assert reason is not None, "either audio, or why there is none"  # noqa: S101
            return unheard_transcript(recorded.call, reason.outcome, reason.reason, listener, made_at)
        try:
            transcript = listen(recorded.call, recorded.audio, engine, settings, made_at, stopwatch, emotion, decode)
        except (OperatorError, RetryableError):
            raise  # a device or a service that is gone is nothing that a recording can do
        except Exception as error:
            call = recorded.call
            log.error("listen: call %s/%s ends as bad_audio by %s", call.tenant_id, call.call_id, describe(error))
            failures.count()
            transcript = unheard_transcript(call, "bad_audio", "internal_error", listener, made_at, error=error)
        else:
            failures.reset()
            was_heard(transcript)
        return transcript if recorded.received is None or _was_heard(transcript) else recorded.received

    def save(recorded: Recorded, transcript: Transcript) -> None:
        if recorded.heard_before is not None or transcript is recorded.received:
            return
        # Meanwhile another worker may have heard another event of the call, from another partition.
        if (meanwhile := transcripts.load(recorded.call.tenant_id, recorded.call.call_id)) is not None:
            _refuse_conflict(recorded.call, meanwhile)
        if renditions is not None and recorded.audio is not None and _was_heard(transcript):
            renditions.make(recorded.call, recorded.audio)
        transcripts.save(transcript)

    return Stage("listen", CALLS_ENDED, load, step, save, CALLS_TRANSCRIBED, clock, tombstones=tombstones)


def count_heard(metrics: WorkerMetrics, transcript: Transcript) -> None:
    """Into the metrics: how long it took, for how much audio, and which text is not believed."""
    if transcript.audio is not None and transcript.real_time_factor is not None:
        metrics.heard(
            transcript.engine.name,
            transcript.audio.duration_ms / 1000,
            transcript.real_time_factor,
            [piece.reason for piece in transcript.rejected],
        )


def _was_heard(transcript: Transcript) -> bool:
    """A recording that could not be heard may be repaired, and its event published again; one whose transcript was
    made elsewhere was never listened to.
    """
    return transcript.outcome in (None, "too_short") and not transcript.engine.is_received


def _refuse_conflict(call: CallEnded, known: Transcript) -> None:
    """The first event that was heard stands. One that was not may be corrected in all but the end of the call, under
    which its rows are filed. Raises `ConflictingCallError`.
    """
    if known.call == call:
        return
    if _was_heard(known):
        raise ConflictingCallError(["call_id: another event with this call_id was heard before"])
    if known.call.ended_at != call.ended_at:
        raise ConflictingCallError(["ended_at: another than in the event with this call_id before"])
