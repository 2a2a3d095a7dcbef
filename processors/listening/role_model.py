"""Which of two speakers is the agent, as a model reads it that has learned from dialogues."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.reading.features import Block, RowTexts, SparseRows, rows_of
from processors.weight_files import load_model
from schemas.errors import OperatorError

WEIGHTS = Path(__file__).parent / "weights" / "roles.npz"
FORMAT = 1
BUCKETS = 1 << 18
SIDE = Block((1, 2, 3), 1.0)
"""All that a speaker says, by its letters and what follows on each other in them."""


class RoleWeightsError(OperatorError):
    """The file of weights cannot be used; the text says what to do."""


@dataclass(frozen=True)
class RoleModel:
    """Weights of n-grams, times `scale`: of two speakers the agent is who has the higher sum, and the difference is the
    logarithm of the odds."""

    weights: NDArray[np.int8]
    scale: float

    def lead_of_first(self, first: str, second: str) -> float:
        """Logarithm of the odds that the first speaker is the agent; exchanged, they have the opposite sign.

        The texts are letters only, as `NormalizedText.letters`. 0 where nothing tells.
        """
        rows = rows_of_sides([first, second])
        sums = np.bincount(rows.rows, weights=self.weights[rows.columns] * rows.values, minlength=2)
        return float((sums[0] - sums[1]) * self.scale)

    def save(self, file: Path) -> None:
        """Write the weights."""
        np.savez_compressed(
            file, about=np.array(json.dumps({"format": FORMAT, "scale": self.scale})), weights=self.weights
        )


def rows_of_sides(texts: Sequence[str]) -> SparseRows:
    """One row for each text."""
    (rows,) = rows_of([RowTexts((SIDE,), [texts], (0,), None)])
    return rows._replace(columns=rows.columns & (BUCKETS - 1))


@cache
def load_roles(file: Path = WEIGHTS) -> RoleModel:
    """The model of a file, read once. Raises `RoleWeightsError`."""
    return load_model(
        file, FORMAT, lambda about, arrays: RoleModel(arrays["weights"], about["scale"]), RoleWeightsError, "roles"
    )
