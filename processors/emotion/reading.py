"""What one head says about one segment, in a form that can be combined with others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

AGITATED_CLASS: Final = "angry"
VALENCE_OF_CLASS: Final[Mapping[str, float]] = {
    "angry": -0.8,
    "fear": -0.6,
    "sad": -0.8,
    "calm": 0.0,
    "neutral": 0.0,
    "other": 0.0,
    "surprise": 0.1,
    "happy": 0.9,
}
"""The classes of heads and how pleasant each is, −1…1: the places of the basic emotions on the pleasure axis
(J. Russell, A circumplex model of affect, 1980), rounded. `calm` and `other` are for data that knows no more."""


@dataclass(frozen=True)
class HeadReading:
    """What one head says of one segment.

    `evidence` is the logarithm of how much more probable the segment is from an agitated speaker than from another
    (a log likelihood ratio): 0 says nothing, and independent pieces of evidence add up.
    """

    evidence: float
    valence: float
    classes: Mapping[str, float]


def reading_of(scores: NDArray[np.float32], classes: tuple[str, ...], slope: float, offset: float) -> HeadReading:
    """The reading of a linear model with one score for each class (softmax); one of the classes is `angry`.

    Its evidence is slope · ln(p / (1 − p)) + offset, p being the probability of `angry`.
    """
    relative = np.exp(scores - scores.max())
    by_class = dict(zip(classes, (relative / relative.sum()).tolist(), strict=True))
    return HeadReading(
        evidence=slope * log_odds(by_class[AGITATED_CLASS]) + offset,
        valence=sum(VALENCE_OF_CLASS[name] * probability for name, probability in by_class.items()),
        classes=by_class,
    )


def mean_of(first: HeadReading, second: HeadReading) -> HeadReading:
    """The combined reading of two heads that heard the same sound."""
    names = {**first.classes, **second.classes}
    return HeadReading(
        evidence=(first.evidence + second.evidence) / 2,
        valence=(first.valence + second.valence) / 2,
        classes={name: (first.classes.get(name, 0.0) + second.classes.get(name, 0.0)) / 2 for name in names},
    )


def log_odds(probability: float) -> float:
    """ln(p / (1 − p)), with p kept a millionth away from 0 and 1."""
    kept = min(1 - 1e-6, max(1e-6, probability))
    return float(np.log(kept / (1 - kept)))


def probability_of(odds_log: float) -> float:
    """The probability that has these log odds."""
    return float(1 / (1 + np.exp(-np.clip(odds_log, -30, 30))))
