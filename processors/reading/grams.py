"""Texts of a call as hashed character n-grams, all at once."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RECIPE = 3
"""Rises when the same texts would give other grams than before."""

BUCKET_BITS = 19
BUCKETS = 1 << BUCKET_BITS

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(64 - BUCKET_BITS)
_EDGE = 1
"""Stands before and after each text, so that its first and last letters are told from those in the middle."""


class Grams(NamedTuple):
    """How often the buckets are hit by each text: three columns of one length, sorted by text and bucket."""

    texts: NDArray[np.int64]
    """Which text, by its place in what was given."""
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]


class Texts(NamedTuple):
    """Texts of which the same kinds of grams are taken, and what each text is called in `Grams.texts`."""

    texts: Sequence[str]
    numbers: NDArray[np.int64]
    lengths: Sequence[int]
    gaps: Sequence[int]
    salt: int


def grams_of(texts: Sequence[str], lengths: Sequence[int], salt: int, gaps: Sequence[int] = ()) -> Grams:
    """The n-grams of these lengths, and for each gap the pairs of letters with so many others between them (skip-grams,
    Guthrie et al. 2006); none reaches from one text into the next.

    `salt` tells apart grams of the same letters that mean different things: said, or heard before.
    """
    return grams_of_all([Texts(texts, np.arange(len(texts)), lengths, gaps, salt)])


def grams_of_all(groups: Sequence[Texts]) -> Grams:
    """The same of several groups of texts in one pass over all of them; no number stands for two texts."""
    codes, owners = _joined(
        [text for one in groups for text in one.texts], np.concatenate([one.numbers for one in groups])
    )
    letters = [sum(map(len, one.texts)) + 2 * len(one.texts) for one in groups]
    salts = np.repeat(np.array([one.salt for one in groups], dtype=np.uint64), letters)
    ends = np.cumsum(letters).tolist()
    shapes = [_shapes(one.lengths, one.gaps) for one in groups]
    hits = [np.empty(0, np.int64)]
    for shape in dict.fromkeys(shape for own in shapes for shape in own):
        start = 0
        for is_taken, run in groupby(zip(shapes, ends, strict=True), lambda group: shape in group[0]):  # noqa: B023
            end = max(end for _, end in run)
            if is_taken:
                hits.append(_hashed(codes[start:end], owners[start:end], shape, salts[start:end])[1])
            start = end
    places = np.sort(np.concatenate(hits))
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    different = places[firsts]
    return Grams(different >> BUCKET_BITS, different & (BUCKETS - 1), np.diff(firsts, append=len(places)))


def weigh_letters(
    texts: Sequence[str],
    lengths: Sequence[int],
    salt: int,
    weight_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    gaps: Sequence[int] = (),
) -> list[NDArray[np.float32]]:
    """How much each letter of each text speaks for a head: each gram shares its weight out among its letters."""
    codes, owners = _joined(texts, np.arange(len(texts)))
    salts = np.full(len(codes), salt, dtype=np.uint64)
    shares = np.zeros(len(codes), dtype=np.float32)
    for shape in _shapes(lengths, gaps):
        within, hashed = _hashed(codes, owners, shape, salts)
        share = np.zeros(len(within), dtype=np.float32)
        share[within] = weight_of(hashed & (BUCKETS - 1)) / len(shape)
        for place in shape:
            shares[place : place + len(share)] += share
    ends = np.cumsum([len(text) + 2 for text in texts])
    return [shares[end - len(text) - 1 : end - 1] for text, end in zip(texts, ends.tolist(), strict=True)]


def _joined(texts: Sequence[str], numbers: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The letters of all texts one after the other, each text with its edges, and the number of the text of each."""
    edge = chr(_EDGE)
    joined = "".join(f"{edge}{text}{edge}" for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    return codes, np.repeat(numbers, np.array([len(text) + 2 for text in texts], dtype=np.int64))


def _shapes(lengths: Sequence[int], gaps: Sequence[int]) -> list[tuple[int, ...]]:
    """Which letters each kind of gram takes, counted from its first."""
    return [*(tuple(range(length)) for length in lengths), *((0, gap + 1) for gap in gaps)]


def _hashed(
    codes: NDArray[np.uint64],
    owners: NDArray[np.int64],
    shape: tuple[int, ...],
    salts: NDArray[np.uint64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Where a gram of that shape lies within a text, and of each of those text and bucket, in one number."""
    reach = shape[-1] + 1
    count = len(codes) - reach + 1
    if count <= 0:
        return np.empty(0, np.bool_), np.empty(0, np.int64)
    within = owners[:count] == owners[reach - 1 :]
    kind = reach if reach == len(shape) else 16 + reach  # letters in a row, or with others between them
    hashed = salts[:count] * np.uint64(31) + np.uint64(kind)
    for place in shape:
        hashed += codes[place : place + count]
        hashed *= _FACTOR
        hashed ^= hashed >> np.uint64(29)
    buckets = ((hashed * _MIX) >> _SHIFT).astype(np.int64)
    return within, ((owners[:count] << BUCKET_BITS) | buckets)[within]
