"""Names where nobody asks for them, by a linear chain over letters that has learned from labelled calls.

Each letter begins, continues or ends a name, is one alone, or is part of none; the likeliest row of these is taken.
What speaks for each is in `name_letters`. No surname is needed: what stands around 建国 in 让建国来接, of what letters
古丽娜尔 is made, and that 龚建斌 consists of pairs that nobody says tells them from 沙发 and 高兴啊.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from math import exp, log, log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.pii.match import PiiMatch
from processors.pii.name_letters import TEMPLATES, call_letters, hashes, weight_places
from processors.pii.words_like_names import least_probability
from processors.weight_files import load_model
from schemas.errors import OperatorError
from schemas.messages.call_ended import Role

WEIGHTS = Path(__file__).parent / "weights" / "names.npz"
FORMAT = 3
PIECE_BUCKETS = 1 << 17
MOST_OFTEN = 6
"""Logarithm to base 2 of the count from which on a pair of letters is simply common."""
NONE, BEGINS, CONTINUES, ENDS, ALONE = range(5)
"""What a letter is to a name; weights are of all but `NONE`."""
MAY_FOLLOW = {
    NONE: (NONE, BEGINS, ALONE),
    BEGINS: (CONTINUES, ENDS),
    CONTINUES: (CONTINUES, ENDS),
    ENDS: (NONE, BEGINS, ALONE),
    ALONE: (NONE, BEGINS, ALONE),
}
_HEARD_LETTERS = 14
_HOPELESS, _HOPE = -1.0, 0.0
"""Below the first no letter is part of a name, and no row of letters holds one whose best is below the second."""
_NEVER = -1e9
_LANE_ZERO = 128


class NameWeightsError(OperatorError):
    """The file of weights cannot be used; the text says what to do."""


def heard_before(said: Sequence[tuple[Role, str]]) -> Iterator[str]:
    """For each text the end of what another side said last before it."""
    last: dict[Role, tuple[int, str]] = {}
    for number, (role, text) in enumerate(said):
        others = [of_other for other, of_other in last.items() if other != role]
        yield max(others)[1][-_HEARD_LETTERS:] if others else ""
        last[role] = (number, text)


@lru_cache(maxsize=1 << 16)
def piece_bucket(piece: str) -> int:
    """Where it stands how common two or three letters are."""
    return zlib.crc32(piece.encode()) % PIECE_BUCKETS


def commonness(count: int) -> int:
    """How common what was seen so often is, 0 to `MOST_OFTEN`."""
    return min(MOST_OFTEN, int(log2(1 + count)))


@dataclass(frozen=True)
class NameReader:
    """Weights of what is seen of letters, [places, 4], and between them, [before, after], both times `scale`.

    `speech` is how common letters are together where the model looks, [2, places]; `pieces` is the same for rules, of
    the calls in which every name is marked.
    """

    weights: NDArray[np.int8]
    steps: NDArray[np.float64]
    scale: float
    speech: NDArray[np.uint8]
    pieces: NDArray[np.uint8]
    threshold: float

    def find(self, said: Sequence[tuple[Role, str]]) -> list[list[PiiMatch]]:
        """Names in the folded texts of a call, by text; none overlaps another of its text."""
        if not said:
            return []
        letters = call_letters([text for _, text in said], list(heard_before(said)))
        seen = weight_places(hashes(letters, self.speech))
        sums = self._packed[seen].sum(axis=1).view(np.uint16).reshape(-1, ALONE).astype(np.int32)
        scores = (sums - _LANE_ZERO * TEMPLATES) * self.scale
        best = scores.max(axis=1)
        return [
            list(self._in_text(text, scores[start : start + length], best[start : start + length]))
            for (_, text), start, length in zip(said, letters.starts, letters.lengths, strict=True)
        ]

    def _in_text(self, text: str, scores: NDArray[np.float64], best: NDArray[np.float64]) -> Iterator[PiiMatch]:
        for begin, end in _rows(np.flatnonzero(best > _HOPELESS).tolist()):
            if best[begin:end].max() < _HOPE:
                continue
            for first, last, odds in self._names(scores[begin:end].tolist()):
                probability = 1 / (1 + exp(-min(odds, 500.0)))
                if probability >= least_probability(text, begin + first, begin + last):
                    yield PiiMatch("name", begin + first, begin + last, round(probability, 4))

    def _names(self, scores: list[list[float]]) -> Iterator[tuple[int, int, float]]:
        """Names in a row of letters: where each begins and ends, and the logarithm of its odds against none there."""
        tags = self._likeliest(scores)
        first = 0
        for place, tag in enumerate(tags):
            if tag in (BEGINS, ALONE):
                first = place
            if tag in (ENDS, ALONE):
                its = tags[first : place + 1]
                odds = sum(scores[first + number][tag - 1] for number, tag in enumerate(its))
                odds += sum(self._steps[before][after] for before, after in pairwise((NONE, *its, NONE)))
                yield first, place + 1, odds - (len(its) + 1) * self._steps[NONE][NONE]

    def _likeliest(self, scores: list[list[float]]) -> list[int]:
        """What each letter of a row is, where a name is worth taking from `threshold` on."""
        steps, bonus = self._steps, log((1 - self.threshold) / self.threshold)
        none, begins, continues, ends, alone = 0.0, _NEVER, _NEVER, _NEVER, _NEVER
        came_from: list[tuple[int, int, int, int, int]] = []
        for to_begin, to_continue, to_end, to_be_alone in scores:
            outside = ((none, NONE), (ends, ENDS), (alone, ALONE))
            inside = ((begins, BEGINS), (continues, CONTINUES))
            none, from_none = max((score + steps[tag][NONE], tag) for score, tag in outside)
            begins, from_begins = max((score + steps[tag][BEGINS], tag) for score, tag in outside)
            alone, from_alone = max((score + steps[tag][ALONE], tag) for score, tag in outside)
            continues, from_continues = max((score + steps[tag][CONTINUES], tag) for score, tag in inside)
            ends, from_ends = max((score + steps[tag][ENDS], tag) for score, tag in inside)
            begins, alone = begins + to_begin + bonus, alone + to_be_alone + bonus
            continues, ends = continues + to_continue, ends + to_end
            came_from.append((from_none, from_begins, from_continues, from_ends, from_alone))
        _, tag = max((score + steps[tag][NONE], tag) for score, tag in ((none, NONE), (ends, ENDS), (alone, ALONE)))
        tags: list[int] = []
        for before in reversed(came_from):
            tags.append(tag)
            tag = before[tag]
        return tags[::-1]

    def often(self, piece: str) -> int:
        """How common two or three letters are, 0 to `MOST_OFTEN`."""
        return self._pieces[piece_bucket(piece)]

    def commonest_pair(self, letters: str) -> int:
        """How common the commonest two letters in a row are: of what nobody says but as a name, rare."""
        return max((self.often(letters[place : place + 2]) for place in range(len(letters) - 1)), default=MOST_OFTEN)

    @cached_property
    def _packed(self) -> NDArray[np.uint64]:
        """The four weights of a place in one number, 16 bits for each, which so many sums do not leave."""
        lanes = (self.weights.astype(np.int16) + _LANE_ZERO).astype(np.uint16)
        return np.ascontiguousarray(lanes).view(np.uint64).ravel()

    @cached_property
    def _steps(self) -> list[list[float]]:
        steps: list[list[float]] = self.steps.tolist()
        return steps

    @cached_property
    def _pieces(self) -> bytes:
        return self.pieces.tobytes()

    def save(self, file: Path) -> None:
        """Write the weights."""
        about = np.array(json.dumps({"format": FORMAT, "scale": self.scale, "threshold": self.threshold}))
        np.savez_compressed(
            file, about=about, weights=self.weights, steps=self.steps, speech=self.speech, pieces=self.pieces
        )


def _rows(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Begin and end of each row of numbers that follow each other."""
    begin = 0
    for number, place in enumerate(places):
        if number + 1 == len(places) or places[number + 1] != place + 1:
            yield places[begin], place + 1
            begin = number + 1


@cache
def load_names(file: Path = WEIGHTS) -> NameReader:
    """The reader of a file, read once. Raises `NameWeightsError`."""

    def build(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> NameReader:
        tables = (arrays["speech"], arrays["pieces"])
        return NameReader(arrays["weights"], arrays["steps"], about["scale"], *tables, about["threshold"])

    return load_model(file, FORMAT, build, NameWeightsError, "names")
