"""Text as it sounds: each character one letter for its syllable, so that 宝本 and 保本 are the same string.

A recogniser writes what it heard with other characters of the same sound, and confuses sounds that many speakers do not
tell apart: z and zh, in and ing. Both are looked through here; a hit says how many letters stand as written.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Literal, get_args

from processors.text.syllables import syllables

Merger = Literal["z_zh", "c_ch", "s_sh", "n_l", "f_h", "r_l", "an_ang", "en_eng", "in_ing"]
MERGERS: tuple[Merger, ...] = get_args(Merger)
USUAL_MERGERS: frozenset[Merger] = frozenset(("z_zh", "c_ch", "s_sh", "an_ang", "en_eng", "in_ing"))
"""Sounds that are confused all over the country; n/l, f/h and r/l are those of some regions."""

_AS_WRITTEN_ONLY = frozenset("不没无非未别勿")
"""A negation is never taken for another letter of its sound, nor another letter for it."""

_FIRST_CODE = 0xE000
"""Syllables stand for private characters of Unicode, which no text holds after normalisation."""

MAX_READINGS = 16
"""Of a word with many characters that are read in two ways, as many readings are looked for."""

_INITIALS: dict[Merger, tuple[str, str]] = {
    "z_zh": ("zh", "z"),
    "c_ch": ("ch", "c"),
    "s_sh": ("sh", "s"),
    "n_l": ("n", "l"),
    "f_h": ("f", "h"),
    "r_l": ("r", "l"),
}
_FINALS: dict[Merger, tuple[str, str]] = {"an_ang": ("ang", "an"), "en_eng": ("eng", "en"), "in_ing": ("ing", "in")}


class Sounds:
    """Syllables as letters, with the given sounds merged."""

    def __init__(self, mergers: Iterable[Merger] = USUAL_MERGERS) -> None:
        self.mergers = frozenset(mergers)
        codes: dict[str, str] = {}
        self._readings: dict[str, tuple[str, ...]] = {}
        for character, readings in syllables().items():
            if character not in _AS_WRITTEN_ONLY:
                merged = dict.fromkeys(self.merge(reading) for reading in readings)
                self._readings[character] = tuple(
                    codes.setdefault(syllable, chr(_FIRST_CODE + len(codes))) for syllable in merged
                )

    def merge(self, syllable: str) -> str:
        """The syllable that stands for it and for all that it is confused with: zhang → zan."""
        for merger, (written, read) in _INITIALS.items():
            if merger in self.mergers and syllable.startswith(written):
                syllable = read + syllable.removeprefix(written)
                break
        for merger, (written, read) in _FINALS.items():
            if merger in self.mergers:
                syllable = re.sub(f"{written}$", read, syllable)
        return syllable

    def tables(self) -> tuple[dict[int, str], dict[int, str]]:
        """Character → its first reading, and its last one."""
        first = {ord(character): codes[0] for character, codes in self._readings.items()}
        last = {ord(character): codes[-1] for character, codes in self._readings.items()}
        return first, last

    def of_phrase(self, letters: str) -> Iterator[str]:
        """Every way to read a phrase, at most `MAX_READINGS`."""
        readings = [self._readings.get(letter, (letter,)) for letter in letters]
        return map("".join, islice(product(*readings), MAX_READINGS))
