"""What is said, rescored in the light of the whole call, as recognisers rescore what they first heard.

A sentence is first read with what is said just before and after it. Whether "that is how everybody does it" is
harmless hangs on more: in a call that nobody need hear, a doubtful sentence is rarely a violation, and a call that
somebody should hear because its customer is upset or threatens says less about the agent than one without such a
reason. So the log-odds of a violation are a linear model of its own log-odds and of those of the call; and in the same
way those of a customer's being upset, for "and who pays me back?" is anger in one call and a question in another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.reading.figures import Read
from processors.reading.heads import ReadingWeightsError
from processors.weight_files import read_arrays

FORMAT = 1

_LIMIT = 6.0
"""A single reading, however sure, weighs no more than log-odds of this."""


@dataclass(frozen=True)
class Rescoring:
    """What is added, and the weights of the log-odds: of the head of utterances itself, and of each head of calls."""

    offset: float
    own: float
    call: tuple[float, ...]

    def log_odds(self, own: Read, call: Sequence[float]) -> Read:
        """Of each utterance of one side in one call, from its log-odds as first read and those of the call."""
        result: Read = in_their_call(own, call) @ np.array([self.own, *self.call]) + self.offset
        return result

    def save(self, file: Path) -> None:
        """Write the numbers."""
        np.savez(file, format=np.array(FORMAT), weights=np.array([self.offset, self.own, *self.call]))

    @staticmethod
    def load(file: Path, call_heads: int) -> "Rescoring | None":
        """None where there is no such file: heads of earlier releases do not rescore. Raises `ReadingWeightsError`."""
        if not file.is_file():
            return None
        try:
            found = read_arrays(file) or {}
            offset, own, *call = (float(weight) for weight in found["weights"])
            if int(found["format"]) == FORMAT and len(call) == call_heads:
                return Rescoring(offset, own, tuple(call))
        except (ValueError, KeyError, TypeError):
            pass
        raise ReadingWeightsError(f"{file} cannot be read as a rescoring: train the heads beside it again")


def in_their_call(own: Read, call: Sequence[float]) -> NDArray[np.float64]:
    """The log-odds of each utterance of one side, and of the call beside: shape (utterances, 1 + heads of calls)."""
    rows = np.empty((len(own), 1 + len(call)))
    rows[:, 0], rows[:, 1:] = own, call
    return np.clip(rows, -_LIMIT, _LIMIT)
