"""How well a head reads what it was not trained on: precision, recall, F1, average precision, and how sure that is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.kpi.statistics import wilson

RESAMPLES = 2_000
SEED = 20_261_130
"""The same data give the same intervals."""

Truth = NDArray[np.bool_]
Read = NDArray[np.float64]
Score = Callable[[Truth, Read], float]


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class HeadFigures:
    """Of one head on examples it was not trained on; precision, recall and F1 at its threshold."""

    examples: int
    positive: int
    precision: Value
    recall: Value
    f1: Value
    average_precision: Value


def average_precision(truth: Truth, read: Read) -> float:
    """The area under precision over recall, by steps; examples that are read alike count together. 0 without any."""
    if not truth.any():
        return 0.0
    order = np.argsort(-read, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(read[order])), len(read) - 1)
    found = np.cumsum(truth[order])[ends]
    recall = found / found[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * found / (ends + 1)))


def f1_at(threshold: float) -> Score:
    """The harmonic mean of precision and recall from that probability on."""

    def f1(truth: Truth, read: Read) -> float:
        believed = read >= threshold
        both = int(believed.sum() + truth.sum())
        return 2 * int((believed & truth).sum()) / both if both else 0.0

    return f1


def threshold_at(truth: Truth, probability: Read, precision: float) -> float:
    """The lowest probability from which on that precision is kept; 1 where there is none."""
    order = np.argsort(-probability, kind="stable")
    limits = probability[order]
    ends = np.append(np.flatnonzero(np.diff(limits)), len(limits) - 1)
    kept = np.cumsum(truth[order])[ends] / (ends + 1) >= precision
    return float(limits[ends][kept].min()) if kept.any() else 1.0


def best_threshold(truth: Truth, probability: Read) -> float:
    """From which probability on F1 is highest; the highest of several."""
    order = np.argsort(-probability, kind="stable")
    limits = probability[order]
    ends = np.append(np.flatnonzero(np.diff(limits)), len(limits) - 1)
    f1 = 2 * np.cumsum(truth[order])[ends] / (ends + 1 + truth.sum())
    return float(limits[ends][int(f1.argmax())])


def figures(truth: Truth, read: Read, threshold: float) -> HeadFigures:
    """Precision and recall with Wilson's limits; F1 and average precision with those of a bootstrap over examples."""
    believed = read >= threshold
    right = int((believed & truth).sum())
    return HeadFigures(
        len(truth),
        int(truth.sum()),
        _share(right, int(believed.sum())),
        _share(right, int(truth.sum())),
        _bootstrapped(f1_at(threshold), truth, read),
        _bootstrapped(average_precision, truth, read),
    )


def _share(successes: int, of: int) -> Value:
    return Value(successes / of, *wilson(successes, of)) if of else Value(0.0, 0.0, 1.0)


def _bootstrapped(score: Score, truth: Truth, read: Read) -> Value:
    drawn = [score(truth[rows], read[rows]) for rows in _resamples(len(truth))]
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (0.0, 1.0)
    return Value(score(truth, read), float(low), float(high))


def difference(truth: Truth, one: tuple[Read, Score], other: tuple[Read, Score]) -> Value:
    """By how much the second scores higher than the first on the same examples: a paired bootstrap (Efron 1979)."""
    (read, score), (other_read, other_score) = one, other

    def change(rows: NDArray[np.int64]) -> float:
        return other_score(truth[rows], other_read[rows]) - score(truth[rows], read[rows])

    drawn = [change(rows) for rows in _resamples(len(truth))]
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (0.0, 0.0)
    return Value(change(np.arange(len(truth))), float(low), float(high))


def _resamples(count: int) -> list[NDArray[np.int64]]:
    chance = np.random.default_rng(SEED)
    return [chance.integers(0, count, count) for _ in range(RESAMPLES)] if count else []
