"""One recording through the same stages in one process, without broker, store or database."""

import time
from dataclasses import replace
from pathlib import Path

from processors.listening.pipeline import listen
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript
from streams.ports import Clock
from streams.settings import Settings
from streams.stages.capture import call_of_file, read_facts
from streams.wiring import build_emotion, build_engine, build_judge, listen_settings


def analyze_file(file: Path, meta: Path | None, settings: Settings, clock: Clock) -> tuple[Transcript, CallAnalysis]:
    """The transcript and the analysis of a recording; `meta` is a JSON file with fields of `CallEnded`.

    Raises `InvalidCallError`, `WeightsError`, `HeadsError` and `CheckpointError`.
    """
    call, data = call_of_file(file, read_facts(meta) if meta else {}, settings.max_recording_bytes)
    # Whoever asks about one recording wants to read it, however short it is.
    how = replace(listen_settings(settings), hear_too_short=True)
    engine = build_engine(settings)
    emotion = build_emotion(settings, engine)
    transcript = listen(call, data, engine, how, clock.now(), time.monotonic, emotion)
    return transcript, build_judge(settings).judge(transcript, clock.now())
