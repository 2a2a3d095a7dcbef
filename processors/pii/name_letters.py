"""What is seen of every letter of a call by the model that finds names, as numbers, for all letters at once.

Of a letter are seen: itself and its neighbours, of which names each may be a part, how common they are together in
ordinary speech, whether they come again in the call, where in its text it stands, and what the other side said before.
Each of that, under the number of its template, gives a hash, and the hash the place of its weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from processors.pii.letters_of_names import COMMON_SURNAMES, OF_FOREIGN_NAMES, OF_GIVEN_NAMES, SINGLE_SURNAMES

Numbers = NDArray[np.uint32]

WEIGHT_BITS = 18
"""Weights of the model stand in so many places, as power of 2."""
SPEECH_BITS = 18
"""The same for how common letters are together."""
_ASKING = ("名字", "姓名", "叫什么", "怎么称呼", "贵姓", "姓什么", "哪位", "收件人", "联系人", "户主", "投保人", "本人")
_MARGIN = 4
"""So many letters on either side are seen."""
_MOST_AGAIN, _LATEST, _LONGEST, _NEAR, _LONGEST_HEARD = 3, 7, 9, 4, 4
_NO_PAIR = 9
"""In place of how common letters are, where they are not all Chinese ones."""
_OTHER, _DIGIT, _LATIN, _DOT, _PAUSE, _NOTHING = 20, 21, 22, 23, 24, 25
_ALL_UNKNOWN = 0xFFFF
_PRIME, _FIRST_PRIME = 0x9E3779B1, 2_654_435_761


@dataclass(frozen=True)
class CallLetters:
    """The letters of the texts of a call, one text after another, with `_MARGIN` zeros around each.

    `starts` and `lengths` are of texts; all else is of letters: codes, the place in the text, its length, whether the
    other side asked for a name right before, and hashes of its last one to four letters, [letters, 4].
    """

    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    codes: Numbers
    place: Numbers
    length: Numbers
    asked: Numbers
    heard: Numbers


def call_letters(texts: Sequence[str], heard: Sequence[str]) -> CallLetters:
    """The letters of folded texts; `heard` is, for each, the end of what the other side said last."""
    gap = "\0" * _MARGIN
    lengths = tuple(map(len, texts))
    starts = tuple((np.cumsum((_MARGIN, *(length + _MARGIN for length in lengths)))[:-1]).tolist())
    codes = np.frombuffer((gap + "".join(text + gap for text in texts)).encode("utf-32-le", "surrogatepass"), np.uint32)
    of_text = np.repeat(np.arange(len(texts)), [length + _MARGIN for length in lengths])
    of_text = np.concatenate((np.zeros(_MARGIN, dtype=of_text.dtype), of_text))
    asked = [1 + any(word in said for word in _ASKING) if said else 0 for said in heard]
    tails = [[_hash_of(said[-n:]) if len(said) >= n else 0 for n in range(1, _LONGEST_HEARD + 1)] for said in heard]
    return CallLetters(
        starts,
        lengths,
        np.minimum(codes, _ALL_UNKNOWN),
        np.clip(np.arange(len(codes)) - np.array(starts)[of_text], 0, _LATEST).astype(np.uint32),
        np.minimum(lengths, _LONGEST).astype(np.uint32)[of_text],
        np.array(asked, dtype=np.uint32)[of_text],
        np.array(tails, dtype=np.uint32)[of_text],
    )


def pieces_of(codes: Numbers) -> tuple[Numbers, Numbers]:
    """Of each letter, where it stands how common it is with the next one, and with the next two."""
    pair = _mixed(np.full_like(codes, 7), codes, np.roll(codes, -1))
    shift = np.uint32(32 - SPEECH_BITS)
    return pair >> shift, _mixed(pair, np.roll(codes, -2)) >> shift


def hashes(letters: CallLetters, speech: NDArray[np.uint8]) -> Numbers:
    """What is seen of each letter, [letters, templates]. `speech` is how common pairs and triples are, [2, places]."""
    seen = np.zeros((_SEEN, len(letters.codes)), dtype=np.uint32)
    for column, row in _rows(letters, speech).items():
        seen[column] = row
    mixed = _mixed(
        np.broadcast_to(_SEEDS[:, None], (TEMPLATES, len(letters.codes))), *(seen[columns] for columns in _COLUMNS)
    )
    return mixed.T


def weight_places(hashed: Numbers) -> Numbers:
    """Where the weights of hashes stand."""
    return hashed >> np.uint32(32 - WEIGHT_BITS)


def _mixed(seed: Numbers, *values: Numbers) -> Numbers:
    mixed = seed
    for value in values:
        mixed = (mixed ^ value) * np.uint32(_PRIME)
        mixed ^= mixed >> np.uint32(15)
    return mixed


@lru_cache(maxsize=1 << 14)
def _hash_of(text: str) -> int:
    mixed = 17
    for letter in text:
        mixed = ((mixed ^ ord(letter)) * _PRIME) & 0xFFFFFFFF
        mixed ^= mixed >> 15
    return mixed


@cache
def _kinds() -> Numbers:
    """Code of a letter → of which names it may be a part; up to 11 for Chinese letters."""
    kinds = np.full(1 << 16, _OTHER, dtype=np.uint32)
    kinds[0x4E00:0xA000] = 0
    kinds[ord("0") : ord("9") + 1] = _DIGIT
    kinds[ord("a") : ord("z") + 1] = _LATIN
    kinds[ord("·")] = _DOT
    kinds[[ord(letter) for letter in " ,.。,、?!…"]] = _PAUSE
    kinds[0] = _NOTHING
    for letters, summand in ((SINGLE_SURNAMES, 1), (COMMON_SURNAMES, 1), (OF_GIVEN_NAMES, 3), (OF_FOREIGN_NAMES, 6)):
        kinds[[ord(letter) for letter in letters]] += np.uint32(summand)
    return kinds


# What may be seen, as (what, how many letters further on): the rows of `_rows`.
_Column = tuple[str, int]


def _rows(letters: CallLetters, speech: NDArray[np.uint8]) -> Mapping[int, Numbers]:
    """Row of what is seen → for each letter what it is."""
    kinds = _kinds()[letters.codes]
    pairs, triples = pieces_of(letters.codes)
    is_chinese = kinds < _OTHER
    of_two = is_chinese & np.roll(is_chinese, -1)
    of_three = of_two & np.roll(is_chinese, -2)
    _, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    once: dict[str, Numbers] = {
        "letter": letters.codes,
        "kind": kinds,
        "pair": np.where(of_two, speech[0][pairs], np.uint32(_NO_PAIR)).astype(np.uint32),
        "triple": np.where(of_three, speech[1][triples], np.uint32(_NO_PAIR)).astype(np.uint32),
        "again": np.minimum(counts[inverse], _MOST_AGAIN).astype(np.uint32),
        "place": letters.place,
        "near": np.minimum(letters.place, _NEAR),
        "length": letters.length,
        "asked": letters.asked,
        **{f"heard{n + 1}": letters.heard[:, n] for n in range(_LONGEST_HEARD)},
    }
    return {row: np.roll(once[what], -offset) if offset else once[what] for (what, offset), row in _ROW_OF.items()}


def _templates() -> list[tuple[_Column, ...]]:
    """What is seen together."""

    def row(what: str, *offsets: int) -> tuple[_Column, ...]:
        return tuple((what, offset) for offset in offsets)

    def both(*pieces: tuple[_Column, ...]) -> tuple[_Column, ...]:
        return tuple(column for piece in pieces for column in piece)

    alone = [row("letter", at) for at in range(-4, 5)]
    alone += [row("letter", at, at + 1) for at in range(-4, 4)]
    alone += [row("letter", at, at + 1, at + 2) for at in range(-3, 2)]
    alone += [
        row("letter", *offsets) for offsets in ((-4, -3, -2, -1), (1, 2, 3, 4), (-1, 1), (-1, 2), (-2, 1), (-1, 3))
    ]
    alone += [row("letter", -3, 1)]
    alone += [row("kind", at) for at in range(-1, 3)]
    alone += [row("kind", *range(first, last + 1)) for first, last in ((0, 1), (-1, 0), (0, 2), (-1, 1), (-2, 0))]
    alone += [row("kind", *range(first, first + 4)) for first in (-1, -2, -3)]
    alone += [row("pair", *offsets) for offsets in ((-1,), (0,), (-1, 0), (0, 1), (-2, -1), (-1, 0, 1), (-2, -1, 0))]
    of_kinds = [((0, 1), (0,)), ((-1, 0), (-1,)), ((0,), (-1, 0)), ((0, 1), (-1, 0)), ((-1, 0), (-1, 0))]
    together = [both(row("kind", *kinds), row("pair", *pairs)) for kinds, pairs in of_kinds]
    together += [both(row("triple", at), row("kind", 0)) for at in (0, -1, -2)]
    together += [both(row("triple", 0), row("pair", 0, 1)), both(row("triple", -2), row("pair", -2, -1))]
    around = [
        ((-1,), (0, 1)),
        ((-2, -1), (0, 1)),
        ((1,), (0, -1)),
        ((1, 2), (0, -1)),
        ((-1,), (0, 1, 2)),
        ((1,), (0, -1, -2)),
    ]
    together += [both(row("letter", *letters), row("kind", *kinds)) for letters, kinds in around]
    together += [both(row("letter", *letters), row("kind", kind)) for letters, kind in (((0,), 1), ((0,), -1))]
    rare = [((-2, -1), (0,)), ((1, 2), (-1,)), ((0,), (0,)), ((0,), (-1,)), ((0,), (0, -1))]
    together += [both(row("letter", *letters), row("pair", *pairs)) for letters, pairs in rare]
    together += [both(row("letter", at), row("pair", pair), row("kind", 0)) for at, pair in ((-1, 0), (1, -1))]
    together += [both(row("again", at), row("pair", at)) for at in (0, -1)] + [row("again", 0, -1)]
    place = row("place", 0)
    together += [
        both(row("asked", 0), place, *more)
        for more in ((), (row("kind", 0),), (row("kind", 0, 1),), (row("length", 0),))
    ]
    together += [both(row("length", 0), place)]
    together += [both(row(f"heard{n}", 0), row("near", 0)) for n in range(1, _LONGEST_HEARD + 1)]
    return [*alone, *together, both(row("heard2", 0), row("kind", 0, 1), row("near", 0))]


_TEMPLATES = _templates()
TEMPLATES = len(_TEMPLATES)
_ROW_OF = {column: 1 + row for row, column in enumerate(sorted({column for each in _TEMPLATES for column in each}))}
_SEEN = 1 + len(_ROW_OF)
_MOST_TOGETHER = max(map(len, _TEMPLATES))
_COLUMNS = np.array([[_ROW_OF[each[n]] if n < len(each) else 0 for each in _TEMPLATES] for n in range(_MOST_TOGETHER)])
"""Of the first, second … of what is seen together its row, [4, templates]; row 0 holds nothing."""
_SEEDS = (np.arange(1, TEMPLATES + 1, dtype=np.uint32) * np.uint32(_FIRST_PRIME)).astype(np.uint32)
