"""One recording through the same stages in one process, without broker, store or database."""

import time
from dataclasses import replace
from pathlib import Path

from processors.listening.pipeline import listen
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.transcript import Transcript
from streams.adapters.decoder.process import DecoderProcess
from streams.ports import Clock
from streams.settings import Settings
from streams.stages.capture import call_of_file, read_facts
from streams.wiring import build_emotion, build_engine, build_judge, listen_settings


def analyze_file(file: Path, meta: Path | None, settings: Settings, clock: Clock) -> tuple[Transcript, CallAnalysis]:
    """The transcript and the analysis of a recording; `meta` is a JSON file with fields of `CallEnded`.

    Raises `InvalidCallError`, `WeightsError`, `HeadsError` and `CheckpointError`.
    """
    with DecoderProcess() as decoder:
        call, data = call_of_file(file, read_facts(meta) if meta else {}, settings.max_recording_bytes, decoder)
        return _analyze(call, data, settings, clock, decoder)


def _analyze(
    call: CallEnded, data: bytes, settings: Settings, clock: Clock, decoder: DecoderProcess
) -> tuple[Transcript, CallAnalysis]:
    # Whoever asks about one recording wants to read it, however short it is.
    how = replace(listen_settings(settings), hear_too_short=True)
    engine = build_engine(settings)
    emotion = build_emotion(settings, engine)
    transcript = listen(call, data, engine, how, clock.now(), time.monotonic, emotion, decoder.decode)
    return transcript, build_judge(settings).judge(transcript, clock.now())
