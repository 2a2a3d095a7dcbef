"""Words found by their sound: 薄本保锡 is how a recogniser may write 保本保息."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.lexicon import syllables

T = TypeVar("T")

_AS_WRITTEN_ONLY = frozenset("不没无非未别勿")
"""A negation is never taken for another letter of its sound, nor another letter for it."""

MIN_LETTERS = 4
MIN_SHARE_AS_WRITTEN = 0.5
"""Only long words are found by sound, and only where at least half of the letters stand as written: short words have
innocent homophones (包过, 包裹)."""


@dataclass(frozen=True)
class SoundAlike(Generic[T]):
    """Letters `start` to `end` sound like the word of `value`; `share_as_written` of them are its own letters."""

    value: T
    start: int
    end: int
    share_as_written: float


@dataclass
class _Node(Generic[T]):
    by_letter: "dict[str, _Node[T]]" = field(default_factory=dict)
    by_sound: "dict[str, list[_Node[T]]]" = field(default_factory=dict)
    letter: str = ""
    values: list[T] = field(default_factory=list)


class Homophones(Generic[T]):
    """A trie over words that is walked by syllable without tone; a letter counts with all its readings."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, word: str, value: T) -> None:
        """Words of fewer than `MIN_LETTERS` letters are left out."""
        if len(word) < MIN_LETTERS:
            return
        node = self._root
        for letter in word:
            child = node.by_letter.get(letter)
            if child is None:
                child = node.by_letter[letter] = _Node(letter=letter)
                for sound in _sounds(letter):
                    node.by_sound.setdefault(sound, []).append(child)
            node = child
        node.values.append(value)

    def find(self, letters: str) -> Iterator[SoundAlike[T]]:
        """Every place that sounds like a word without being written as it."""
        sounds = [_sounds(letter) for letter in letters]
        first = self._root.by_sound.keys()
        for start in range(len(letters) - MIN_LETTERS + 1):
            if not first.isdisjoint(sounds[start]):
                yield from self._from(start, letters, sounds)

    def _from(self, start: int, letters: str, sounds: list[frozenset[str]]) -> Iterator[SoundAlike[T]]:
        reached = [(self._root, 0)]
        for place in range(start, len(letters)):
            following: dict[int, tuple[_Node[T], int]] = {}
            for node, as_written in reached:
                for sound in sounds[place]:
                    for child in node.by_sound.get(sound, ()):
                        following[id(child)] = (child, as_written + (child.letter == letters[place]))
            if not following:
                return
            reached = list(following.values())
            length = place + 1 - start
            for node, as_written in reached:
                if MIN_SHARE_AS_WRITTEN <= as_written / length < 1:
                    for value in node.values:
                        yield SoundAlike(value, start, place + 1, as_written / length)


def _sounds(letter: str) -> frozenset[str]:
    """The syllables of a letter; a letter that the table does not know sounds like itself only."""
    known = None if letter in _AS_WRITTEN_ONLY else syllables().get(letter)
    return known or frozenset((letter,))
