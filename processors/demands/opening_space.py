"""How calls open, as points: calls that ask for the same lie close to each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.reading.grams import grams_of

PlacedOpenings = NDArray[np.float32]
"""A row for each call, of length 1, or of zeros where nothing is known of it."""

LETTERS = 80
"""So many letters of what a customer says first tell what the call is about; later ones blur it."""

PAIRS = (2,)
"""Of letters: most Chinese words have two."""

BUCKETS = 1 << 15
DIMENSIONS = 200
OPENINGS_PER_DIMENSION = 6
"""With as many directions as openings, each lies by itself; chosen on `training/dialogues`, as the other figures."""

_BLOCK = 1 << 12
_ROUNDS = 6
_EXTRA = 20


class OpeningSpace:
    """Latent semantic analysis (Deerwester et al. 1990) of hashed pairs of letters, learned from some openings.

    Rows are log(1 + count) · idf, of length 1. The directions are the leading eigenvectors of the matrix of their
    products, found by subspace iteration from a fixed start (Halko, Martinsson and Tropp 2011): the same openings give
    the same space. Memory grows with the square of the openings that it is learned from: 64 MB for 4,000.
    """

    def __init__(self, openings: Sequence[str]) -> None:
        grams = _Pairs.of(openings)
        seen = np.bincount(grams.buckets, minlength=BUCKETS)
        idf = np.log((1 + len(openings)) / (1 + seen))
        # What stands in one opening alone puts it near to none.
        self._idf = np.where(seen >= 2, idf, 0).astype(np.float32)
        products: PlacedOpenings = np.zeros((len(openings), len(openings)), dtype=np.float32)
        for block in grams.blocks(self._idf):
            products += block @ block.T
        values, vectors = _leading(
            products, min(DIMENSIONS, max(2, len(openings) // OPENINGS_PER_DIMENSION), len(openings))
        )
        # A direction that explains nothing is noise.
        kept = values > 1e-4 * max(float(values.max(initial=0)), 1e-9)
        scaled = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
        self._axes: PlacedOpenings = np.concatenate([block.T @ scaled for block in grams.blocks(self._idf)])

    def place(self, openings: Sequence[str]) -> PlacedOpenings:
        """Where openings lie, those that it was learned from or others."""
        places = np.zeros((len(openings), self._axes.shape[1]), dtype=np.float32)
        for number, block in enumerate(_Pairs.of(openings).blocks(self._idf)):
            places += block @ self._axes[number * _BLOCK : (number + 1) * _BLOCK]
        return unit_rows(places)


@dataclass(frozen=True)
class _Pairs:
    """Which buckets each opening hits, and how often."""

    height: int
    owners: NDArray[np.int64]
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]

    @staticmethod
    def of(openings: Sequence[str]) -> "_Pairs":
        grams = grams_of(openings, PAIRS, 0)
        hit = grams.texts * BUCKETS + (grams.buckets & (BUCKETS - 1))
        places, where = np.unique(hit, return_inverse=True)
        counts = np.bincount(where, grams.counts, minlength=len(places)).astype(np.int64)
        return _Pairs(len(openings), places // BUCKETS, places % BUCKETS, counts)

    def blocks(self, idf: NDArray[np.float32]) -> Iterator[PlacedOpenings]:
        """The rows in stretches of their columns, each row of length 1 over all of them."""
        values = (np.log1p(self.counts) * idf[self.buckets]).astype(np.float64)
        lengths = np.sqrt(np.bincount(self.owners, values**2, minlength=self.height))
        values /= np.maximum(lengths[self.owners], 1e-9)
        for first in range(0, BUCKETS, _BLOCK):
            inside = (self.buckets >= first) & (self.buckets < first + _BLOCK)
            block = np.zeros((self.height, _BLOCK), dtype=np.float32)
            block[self.owners[inside], self.buckets[inside] - first] = values[inside]
            yield block


def _leading(products: PlacedOpenings, wanted: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The greatest eigenvalues of a symmetric matrix, and their vectors as columns."""
    if len(products) <= wanted + _EXTRA:
        values, vectors = np.linalg.eigh(products.astype(np.float64))
    else:
        start = np.random.default_rng(0).standard_normal((len(products), wanted + _EXTRA)).astype(np.float32)
        basis = np.linalg.qr(products @ start)[0]
        for _ in range(_ROUNDS):
            basis = np.linalg.qr(products @ basis)[0]
        values, inner = np.linalg.eigh((basis.T @ (products @ basis)).astype(np.float64))
        vectors = basis.astype(np.float64) @ inner
    return values[::-1][:wanted], vectors[:, ::-1][:, :wanted]


def unit_rows(rows: NDArray[np.float32]) -> PlacedOpenings:
    """The rows, each brought to length 1; one of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: PlacedOpenings = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-9)
    return result


def group_by_average(points: PlacedOpenings, least: float) -> list[list[int]]:
    """Groups whose members are alike on average: the two groups with the greatest mean cosine are joined as long as it
    is at least `least` (average linkage; Sokal and Michener 1958). The order in each is that of the points."""
    alike = points @ points.T
    np.fill_diagonal(alike, -np.inf)
    sizes = np.ones(len(points))
    groups: dict[int, list[int]] = {number: [number] for number in range(len(points))}
    best = alike.max(axis=1, initial=-np.inf)
    nearest = alike.argmax(axis=1) if len(points) else np.empty(0, np.int64)
    while len(groups) > 1:
        one = int(best.argmax())
        if best[one] < least:
            break
        other = int(nearest[one])
        row = (sizes[one] * alike[one] + sizes[other] * alike[other]) / (sizes[one] + sizes[other])
        row[[one, other]] = -np.inf
        alike[one], alike[:, one] = row, row
        alike[other], alike[:, other] = -np.inf, -np.inf
        sizes[one] += sizes[other]
        groups[one] += groups.pop(other)
        best[other] = -np.inf
        # A new nearest is looked for only where it has gone or changed.
        for stale in np.flatnonzero((nearest == one) | (nearest == other)):
            nearest[stale], best[stale] = int(alike[stale].argmax()), alike[stale].max()
        nearest[one], best[one] = int(row.argmax()), row.max()
        nearer = row > best
        nearest[nearer], best[nearer] = one, row[nearer]
    return [sorted(members) for _, members in sorted(groups.items())]
