"""The readings of Chinese characters, from the table `syllables.txt`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_suffix(".txt")


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
