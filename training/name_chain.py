"""Weights of a linear chain over letters (a conditional random field), fitted with numpy and scipy."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from processors.pii.learned_names import ALONE, MAY_FOLLOW, NONE
from processors.pii.name_letters import WEIGHT_BITS, weight_places

PENALTY = 1.0
ITERATIONS = 40
TAGS = ALONE + 1
_MOST_AT_ONCE, _UNLIKE_LENGTHS = 4_000, 3
_ALLOWED = np.array([[after in MAY_FOLLOW[before] for after in range(TAGS)] for before in range(TAGS)])

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TaggedTexts:
    """Texts one after another, the shortest first: hashes of what is seen, [letters, templates], and tags of letters.

    `lengths` are of texts, and `worth` are the hashes that get a weight.
    """

    hashes: NDArray[np.uint32]
    tags: NDArray[np.int64]
    lengths: NDArray[np.int64]
    worth: NDArray[np.uint32]


def fit_chain(texts: TaggedTexts) -> tuple[Floats, Floats]:
    """Weights, [places, tags without `NONE`], and steps between tags, [before, after]."""
    matrix, places = _matrix(texts)
    chain = _Chain(matrix, texts.tags, texts.lengths)
    start = np.zeros(matrix.shape[1] * ALONE + TAGS * TAGS)
    options = {"maxiter": ITERATIONS, "maxcor": 6}
    found = minimize(chain.loss, start, jac=True, method="L-BFGS-B", options=options).x
    weights = np.zeros((1 << WEIGHT_BITS, ALONE))
    weights[places] = found[: -TAGS * TAGS].reshape(-1, ALONE)
    return weights, found[-TAGS * TAGS :].reshape(TAGS, TAGS)


def _matrix(texts: TaggedTexts) -> tuple[csr_matrix, NDArray[np.uint32]]:
    """For each letter which columns are seen, and the place of each column."""
    known = np.zeros(1 << 29, dtype=np.uint8)  # a bit for each of 2**32 hashes
    np.bitwise_or.at(known, texts.worth >> np.uint32(3), (1 << (texts.worth & np.uint32(7))).astype(np.uint8))
    places = np.unique(weight_places(texts.worth))
    column_of = np.zeros(1 << WEIGHT_BITS, dtype=np.int32)
    column_of[places] = np.arange(len(places))
    is_known = ((known[texts.hashes >> np.uint32(3)] >> (texts.hashes & np.uint32(7)).astype(np.uint8)) & 1).astype(
        bool
    )
    columns = column_of[weight_places(texts.hashes[is_known])]
    ends = np.concatenate([[0], np.cumsum(is_known.sum(axis=1))]).astype(np.int32)
    ones = np.ones(len(columns), dtype=np.float32)
    return csr_matrix((ones, columns, ends), shape=(len(texts.hashes), len(places))), places


class _Chain:
    """What a row of tags loses by weights: the forward-backward algorithm for many texts at once."""

    def __init__(self, matrix: csr_matrix, tags: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self._matrix, self._turned = matrix, matrix.T.tocsr()
        self._tags = tags
        starts = np.cumsum(lengths) - lengths
        self._batches = list(_batches(starts, lengths))
        self._true = np.eye(TAGS, dtype=np.float32)[tags]
        before = np.concatenate([[NONE], tags[:-1]])
        before[starts] = NONE
        self._true_steps = np.zeros((TAGS, TAGS))
        np.add.at(self._true_steps, (before, tags), 1)
        np.add.at(self._true_steps, (tags[starts + lengths - 1], NONE), 1)

    def loss(self, numbers: Floats) -> tuple[float, Floats]:
        """The loss of weights and steps, in a row, and its gradient."""
        weights = numbers[: -TAGS * TAGS].reshape(-1, ALONE).astype(np.float32)
        steps = numbers[-TAGS * TAGS :].reshape(TAGS, TAGS)
        moves = np.where(_ALLOWED, np.exp(steps), 0.0)
        rows = len(self._tags)
        scores = np.zeros((rows, TAGS), dtype=np.float32)
        scores[:, 1:] = self._matrix @ weights
        highest = scores.max(axis=1)
        likely = np.exp(scores - highest[:, None]).astype(np.float64)
        total = highest.sum(dtype=np.float64) - scores[np.arange(rows), self._tags].sum(dtype=np.float64)
        total -= (self._true_steps * steps)[_ALLOWED].sum()
        expected, expected_steps = np.zeros((rows, TAGS), dtype=np.float32), np.zeros((TAGS, TAGS))
        for places, alive in self._batches:
            total += _forward_backward(likely, moves, places, alive, expected, expected_steps)
        of_weights = self._turned @ np.ascontiguousarray((expected - self._true)[:, 1:])
        of_steps = np.where(_ALLOWED, expected_steps - self._true_steps, 0)
        gradient = np.concatenate([of_weights.ravel().astype(np.float64), of_steps.ravel()])
        return total + 0.5 * PENALTY * float(numbers @ numbers), gradient + PENALTY * numbers


def _batches(
    starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool]]]:
    """Texts of about the same length together: the place of each letter and whether there is one, [letters, texts]."""
    first = 0
    while first < len(lengths):
        longest = int(np.searchsorted(lengths, lengths[first] + _UNLIKE_LENGTHS, side="right"))
        end = min(longest, first + _MOST_AT_ONCE)
        letters = np.arange(lengths[end - 1])[:, None]
        alive = letters < lengths[first:end]
        yield np.where(alive, starts[first:end] + letters, 0), alive
        first = end


def _forward_backward(
    likely: Floats,
    moves: Floats,
    places: NDArray[np.int64],
    alive: NDArray[np.bool],
    expected: NDArray[np.float32],
    expected_steps: Floats,
) -> float:
    """The logarithm of the sum over all rows of tags; adds to both `expected` how often tags and steps are expected."""
    length, number = places.shape
    forward = np.empty((length, number, TAGS))
    sums = np.ones((length, number))
    nothing = np.zeros((number, TAGS))
    nothing[:, NONE] = 1
    now = nothing
    for place in range(length):
        lives = alive[place]
        then = (now @ moves) * likely[places[place]]
        sums[place] = np.where(lives, then.sum(axis=1), 1)
        now = np.where(lives[:, None], then / sums[place][:, None], now)
        forward[place] = now
    last = now @ moves[:, NONE]
    backward = moves[:, NONE] / last[:, None]
    expected_steps[:, NONE] += (now * backward).sum(axis=0)
    for place in range(length - 1, -1, -1):
        lives = alive[place]
        expected[places[place][lives]] = (forward[place] * backward)[lives]
        message = np.where(lives[:, None], likely[places[place]] * backward / sums[place][:, None], 0)
        expected_steps += moves * ((forward[place - 1] if place else nothing).T @ message)
        backward = np.where(lives[:, None], message @ moves.T, backward)
    return float(np.log(sums).sum() + np.log(last).sum())
