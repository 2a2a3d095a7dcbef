"""`receive`: a transcript that was made elsewhere, masked, on the way of all others.

The only stage that sees such a text in clear. What it writes, to its topic and to the object store, is masked.
"""

from dataclasses import dataclass
from datetime import timedelta

from processors.receiving.pipeline import ReceiveSettings, transcript_of
from schemas.errors import ConflictingCallError
from schemas.messages.topics import CALLS_TRANSCRIBED, TRANSCRIPTS_RECEIVED
from schemas.messages.transcript import EngineIdentity, Transcript
from schemas.messages.transcript_received import TranscriptReceived
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import RecordingStore
from streams.ports import Clock
from streams.runtime.loop import Loop
from streams.runtime.stage import Stage
from streams.runtime.worker_context import WorkerContext
from streams.wiring import receive_settings, require_topics

_NEXT = timedelta(milliseconds=1)
"""The smallest difference by which one transcript of a call is newer than another."""


def build(worker: WorkerContext) -> Loop:
    """Waits for object store and Kafka; raises `StoreAccessError`."""
    settings = worker.settings
    store = object_store_from(settings)
    worker.wait_for(store.check)
    texts_only = RecordingStore(store, max_recording_bytes=0)
    stage = receive_stage(texts_only, receive_settings(settings), worker.clock)
    worker.wait_for(lambda: require_topics(settings))
    return worker.loop_of(stage, FaustSource(settings, stage.name, stage.source.name, worker.stop))


@dataclass(frozen=True)
class Arrived:
    """A transcript from outside, with what is known of its call."""

    received: TranscriptReceived
    known: Transcript | None


def receive_stage(
    recordings: RecordingStore, settings: ReceiveSettings, clock: Clock
) -> Stage[TranscriptReceived, Arrived, Transcript]:
    """transcripts.received.v1 → mask → calls.transcribed.v1.

    The masked transcript is kept where `listen` keeps what it hears. One that comes again gives the stored one; another
    one with the same call id is refused, and so is one of a call whose recording was heard: that stands (ADR 0041).
    """

    def load(received: TranscriptReceived) -> Arrived:
        return Arrived(received, recordings.load_transcript(received.tenant_id, received.call_id))

    def step(arrived: Arrived) -> Transcript:
        masked = transcript_of(arrived.received, settings, clock.now())
        return masked if arrived.known is None else _beside(masked, arrived.known)

    def save(arrived: Arrived, transcript: Transcript) -> None:
        if transcript is not arrived.known:
            recordings.save_transcript(transcript)

    return Stage("receive", TRANSCRIPTS_RECEIVED, load, step, save, CALLS_TRANSCRIBED, clock)


def _beside(masked: Transcript, known: Transcript) -> Transcript:
    """Which of the two is the transcript of the call. Raises `ConflictingCallError`."""
    if known.call.ended_at != masked.call.ended_at:
        raise ConflictingCallError(["call.ended_at: another than with this call_id before"])
    if not known.engine.is_received:
        if known.outcome in (None, "too_short"):
            raise ConflictingCallError(["call.call_id: the recording of this call was heard, and that stands"])
    elif _is_written_alike(known.engine, masked.engine):
        if (known.call, known.engine, known.segments) != (masked.call, masked.engine, masked.segments):
            raise ConflictingCallError(["call.call_id: another transcript of this call was received before"])
        return known
    # In place of a recording that could not be heard, or masked anew after an update or by another policy.
    return masked.model_copy(update={"transcribed_at": max(masked.transcribed_at, known.transcribed_at + _NEXT)})


def _is_written_alike(one: EngineIdentity, other: EngineIdentity) -> bool:
    """Whether the same text would come out of both alike: by the same release, policy and script."""
    names = ("chinese_script", "pii_keep_last")
    return one.version == other.version and all(one.settings.get(name) == other.settings.get(name) for name in names)
