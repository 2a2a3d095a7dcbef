"""From which probability on reading suspects, so that it does so in as many calls as a house expects."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nextafter

from processors.kpi.statistics import wilson
from processors.reading.adapting import LabelledCall
from processors.reading.call_reader import VIOLATION, CallReader
from processors.reading.figures import Value
from processors.reading.labels import LabelledDataError

LEAST_CALLS = 100


@dataclass(frozen=True)
class Calibration:
    """A threshold, and the share of calls that have a suspicion at it, and at that of the heads."""

    suspect_from: float
    calls: int
    share: Value
    share_before: Value


def calibrate(reader: CallReader, calls: Sequence[LabelledCall], expected: float) -> Calibration:
    """The lowest threshold at which no more than the expected share of these calls has a suspicion.

    It says nothing of whether the suspicions are right: that only verdicts tell. Raises `LabelledDataError`.
    """
    if len(calls) < LEAST_CALLS:
        raise LabelledDataError(f"{len(calls)} call(s) are too few to calibrate by: {LEAST_CALLS} are needed")
    highest = sorted((_highest(reader, call) for call in calls), reverse=True)
    allowed = int(expected * len(calls))
    # Just above the highest probability that must no longer count, so that calls that are read alike are treated alike.
    threshold = nextafter(highest[allowed], 2.0) if allowed < len(highest) else highest[-1]
    return Calibration(
        min(threshold, 1.0),
        len(calls),
        _share(highest, threshold),
        _share(highest, reader.agent.threshold(VIOLATION)),
    )


def _highest(reader: CallReader, call: LabelledCall) -> float:
    """Of the utterances of the agent in which something is said."""
    spoken = zip(reader.read(call.said).utterances, call.said, strict=True)
    return max(
        (
            reading.probabilities[VIOLATION]
            for reading, said in spoken
            if reading is not None and reading.role == "agent" and said.letters
        ),
        default=0.0,
    )


def _share(highest: Sequence[float], threshold: float) -> Value:
    suspected = sum(one >= threshold for one in highest)
    return Value(suspected / len(highest), *wilson(suspected, len(highest)))
