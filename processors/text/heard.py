"""Text as it was heard: its syllables without tone, so that 保本保息 is found where the recogniser wrote 保本保溪.

Of a stored text pairs of neighbouring syllables are kept, just as they are read: which sounds count as one is said by
who searches. Digits are read out one by one, and 1 is yi or yao: 12315 sounds like 一二三一五 and 幺二三幺五. A Latin
letter is a syllable, a capital one. What PII masking replaced has no sound.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from processors.text.normalized_text import CLAUSE_END, LIST_MARK, QUESTION_END, SENTENCE_END, normalize
from processors.text.phonetic import Merger, Sounds
from processors.text.syllables import syllables

LEAST_SYLLABLES = 2
"""Single syllables are in every call."""

_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,20}\]")
"""What masking writes, whatever the kind and whatever digits it kept."""
_ENDS = re.compile(f"[{SENTENCE_END}{QUESTION_END}]")
_DIGITS: dict[str, tuple[str, ...]] = {
    **{digit: syllables()[spoken] for digit, spoken in zip("0123456789", "零一二三四五六七八九", strict=True)},
    "〇": syllables()["零"],
    "1": ("yi", "yao"),
    "幺": ("yao", "yi"),
}


@lru_cache(maxsize=10_000)
def heard_phrase(text: str, mergers: frozenset[Merger]) -> "HeardPhrase":
    """The phrase with these sounds not told apart; remembered, because every quote of a search asks for it."""
    return HeardPhrase(text, mergers)


class _Syllable(NamedTuple):
    """How character `start` of a text can be read, and whether a pause is before it."""

    readings: tuple[str, ...]
    start: int
    end: int
    after_pause: bool


def pairs_heard(text: str) -> list[str]:
    """Each pair of neighbouring syllables (`bao ben`), once, in alphabetical order; of all readings of a character.

    Commas and spaces are no pause, because a recogniser sets them as it likes; the end of a sentence or line is one.
    """
    marked = normalize(_without_placeholders(text)).marked
    neighbours: set[tuple[str, str]] = set()
    for sentence in _ENDS.split(marked.replace(CLAUSE_END, "").replace(LIST_MARK, "")):
        neighbours.update(pairwise(sentence))
    return sorted({pair for left, right in neighbours for pair in _pairs(left, right)})


class HeardPhrase:
    """A phrase to be looked for by its sound."""

    def __init__(self, text: str, mergers: Iterable[Merger]) -> None:
        alike = _alike(frozenset(mergers))
        self._syllables: Sequence[frozenset[str]] = [
            frozenset(same for reading in each.readings for same in alike.get(reading, (reading,)))
            for each in _read(text)
        ]

    def __len__(self) -> int:
        """Syllables."""
        return len(self._syllables)

    def pairs(self) -> list[list[str]]:
        """Of each pair of neighbouring syllables all ways to hear it; a text with the phrase has one of each."""
        return [
            sorted(f"{first} {second}" for first in left for second in right)
            for left, right in pairwise(self._syllables)
        ]

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the phrase can be heard in a text: offsets of the text, end exclusive."""
        said = _read(text)
        length = len(self._syllables)
        for start in range(len(said) - length + 1 if length else 0):
            stretch = said[start : start + length]
            if any(each.after_pause for each in stretch[1:]):
                continue
            if all(not wanted.isdisjoint(each.readings) for wanted, each in zip(self._syllables, stretch, strict=True)):
                yield stretch[0].start, stretch[-1].end


def _without_placeholders(text: str) -> str:
    """A text of the same length, so that offsets stay."""
    return _PLACEHOLDER.sub(lambda found: "\n" * len(found[0]), text)


@lru_cache(maxsize=500_000)
def _pairs(left: str, right: str) -> tuple[str, ...]:
    return tuple(f"{first} {second}" for first in _readings(left) for second in _readings(right))


def _read(text: str) -> list[_Syllable]:
    normalized = normalize(_without_placeholders(text))
    source = normalized.source
    read: list[_Syllable] = []
    after_pause = False
    for letter, offset in zip(normalized.marked, source, strict=True):
        readings = _readings(letter)
        if readings:
            read.append(_Syllable(readings, offset, offset + 1, after_pause))
            after_pause = False
        elif letter in (SENTENCE_END, QUESTION_END):
            after_pause = True
    return read


def _readings(letter: str) -> tuple[str, ...]:
    """None for a mark."""
    if not letter.isalnum():
        return ()
    return _DIGITS.get(letter) or syllables().get(letter) or (letter.upper(),)


@lru_cache(maxsize=64)
def _alike(mergers: frozenset[Merger]) -> dict[str, tuple[str, ...]]:
    """Syllable → those that are not told apart from it."""
    sounds = Sounds(mergers)
    every = sorted({reading for readings in syllables().values() for reading in readings})
    merged: dict[str, list[str]] = {}
    for syllable in every:
        merged.setdefault(sounds.merge(syllable), []).append(syllable)
    return {syllable: tuple(merged[sounds.merge(syllable)]) for syllable in every}
