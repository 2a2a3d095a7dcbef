"""The speech engine port: sound in, recognised speech out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.transcript import EngineIdentity

ENGINE_SAMPLE_RATE_HZ = 16_000
Samples = NDArray[np.float32]
"""Mono samples at 16 kHz, float32 in −1…1, shape (n,)."""


@dataclass(frozen=True)
class SpeechClip:
    """A stretch of one channel that holds speech: at most 30 s, as VAD and packing cut it."""

    channel: int
    start_ms: int
    samples: Samples


@dataclass(frozen=True)
class RecognizedWord:
    """A word with times in milliseconds from the start of the recording."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class RecognizedSpeech:
    """What an engine understood in one clip, with the signs by which hallucination is judged."""

    channel: int
    start_ms: int
    end_ms: int
    text: str
    words: tuple[RecognizedWord, ...]
    confidence: float
    no_speech_probability: float
    compression_ratio: float


@dataclass(frozen=True)
class Recognition:
    """All clips of one call, recognised; `language` as detected (ISO 639-1) with its probability."""

    language: str
    language_confidence: float
    speech: tuple[RecognizedSpeech, ...]


class SpeechEngine(Protocol):
    """A recogniser. Built once per worker; one method, called from one thread."""

    @property
    def identity(self) -> EngineIdentity:
        """Name, version, model and the settings that change its output."""
        ...

    def recognize(self, clips: Sequence[SpeechClip], *, language_hint: str | None) -> Recognition:
        """Recognise the clips of one call. An unknown hint is ignored and the language detected."""
        ...
