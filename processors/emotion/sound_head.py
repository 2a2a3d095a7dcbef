"""Emotion from sound: what the recogniser's encoder made of a segment and its prosody, seen against its speaker."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.emotion.prosody import PROSODY_FEATURES, prosody_of
from processors.emotion.reading import HeadReading, probability_of, reading_of
from processors.speech import EncoderStates, PooledStates, Samples, SpeechClip
from schemas.emotion import SoundGap

PROSODY_SIZE = len(PROSODY_FEATURES)

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
    """`pool` in the form in which a recogniser takes it (`processors.speech.StatesPool`)."""
    del clip
    return pool(states)


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
    `agitated_share` is the share of agitated examples that training counted with.
    """

    encoder: str | None
    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    prior: SpeakerPrior
    agitated_share: float

    def of_speaker(self) -> "SpeakerEar":
        """A new ear for one speaker of one call."""
        return SpeakerEar(self)

    def read_relative(self, relative: SoundFeatures) -> HeadReading:
        """What features relative to their speaker say."""
        return reading_of(self.weights @ relative + self.biases, self.classes, self.agitated_share)


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
