"""The speech engine port: sound in, recognised speech out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.transcript import EngineIdentity

ENGINE_SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_MS = ENGINE_SAMPLE_RATE_HZ // 1000
MAX_CLIP_MS = 28_000
"""No clip is longer: recognisers hear 30 s at a time and need some silence around the speech."""

Samples = NDArray[np.float32]
"""Mono samples at 16 kHz, float32 in −1…1, shape (n,)."""


class Sound(Protocol):
    """One channel of a recording, held in whatever form takes little memory."""

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds of sound."""
        ...

    def samples(self, start_ms: int, end_ms: int) -> Samples:
        """The sound between two points, converted on demand; what lies outside the recording is silence."""
        ...


@dataclass(frozen=True)
class SpeechClip:
    """One stretch of speech on one channel, at most `MAX_CLIP_MS` long, in milliseconds of the recording."""

    channel: int
    start_ms: int
    end_ms: int
    sound: Sound


@dataclass(frozen=True)
class RecognizedWord:
    """A word with times in milliseconds from the start of the recording."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class RecognizedSpeech:
    """What an engine understood in one clip, with the signs by which an invented text is known.

    `text` is the words put together, unless the engine gives no words. `no_speech_probability` is the engine's
    own doubt that anybody spoke, 0 where it has none to tell.
    """

    channel: int
    start_ms: int
    end_ms: int
    text: str
    words: tuple[RecognizedWord, ...]
    confidence: float
    no_speech_probability: float


@dataclass(frozen=True)
class Recognition:
    """All clips of one call, recognised; `language` is ISO 639-1 (yue for Cantonese).

    `language_confidence` is the probability that the engine itself gives to that language.
    """

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
        """Recognise the clips of one call, at least one; one result for each, in the same order.

        A hint that the engine does not know is ignored and the language detected.
        """
        ...
