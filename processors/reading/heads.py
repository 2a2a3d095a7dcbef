"""Linear heads over rows of n-grams, as small files: what they read, how sure, and from when on they are believed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.reading.features import SparseRows, in_order
from processors.reading.grams import RECIPE
from processors.weight_files import read_arrays
from schemas.errors import OperatorError

FORMAT = 1
FORMAT_16_BIT = 2
"""Of heads that were adapted. Releases that do not know it refuse the file, instead of cutting its weights off."""


class ReadingWeightsError(OperatorError):
    """A file of reading heads cannot be used; the text says which and what to do."""


class OtherReleaseError(ReadingWeightsError):
    """The heads of a file were made for a release that read text in another way: they must be trained again."""


@dataclass(frozen=True)
class LinearHeads:
    """Logistic models that share their columns; `weights` has the shape (heads, buckets), with a scale each: 8-bit, or
    16-bit where they were adapted, because a correction is finer than the largest weight.

    `slopes` and `offsets` are Platt's calibration (Platt 1999), taken on parts that a model was not trained on.
    `thresholds` are the probabilities from which on a head is believed; 1 where no such probability was found.
    """

    names: tuple[str, ...]
    weights: NDArray[np.int8] | NDArray[np.int16]
    scales: NDArray[np.float32]
    biases: NDArray[np.float32]
    slopes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    idf: NDArray[np.float32]

    def probabilities(self, rows: SparseRows) -> NDArray[np.float32]:
        """Shape (rows, heads), each in 0–1."""
        return np.float32(1) / (np.float32(1) + np.exp(-self.log_odds(rows)))

    def log_odds(self, rows: SparseRows, only: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Shape (rows, heads): the natural logarithm of the odds, calibrated; of some heads only, by their places."""
        which = slice(None) if only is None else list(only)
        scales, biases = self.scales[which], self.biases[which]
        sums = np.zeros((rows.height, len(scales)), dtype=np.float32)
        if len(rows.rows):
            rows = in_order(rows)
            starts = np.flatnonzero(np.diff(rows.rows, prepend=-1))
            # The values of a head lie side by side, as they are added up.
            weighed = self._columns.take(rows.columns, axis=0)[:, which].astype(np.float32, order="F")
            weighed *= rows.values[:, None]
            sums[rows.rows[starts]] = np.add.reduceat(weighed, starts, axis=0)
        result: NDArray[np.float32] = (sums * scales + biases) * self.slopes[which] + self.offsets[which]
        return result

    def weight_of(self, name: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """How much each of these columns speaks for a head."""
        head = self.names.index(name)
        result: NDArray[np.float32] = self._columns[columns, head] * self.scales[head]
        return result

    def threshold(self, name: str) -> float:
        """From which probability on that head is believed."""
        return float(self.thresholds[self.names.index(name)])

    def with_threshold(self, name: str, threshold: float) -> "LinearHeads":
        """The heads of which one is believed from another probability on."""
        thresholds = self.thresholds.copy()
        thresholds[self.names.index(name)] = threshold
        return replace(self, thresholds=thresholds)

    @cached_property
    def _columns(self) -> NDArray[Any]:
        return np.ascontiguousarray(self.weights.T)


def log_odds_of(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """The natural logarithm of the odds; of what is certain as if it were nearly so."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    result: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return result


_OF_EACH_HEAD = ("scales", "biases", "slopes", "offsets", "thresholds")


def save_heads(heads: LinearHeads, file: Path, **facts: float) -> None:
    """Write them, without the columns that no head uses, and what else must be known to read with them."""
    used = np.flatnonzero(np.any(heads.weights != 0, axis=0)).astype(np.int32)
    form = FORMAT if heads.weights.dtype == np.int8 else FORMAT_16_BIT
    about = {"format": form, "recipe": RECIPE, "names": heads.names, "columns": heads.weights.shape[1], **facts}
    vectors = {name: getattr(heads, name) for name in _OF_EACH_HEAD}
    np.savez_compressed(
        file,
        about=np.array(json.dumps(about)),
        used=used,
        weights=heads.weights[:, used],
        idf=heads.idf.astype(np.float16),
        **vectors,
    )


def load_fact(file: Path, name: str) -> float:
    """What was saved beside the heads of a file under that name. Raises `ReadingWeightsError`."""
    fact = find_fact(file, name)
    if fact is None:
        raise ReadingWeightsError(f"{file} cannot be read as weights of reading heads")
    return fact


def find_fact(file: Path, name: str) -> float | None:
    """The same; null where nothing was saved under that name. Raises `ReadingWeightsError`."""
    try:
        fact = json.loads(str((read_arrays(file) or {})["about"])).get(name)
        return None if fact is None else float(fact)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReadingWeightsError(f"{file} cannot be read as weights of reading heads") from None


def load_heads(file: Path, names: Sequence[str] | None, columns: int) -> LinearHeads:
    """Heads of a file, which must be those named; without names, whichever it has. Raises `ReadingWeightsError`."""
    if not file.is_file():
        raise ReadingWeightsError(
            f"{file} does not exist: name a folder that `callstream learn train` wrote (reading_weights, "
            "tenants_file), or none; the shipped heads are made with `make heads`"
        )
    try:
        found = read_arrays(file) or {}
        about = json.loads(str(found["about"]))
        width = {FORMAT: np.int8, FORMAT_16_BIT: np.int16}.get(about["format"])
        if width is None or about["recipe"] != RECIPE:
            raise OtherReleaseError(f"{file} was made for another version of callstream: train its heads again")
        names = tuple(str(name) for name in about["names"]) if names is None else tuple(names)
        if tuple(about["names"]) != names or about["columns"] != columns:
            raise ReadingWeightsError(f"{file} has other heads than this version reads: train them again")
        weights = np.zeros((columns, len(names)), dtype=width).T  # in the order in which they are read: no copy of it
        weights[:, found["used"]] = found["weights"]
        vectors = {name: found[name].astype(np.float32) for name in (*_OF_EACH_HEAD, "idf")}
    except (ValueError, KeyError, TypeError, IndexError):
        raise ReadingWeightsError(f"{file} cannot be read as weights of reading heads") from None
    if any(len(vectors[name]) != len(names) for name in _OF_EACH_HEAD):
        raise ReadingWeightsError(f"{file}: its parts do not fit together: train the heads again")
    return LinearHeads(names, weights, **vectors)
