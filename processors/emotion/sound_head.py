"""Emotion from sound: what the recogniser's encoder made of a segment and its prosody, seen against its speaker."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from processors.digest import digest_of
from processors.emotion.prosody import PROSODY_FEATURES, prosody_of
from processors.emotion.reading import HeadReading, mean_of, probability_of, reading_of
from processors.listening.engine_port import EncoderStates, PooledStates, Samples, SpeechClip
from schemas.messages.emotion import SoundGap

PROSODY_SIZE = len(PROSODY_FEATURES)

RECIPE = 2
"""Rises when the same sound would give other features than before, or the same features another reading."""

SoundFeatures = NDArray[np.float32]
"""The pooled states of an encoder followed by the prosody; the prosody alone where no states were given."""


def pool(states: EncoderStates, frames: slice = slice(None)) -> PooledStates:
    """Mean and standard deviation over frames of speech: states (frames, d) become one vector, shape (2 d,).

    Raises `ValueError` where the slice holds no frame.
    """
    spoken = states[frames]
    if not len(spoken):
        raise ValueError("no frames to pool")
    return np.concatenate([spoken.mean(axis=0), spoken.std(axis=0)]).astype(np.float32)


def pool_clip(clip: SpeechClip, states: EncoderStates) -> PooledStates:
    """`pool` in the form in which a recogniser takes it (`processors.listening.engine_port.StatesPool`).

    A clip shorter than a frame has zeros, which nobody looks at: it has no prosody either.
    """
    del clip
    return pool(states) if len(states) else np.zeros(2 * states.shape[1], dtype=np.float32)


def sound_features(samples: Samples, pooled: PooledStates | None) -> SoundFeatures | SoundGap:
    """The features of one segment: its sound (mono, 16 kHz) and the pooled states, if any; or why there are none."""
    prosody = prosody_of(samples)
    if isinstance(prosody, str):
        return prosody
    return prosody if pooled is None else np.concatenate([pooled, prosody])


@dataclass(frozen=True)
class SpeakerPrior:
    """What is expected of a speaker before the first word, and how soon the speaker's own segments count for more.

    `mean` is that of the speakers in training, `spread` the standard deviation of segments around their own speaker;
    both have one number for each feature. The strengths say how many segments each of the two is worth.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    mean_strength: float
    spread_strength: float


class SpeakerHistory:
    """Running mean and spread of one speaker's features. It knows the past of the call only.

    A segment is seen against mean = (k · prior + Σ w_i x_i) / (k + Σ w_i) over the segments before it, where w_i is
    the probability that segment i was calm: the measure of a speaker is the speaker's calm voice. The spread is
    shrunk to its prior in the same way, as a variance.
    """

    def __init__(self, prior: SpeakerPrior) -> None:
        self._sum = prior.mean.astype(np.float64) * prior.mean_strength
        self._sum_weight = prior.mean_strength
        self._squares = prior.spread.astype(np.float64) ** 2 * prior.spread_strength
        self._squares_weight = prior.spread_strength

    def relative(self, features: SoundFeatures) -> SoundFeatures:
        """The features as distances from what is normal for this speaker so far, in spreads, at most ±6."""
        spread = np.sqrt(self._squares / self._squares_weight)
        result: SoundFeatures = np.clip((features - self._mean()) / spread, -6, 6).astype(np.float32)
        return result

    def remember(self, features: SoundFeatures, calm: float) -> None:
        """Count a segment among what is normal for this speaker, by the probability that it was calm."""
        self._squares += calm * (features - self._mean()) ** 2
        self._squares_weight += calm
        self._sum += calm * features
        self._sum_weight += calm

    def _mean(self) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = self._sum / self._sum_weight
        return mean


@dataclass(frozen=True)
class SoundHead:
    """A linear model over features relative to their speaker; `weights` has the shape (classes, features).

    `encoder` names the recogniser's model whose states the head was trained with; None: prosody alone.
    `slope` and `offset` turn its log odds of `angry` into evidence, as speakers that it had not met have shown.
    """

    encoder: str | None
    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    prior: SpeakerPrior
    slope: float
    offset: float

    @cached_property
    def digest(self) -> str:
        """A name that changes whenever its readings may change."""
        return digest_of((RECIPE, self))

    def of_speaker(self) -> "SpeakerEar":
        """A new ear for one speaker of one call."""
        return SpeakerEar(self)

    def read_relative(self, relative: SoundFeatures) -> HeadReading:
        """What features relative to their speaker say."""
        return reading_of(self.weights @ relative + self.biases, self.classes, self.slope, self.offset)


class SpeakerEar:
    """Hears one speaker's segments one after the other; no reading depends on a later segment."""

    def __init__(self, head: SoundHead) -> None:
        self._head = head
        self._history = SpeakerHistory(head.prior)

    def read(self, features: SoundFeatures) -> HeadReading:
        """What the sound of the next segment says, against what is normal for this speaker so far."""
        reading = self._head.read_relative(self._history.relative(features))
        self._history.remember(features, 1 - probability_of(reading.evidence))
        return reading


@dataclass(frozen=True)
class SoundHeads:
    """A head with encoder states and one without, whose mean counts: states know more, prosody travels better.

    Where there are no states, or those of a model other than `states` was trained with, the prosody alone is read.
    """

    states: SoundHead | None
    prosody: SoundHead

    def of_speaker(self) -> "SpeakerEars":
        """New ears for one speaker of one call."""
        return SpeakerEars(self)


class SpeakerEars:
    """Hears one speaker's segments with both heads."""

    def __init__(self, heads: SoundHeads) -> None:
        self._states = heads.states.of_speaker() if heads.states else None
        self._prosody = heads.prosody.of_speaker()

    def read(self, features: SoundFeatures) -> HeadReading:
        """What the sound of the next segment says; `features` with states, or the prosody alone."""
        by_prosody = self._prosody.read(features[-PROSODY_SIZE:])
        if self._states is None or len(features) == PROSODY_SIZE:
            return by_prosody
        return mean_of(self._states.read(features), by_prosody)
