"""What one head says of one segment, in a form in which heads can be put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

VALENCE_OF_CLASS: Final[Mapping[str, float]] = {
    "angry": -0.8,
    "fear": -0.6,
    "sad": -0.8,
    "neutral": 0.0,
    "surprise": 0.1,
    "happy": 0.9,
    "agitated": -0.8,
    "calm": 0.0,
}
"""How pleasant each class is, −1…1: the places of the basic emotions on the pleasure axis (J. Russell, A circumplex
model of affect, 1980), rounded; `agitated` and `calm` are for data that knows no more than these two."""


@dataclass(frozen=True)
class HeadReading:
    """What one head says of one segment.

    `evidence` is the logarithm of how much more probable the segment is from an agitated speaker than from another
    (a log likelihood ratio): 0 says nothing, and independent pieces of evidence add up.
    """

    evidence: float
    valence: float
    classes: Mapping[str, float]


def reading_of(scores: NDArray[np.float32], classes: tuple[str, ...], agitated_share: float) -> HeadReading:
    """The reading of a linear model: `scores` are the log odds of agitated, then one score for each class."""
    relative = np.exp(scores[1:] - scores[1:].max()) if classes else scores[1:]
    probabilities = relative / relative.sum() if classes else relative
    by_class = dict(zip(classes, probabilities.tolist(), strict=True))
    return HeadReading(
        evidence=float(scores[0]) - log_odds(agitated_share),
        valence=sum(VALENCE_OF_CLASS[name] * probability for name, probability in by_class.items()),
        classes=by_class,
    )


def log_odds(probability: float) -> float:
    """ln(p / (1 − p)), with p kept a millionth away from 0 and 1."""
    kept = min(1 - 1e-6, max(1e-6, probability))
    return float(np.log(kept / (1 - kept)))


def probability_of(odds_log: float) -> float:
    """The probability that has these log odds."""
    return float(1 / (1 + np.exp(-np.clip(odds_log, -30, 30))))
