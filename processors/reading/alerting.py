"""From which probability on a suspicion may alert: where at least nine of ten are right by the verdicts of a house."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.kpi.statistics import wilson
from processors.reading.adapting import LabelledCall, read_labels
from processors.reading.call_reader import VIOLATION, CallReader
from processors.reading.figures import Read, Truth, Value
from processors.reading.labels import LabelledDataError

LEAST_PRECISION = 0.9
"""An alert calls somebody: of ten, nine must be right."""


@dataclass(frozen=True)
class AlertThreshold:
    """A probability, and how right the suspicions with a verdict are from it on; `precision` has a 95 % interval."""

    alert_from: float
    verdicts: int
    precision: Value


def alert_threshold(reader: CallReader, calls: Sequence[LabelledCall]) -> AlertThreshold:
    """The lowest probability from which on the lower limit of the precision is `LEAST_PRECISION` or more.

    The limit is that of Wilson's interval (Wilson 1927), and not the share itself, so that few verdicts allow nothing.
    Utterances count that the reader suspects and that have a label. Raises `LabelledDataError` where none is so sure.
    """
    truth, read, suspect_from = read_labels(reader, calls)[VIOLATION]
    is_suspected = read >= suspect_from
    allowed = [one for one in _thresholds(truth[is_suspected], read[is_suspected]) if _is_sure(one)]
    if not allowed:
        verdicts, right = int(is_suspected.sum()), int(truth[is_suspected].sum())
        raise LabelledDataError(
            f"no alerts: {right} of {verdicts} suspicions with a verdict are right, and from no probability on is the "
            f"lower limit of that share {LEAST_PRECISION} or more; it takes {_least_verdicts()} verdicts at least, if "
            "all of them say right"
        )
    return min(allowed, key=lambda one: one.alert_from)


def _thresholds(truth: Truth, read: Read) -> list[AlertThreshold]:
    """Every probability that was read, with what holds from it on."""
    found = []
    for probability in np.unique(read):
        of_these = truth[read >= probability]
        right, verdicts = int(of_these.sum()), len(of_these)
        found.append(AlertThreshold(float(probability), verdicts, Value(right / verdicts, *wilson(right, verdicts))))
    return found


def _is_sure(threshold: AlertThreshold) -> bool:
    return threshold.precision.low >= LEAST_PRECISION


def _least_verdicts() -> int:
    count = 1
    while wilson(count, count)[0] < LEAST_PRECISION:
        count += 1
    return count
