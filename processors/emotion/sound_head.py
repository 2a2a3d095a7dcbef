"""Emotion from sound: what the recogniser's encoder made of a segment and its prosody, seen against its speaker."""

from collections.abc import Sequence
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
    both have one number for each feature. `strength` is how many segments the prior is worth.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    strength: float


class SpeakerHistory:
    """The running mean of one speaker's features. It knows the past of the call only, so live use is possible.

    Each segment is seen against mean_t = (k · prior + Σ w_i x_i) / (k + Σ w_i) over the segments before it, where
    w_i is the probability that segment i was calm: the measure of a speaker is the speaker's calm voice.
    """

    def __init__(self, prior: SpeakerPrior) -> None:
        self._prior = prior
        self._sum = prior.mean.astype(np.float64) * prior.strength
        self._weight = prior.strength

    def relative(self, features: SoundFeatures) -> SoundFeatures:
        """The features as distances from what is normal for this speaker so far, in spreads, at most ±6."""
        distance = (features - self._sum / self._weight) / self._prior.spread
        result: SoundFeatures = np.clip(distance, -6, 6).astype(np.float32)
        return result

    def remember(self, features: SoundFeatures, calm: float) -> None:
        """Count a segment among what is normal for this speaker, by the probability that it was calm."""
        self._sum += calm * features
        self._weight += calm


@dataclass(frozen=True)
class SoundHead:
    """A linear model over features relative to their speaker.

    `rows` are `agitated` followed by `classes`; `weights` has the shape (rows, features). `encoder` names the
    recogniser's model whose states the head was trained with; None: prosody alone. `agitated_share` is the share of
    agitated examples that training counted with.
    """

    encoder: str | None
    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    prior: SpeakerPrior
    agitated_share: float

    def read(self, features: Sequence[SoundFeatures]) -> list[HeadReading]:
        """What the sound of one speaker's segments says, in the order in which they were spoken.

        No reading depends on a later segment.
        """
        history = SpeakerHistory(self.prior)
        readings: list[HeadReading] = []
        for each in features:
            reading = self.read_relative(history.relative(each))
            history.remember(each, 1 - probability_of(reading.evidence))
            readings.append(reading)
        return readings

    def read_relative(self, relative: SoundFeatures) -> HeadReading:
        """What features relative to their speaker say."""
        return reading_of(self.weights @ relative + self.biases, self.classes, self.agitated_share)
