"""Characters that a recogniser took for others of the same sound, put right by what is usually said before and after.

In Mandarin most errors of a recogniser are of that kind: 保本保溪 for 保本保息. Which characters follow each other in
calls a model of three letters in a row knows, smoothed as Witten and Bell do (1991); the most probable spelling of
what was heard is found by Viterbi's algorithm. A letter that was not heard costs the more the surer the recogniser is
of the one that was (`price_of`). Negations and numerals are evidence of another kind: none is put in, and none taken
away. The text keeps its length, letter by letter.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.digest import digest_of
from processors.text.phonetic import USUAL_MERGERS, Sounds
from processors.text.syllables import syllables
from processors.weight_files import load_model
from schemas.errors import OperatorError

WEIGHTS = Path(__file__).parent / "weights" / "spelling.npz"
FORMAT = 1
EDGES = "^$"
"""Stand before and after a row of letters; the first of the alphabet of a model."""
LEAST_PRICE, PRICE_OF_A_DRAW, SUREST = 2.0, 3.0, 0.9999
"""In natural logarithms: of a letter that was not heard at least, and where the recogniser gives the one that was heard
an even chance; no surer than the last is it believed to be."""
STEPS_PER_NAT = 12
"""Logarithms are kept as whole twelfths, in a byte."""
ALPHABET = 1 << 12
"""So many letters at most, so that three of them fit into a key."""
KEPT = 5
"""As many letters of a place are looked at with two before them."""
NEVER_CHANGED = frozenset("不没无非未别勿零〇一二三四五六七八九十百千万亿两幺")
"""Negations and numerals."""

_LETTERS = re.compile("[\u4e00-\u9fff]+")


class SpellingWeightsError(OperatorError):
    """The file of weights cannot be used; the text says what to do."""


@dataclass(frozen=True)
class SpellingModel:
    """Logarithms of probabilities of letters after none, one and two others, and of what is left for unseen ones.

    `letters` are in the order of their numbers; keys are letters' numbers in base `ALPHABET`, ascending. `after_none`
    has a byte a letter, `after_one` and `after_two` a byte a key, minus a twelfth of a nat each; so have
    `left_after_one` a letter and `left_after_two` a pair.
    """

    letters: str
    pairs: NDArray[np.uint32]
    triples: NDArray[np.uint64]
    after_none: NDArray[np.uint8]
    after_one: NDArray[np.uint8]
    after_two: NDArray[np.uint8]
    left_after_one: NDArray[np.uint8]
    left_after_two: NDArray[np.uint8]

    def respell(self, text: str, confidence: Sequence[float]) -> str:
        """The most probable text that sounds like this one; as long, and the same where it is not Chinese.

        `confidence` is how sure the recogniser is of each letter, 0 to 1.
        """

        def best(found: re.Match[str]) -> str:
            return self._best(found.group(), confidence[found.start() : found.end()])

        return _LETTERS.sub(best, text)

    def _best(self, heard: str, confidence: Sequence[float]) -> str:
        choices = [self._choices(letter).at(price_of(sure)) for letter, sure in zip(heard, confidence, strict=True)]
        if all(len(one.numbers) == 1 for one in choices):
            return heard
        kept = self._likely(choices)
        # Viterbi over pairs of neighbouring letters; before the first letter there is the edge.
        edge = np.zeros(1, dtype=np.int64)
        score = kept[0].cost + self._after_one(edge, kept[0].numbers)  # (1, letters of the first place)
        before, here = edge, kept[0].numbers
        steps: list[NDArray[np.int64]] = []
        for one in kept[1:]:
            reached = score[:, :, None] + self._after_two(before, here, one.numbers) + one.cost
            steps.append(reached.argmax(axis=0))
            score = reached.max(axis=0)
            before, here = here, one.numbers
        score = score + self._after_two(before, here, np.ones(1, dtype=np.int64))[:, :, 0]
        first, last = np.unravel_index(int(score.argmax()), score.shape)
        path = [int(last), int(first)]
        for step in reversed(steps):
            path.append(int(step[path[-1], path[-2]]))
        # The last step leads to the edge.
        return "".join(one.letters[place] for one, place in zip(kept, path[-2::-1], strict=True))

    def _likely(self, choices: Sequence["_Choices"]) -> list["_Choices"]:
        """Of each place the letters with the best spellings by pairs alone, and the one that was heard."""
        edge = np.zeros(1, dtype=np.int64)
        tables = [self._after_one(edge, choices[0].numbers)]
        tables += [self._after_one(a.numbers, b.numbers) for a, b in pairwise(choices)]
        forward = [choices[0].cost + tables[0][0]]
        for table, one in zip(tables[1:], choices[1:], strict=True):
            forward.append((forward[-1][:, None] + table).max(axis=0) + one.cost)
        backward = self._after_one(choices[-1].numbers, np.ones(1, dtype=np.int64))[:, 0]
        kept: list[_Choices] = []
        for place in range(len(choices) - 1, -1, -1):
            kept.append(choices[place].best(forward[place] + backward))
            if place:
                backward = (tables[place] + (backward + choices[place].cost)[None, :]).max(axis=1)
        return kept[::-1]

    def _after_one(self, before: NDArray[np.int64], here: NDArray[np.int64]) -> NDArray[np.float64]:
        """Logarithms, a row for each letter before."""
        keys = (before[:, None] * ALPHABET + here[None, :]).astype(np.uint32)
        places = np.searchsorted(self.pairs, keys).clip(max=len(self.pairs) - 1)
        unseen = self._logarithms["after_none"][here][None, :] + self._logarithms["left_after_one"][before][:, None]
        return np.where(self.pairs[places] == keys, self._logarithms["after_one"][places], unseen)

    def _after_two(
        self, first: NDArray[np.int64], second: NDArray[np.int64], here: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Logarithms, by first letter, second letter and letter."""
        pairs = first[:, None] * ALPHABET + second[None, :]
        keys = (pairs[:, :, None] * ALPHABET + here[None, None, :]).astype(np.uint64)
        places = np.searchsorted(self.triples, keys).clip(max=len(self.triples) - 1)
        of_pairs = np.searchsorted(self.pairs, pairs.astype(np.uint32)).clip(max=len(self.pairs) - 1)
        left = np.where(self.pairs[of_pairs] == pairs, self._logarithms["left_after_two"][of_pairs], 0.0)
        unseen = left[:, :, None] + self._after_one(second, here)[None, :, :]
        return np.where(self.triples[places] == keys, self._logarithms["after_two"][places], unseen)

    def _choices(self, letter: str) -> "_Choices":
        found = self._known.get(letter)
        if found is None:
            found = self._known[letter] = self._sounding_like(letter)
        return found

    def _sounding_like(self, letter: str) -> "_Choices":
        others: set[str] = set()
        if letter not in NEVER_CHANGED:
            for sound in self._sounds(letter):
                others.update(self._of_sound.get(sound, ()))
        letters = (letter, *sorted(others - {letter}))
        # A letter that the model does not know is as probable as the rarest one that it knows.
        numbers = np.array([self._numbers.get(one, len(self.letters) - 1) for one in letters], dtype=np.int64)
        return _Choices("".join(letters), numbers, np.zeros(len(letters)))

    @staticmethod
    def _sounds(letter: str) -> frozenset[str]:
        return frozenset(map(_merged, syllables().get(letter, ())))

    @cached_property
    def _known(self) -> dict[str, "_Choices"]:
        return {}

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {letter: number for number, letter in enumerate(self.letters)}

    @cached_property
    def _of_sound(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for letter in self.letters:
            if letter not in NEVER_CHANGED:
                for sound in self._sounds(letter):
                    found[sound].append(letter)
        return found

    @cached_property
    def _logarithms(self) -> Mapping[str, NDArray[np.float64]]:
        """Of each array of bytes, what they stand for."""
        return {name: -getattr(self, name).astype(np.float64) / STEPS_PER_NAT for name in _ARRAYS[2:]}

    @cached_property
    def version(self) -> str:
        """16 hexadecimal digits, others for other weights."""
        return digest_of(self)

    def save(self, file: Path) -> None:
        """Write the weights."""
        about = np.array(json.dumps({"format": FORMAT, "letters": self.letters}))
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        # Ascending keys differ by little, which compresses.
        for name in ("pairs", "triples"):
            arrays[name] = np.diff(arrays[name], prepend=arrays[name][:1] * 0)
        np.savez_compressed(file, about=about, **arrays)


_ARRAYS = ("pairs", "triples", "after_none", "after_one", "after_two", "left_after_one", "left_after_two")


@dataclass(frozen=True)
class _Choices:
    """Letters that may stand in a place, their numbers, and what each costs; the first was heard."""

    letters: str
    numbers: NDArray[np.int64]
    cost: NDArray[np.float64]

    def at(self, price: float) -> "_Choices":
        """The same, where each but the first costs so much."""
        cost = np.full(len(self.numbers), -price)
        cost[0] = 0
        return _Choices(self.letters, self.numbers, cost)

    def best(self, score: NDArray[np.float64]) -> "_Choices":
        """`KEPT` of them and the first."""
        if len(self.numbers) <= KEPT:
            return self
        places = [0, *(int(place) for place in np.argsort(-score, kind="stable")[:KEPT] if place)]
        return _Choices("".join(self.letters[place] for place in places), self.numbers[places], self.cost[places])


def price_of(confidence: float) -> float:
    """Of a letter that was not heard, where the recogniser is so sure of the one that was: by its odds."""
    sure = min(confidence, SUREST)
    return max(LEAST_PRICE, PRICE_OF_A_DRAW + log(sure / (1 - sure))) if sure > 0 else LEAST_PRICE


@cache
def _usual_sounds() -> Sounds:
    return Sounds(USUAL_MERGERS)


@cache
def _merged(syllable: str) -> str:
    return _usual_sounds().merge(syllable)


@cache
def load_spelling(file: Path = WEIGHTS) -> SpellingModel:
    """The model of a file, read once. Raises `SpellingWeightsError`."""

    def build(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> SpellingModel:
        found = {name: arrays[name] for name in _ARRAYS}
        for name in ("pairs", "triples"):
            found[name] = np.cumsum(found[name], dtype=found[name].dtype)
        return SpellingModel(letters=about["letters"], **found)

    return load_model(file, FORMAT, build, SpellingWeightsError, "spelling")
