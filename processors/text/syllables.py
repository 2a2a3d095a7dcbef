"""The readings of Chinese characters, from the table `syllables.txt`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_suffix(".txt")
_FIRST_SOUND = 0xE000
"""Of the private use area of Unicode, in which no text has letters."""


@cache
def syllables() -> Mapping[str, tuple[str, ...]]:
    """Character → the Mandarin syllables, without tone, that it can be read as (`薄` → bao, bo), at most two."""
    readings: dict[str, list[str]] = {}
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        syllable, characters = line.split()
        for character in characters:
            readings.setdefault(character, []).append(syllable)
    return {character: tuple(found) for character, found in readings.items()}


@cache
def _sounds() -> Mapping[int, int]:
    """Code of a character → of a letter that stands for its syllable: the first that it can be read as."""
    numbers: dict[str, int] = {}
    return {
        ord(character): _FIRST_SOUND + numbers.setdefault(readings[0], len(numbers))
        for character, readings in syllables().items()
    }


def as_it_sounds(text: str) -> str:
    """The text with one letter for each syllable, the same for all characters that are read alike: as long as the text,
    and nothing that a person could read.
    """
    return text.translate(_sounds())
