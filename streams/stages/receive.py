"""`receive`: a transcript that was made elsewhere, masked, on the way of all others.

The only stage that sees such a text in clear. What it writes, to its topic and to the object store, is masked.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from processors.custody.ports import Tombstones
from processors.receiving.pipeline import ReceiveSettings, call_of, transcript_of
from schemas.errors import ConflictingCallError, InvalidMessageError
from schemas.messages.topics import CALLS_TRANSCRIBED, TRANSCRIPTS_RECEIVED
from schemas.messages.transcript import EngineIdentity, Transcript
from schemas.messages.transcript_received import TranscriptReceived
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.received import OriginalGoneError, ReceivedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.register import Register
from streams.analysis import receive_settings
from streams.ports import Clock
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.loop import Loop, in_own_thread
from streams.runtime.stage import Stage
from streams.runtime.worker_context import WorkerContext
from streams.wiring import (
    buried_calls,
    received_store_from,
    require_register,
    require_sealed_transcripts,
    require_topics,
    transcript_store_from,
)

log = logging.getLogger(__name__)

_NEXT = timedelta(milliseconds=1)
"""The smallest difference by which one transcript of a call is newer than another."""

KEPT = timedelta(milliseconds=TRANSCRIPTS_RECEIVED.retention_ms + (TRANSCRIPTS_RECEIVED.segment_ms or 0))
"""So long an original waits to be masked: as long as its message can lie in the topic."""

LOOK_EVERY_S = 3600.0

IN_CLEAR = (
    "utterances: in clear, which is refused here; send it with `callstream publish --transcript`, which seals it, or "
    "set clear_transcripts to take"
)


def build(worker: WorkerContext) -> Loop:
    """Waits for object store and Kafka; raises `StoreAccessError` and `NotPreparedError`."""
    settings = worker.settings
    store = object_store_from(settings)
    worker.wait_for(store.check)
    transcripts, originals = transcript_store_from(settings, store), received_store_from(settings, store)
    worker.wait_for(lambda: require_sealed_transcripts(transcripts))
    worker.wait_for(lambda: require_register(Register.of(settings)))
    stage = receive_stage(
        transcripts,
        originals,
        receive_settings(settings),
        worker.clock,
        takes_clear=settings.clear_transcripts == "take",
        tombstones=buried_calls(settings),
    )
    worker.wait_for(lambda: require_topics(settings))
    in_own_thread(
        Loop(
            "originals of receive",
            lambda: remove_old(originals, worker.clock),
            worker.stop,
            settings.retry_max_wait_s,
            every_s=LOOK_EVERY_S,
            survives_bugs=True,
        )
    )
    return worker.loop_of(stage, FaustSource(settings, stage.name, stage.source.name, worker.stop))


def remove_old(originals: ReceivedStore, clock: Clock) -> None:
    """Originals that nobody masked for as long as their messages are kept. Raises `RetryableError`."""
    if gone := originals.remove_older_than(clock.now() - KEPT):
        log.warning("%d transcripts from outside were not masked in time, or refused, and are removed", gone)


@dataclass(frozen=True)
class Arrived:
    """A transcript from outside, with what is known of its call. `original` is None once it was masked and removed."""

    received: TranscriptReceived
    original: TranscriptReceived | None
    known: Transcript | None


def receive_stage(
    transcripts: TranscriptStore,
    originals: ReceivedStore,
    settings: ReceiveSettings,
    clock: Clock,
    *,
    takes_clear: bool = False,
    tombstones: Tombstones = NO_TOMBSTONES,
) -> Stage[TranscriptReceived, Arrived, Transcript]:
    """transcripts.received.v1 → open → mask → calls.transcribed.v1.

    The masked transcript is kept where `listen` keeps what it hears; once it is durable there, the sealed original is
    removed. One that comes again gives the stored one; another one with the same call id is refused, and so is one of a
    call whose recording was heard: that stands (ADR 0041). One in clear is refused unless `takes_clear`.
    """

    def load(received: TranscriptReceived) -> Arrived:
        if received.sealed is None and not takes_clear:
            raise InvalidMessageError([IN_CLEAR])
        known = transcripts.load(received.tenant_id, received.call_id)
        try:
            return Arrived(received, originals.open(received), known)
        except OriginalGoneError:
            return Arrived(received, None, known)

    def step(arrived: Arrived) -> Transcript:
        known = arrived.known
        if arrived.original is None:
            if known is None or not known.engine.is_received or known.call != call_of(arrived.received):
                raise InvalidMessageError(["sealed: the transcript lies in the object store no more; send it again"])
            return known  # it was masked and removed, and the worker ended before it had said so
        masked = transcript_of(arrived.original, settings, clock.now())
        return masked if known is None else _beside(masked, known)

    def save(arrived: Arrived, transcript: Transcript) -> None:
        if transcript is not arrived.known:
            transcripts.save(transcript)
        originals.remove(arrived.received)

    return Stage("receive", TRANSCRIPTS_RECEIVED, load, step, save, CALLS_TRANSCRIBED, clock, tombstones=tombstones)


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
