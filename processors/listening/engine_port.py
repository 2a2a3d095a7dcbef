"""The speech engine port: sound in, recognised speech out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.config.settings_part import SettingsPart
from schemas.messages.transcript import EngineIdentity

ENGINE_SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_MS = ENGINE_SAMPLE_RATE_HZ // 1000
MAX_CLIP_MS = 28_000
"""No clip is longer: recognisers hear 30 s at a time and need some silence around the speech."""

Samples = NDArray[np.float32]
"""Mono samples at 16 kHz, float32 in −1…1, shape (n,)."""


class ChannelAudio(Protocol):
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
    sound: ChannelAudio


ENCODER_FRAMES_PER_SECOND = 50
EncoderStates = NDArray[np.float32]
"""What an engine's encoder made of one clip, shape (frames, d): 50 frames a second from the start of the clip.

The encoder heard the clip among its neighbours, as the recogniser did. A view: to keep it is to keep far more.
"""
PooledStates = NDArray[np.float32]
StatesPool = Callable[[SpeechClip, EncoderStates], PooledStates]
"""Makes the small vector that is kept of the states of one clip. Called once for each clip, in any order."""


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
    own doubt that anybody spoke, 0 where it has none to tell. `pooled_states` is what the pool that was given made
    of the encoder's states; None without a pool, and of an engine that shows no states.
    """

    channel: int
    start_ms: int
    end_ms: int
    text: str
    words: tuple[RecognizedWord, ...]
    confidence: float
    no_speech_probability: float
    pooled_states: PooledStates | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Recognition:
    """All clips of one call, recognised; `language` is ISO 639-1 (yue for Cantonese).

    `language_confidence` is the probability that the engine itself gives to that language.
    """

    language: str
    language_confidence: float
    speech: tuple[RecognizedSpeech, ...]


class SpeechEngine(Protocol):
    """A recogniser. Built once per worker; one method, called from one thread at a time unless its settings say that
    several may (`EngineSettings.hears_several`)."""

    @property
    def identity(self) -> EngineIdentity:
        """Name, version, model and the settings that change its output."""
        ...

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        """Recognise the clips of one call, at least one; one result for each, in the same order.

        Raises `RetryableError` where the engine is a service that is busy or away: the call waits; `OperatorError` for
        what a person must mend; anything else ends this call as `bad_audio`.

        A hint that the engine does not know is ignored and the language detected. With a `pool`, an engine that has
        an encoder hands its states over while it recognises: they are computed once.
        """
        ...


class EngineSettings(SettingsPart, ABC):
    """The settings of one recogniser. The file that declares them is found by being there: in
    `processors.listening.engines`, or that of a service in `streams.adapters.speech`."""

    kind: ClassVar[str]
    """The value of `speech_engine` that chooses it."""

    hears_several: ClassVar[bool] = False
    """Whether several threads may call `recognize` at the same time."""

    @property
    def errs_by_sound(self) -> bool:
        """Whether it was measured that putting characters of the same sound right makes its errors fewer."""
        return False

    def lacking(self) -> str | None:
        """What else must be set before this recogniser can be chosen, as it ends a sentence; None where it can be."""
        return None

    @abstractmethod
    def build(self, cache_dir: Path) -> SpeechEngine:
        """Load the model; `cache_dir` keeps what can be fetched again. Raises `WeightsError` and `DeviceError`."""
