"""Finding phrases in text, literally and by sound, in one pass however many phrases there are.

Aho and Corasick, Efficient string matching, 1975 (pyahocorasick): one automaton over the letters of all phrases, one
over their sounds. What is found is put together here: phrases with gaps, one-piece checks, how sure a hit is.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import ahocorasick  # type: ignore[import-not-found]  # a C module without stubs
import numpy as np
from numpy.typing import NDArray

from processors.text.negation import holds_negation
from processors.text.normalized_text import CLAUSE_END, QUESTION_END, SENTENCE_END, NormalizedText, normalize
from processors.text.phonetic import Sounds
from processors.text.remembered import remembered
from schemas.config.condition import GAP, MAX_GAP_LETTERS

MIN_LETTERS_OVER_A_COMMA = 4
"""Shorter phrases do not reach over a comma: 需要担保，本次… is not 保本."""

MIN_LETTERS_BY_SOUND = 2


@dataclass(frozen=True)
class BySound:
    """How far other characters with the same sound count as the phrase."""

    min_letters: int
    min_share_as_written: float


STRICT = BySound(4, 0.5)
"""Short words have innocent homophones (包过, 包裹)."""
SHORT = BySound(2, 0.5)
LOOSE = BySound(3, 0.0)


@dataclass(frozen=True)
class CompiledPhrase:
    """A phrase as it is looked for: its parts in normalised letters, one unless it has gaps."""

    text: str
    parts: tuple[str, ...]
    by_sound: BySound | None

    @remembered
    def may_be_half_a_word(self) -> bool:
        """Whether it begins or ends with a letter or digit that a Latin word or number around it could go on with."""
        return self.parts[0][:1].isascii() or self.parts[-1][-1:].isascii()

    @remembered
    def may_be_half_a_number(self) -> bool:
        """Whether it is a number read out digit by digit, of which a longer one may be made: 三幺五 in 二三三幺五."""
        return len(self.parts) == 1 and len(self.text) >= MIN_READ_OUT and all(map(_IS_READ_OUT, self.parts[0]))

    def may_stand_in(self, places: "Places") -> bool:
        """Whether all parts behind the first stand somewhere: most phrases with gaps are ruled out by this."""
        return len(self.parts) == 1 or self._following <= places.keys()

    @remembered
    def _following(self) -> frozenset[str]:
        return frozenset(self.parts[1:])

    @staticmethod
    def of(text: str, by_sound: BySound | None) -> "tuple[CompiledPhrase, ...]":
        """As it stands in a rule, and with its numbers read out digit by digit (12315, 一二三一五, 幺二三幺五).

        It is looked for by sound only where it is long enough for that.
        """
        return _phrases(text, by_sound)


@lru_cache(maxsize=200_000)
def _phrases(text: str, by_sound: BySound | None) -> tuple[CompiledPhrase, ...]:
    """Remembered, because the rules of general stand in the rulebook of every industry."""
    phrases: dict[tuple[str, ...], CompiledPhrase] = {}
    for said in (text, *(_read_out(text, digits) for digits in _READ_OUT)):
        parts = tuple(normalize(part).letters for part in said.split(GAP))
        is_long_enough = by_sound is not None and sum(map(len, parts)) >= by_sound.min_letters
        phrases.setdefault(parts, CompiledPhrase(text, parts, by_sound if is_long_enough else None))
    return tuple(phrases.values())


def _read_out(text: str, digits: Mapping[int, str]) -> str:
    def spoken(number: re.Match[str]) -> str:
        return number.group().translate(digits)

    return _NUMBER.sub(spoken, text)


MIN_READ_OUT = 3
"""Fewer digits are rather a quantity, which nobody reads out digit by digit."""
_NUMBER = re.compile(rf"\d{{{MIN_READ_OUT},}}")
_IS_READ_OUT = frozenset("零幺一二三四五六七八九").__contains__
_GOES_ON_WITH = frozenset("零幺二三四五六七八九").__contains__
"""Digits that make a number next to them longer. 一 may be the next word: 打三一五一下."""
_READ_OUT = tuple(
    {ord(digit): letter for digit, letter in zip("0123456789", letters, strict=True)}
    for letters in ("零一二三四五六七八九", "零幺二三四五六七八九")
)


class LetterSpan(NamedTuple):
    """Letters `start` to `end` of a text; `as_written` of them are those of the phrase, the others sound like it."""

    start: int
    end: int
    as_written: int


Places = Mapping[str, Sequence[LetterSpan]]
"""Part of a phrase → where it stands, in the order of the text."""


class PhraseHit(NamedTuple):
    """A phrase at letters `start` to `end`, of which `as_written` stand as in the phrase; `confidence` is their share,
    1 where all do."""

    phrase: CompiledPhrase
    parts: tuple[LetterSpan, ...]
    start: int
    end: int
    as_written: int
    confidence: float


class PhraseIndex:
    """All phrases of some rulebooks. Built once and never changed."""

    def __init__(self, phrases: Iterable[CompiledPhrase], sounds: Sounds) -> None:
        self._readings = tuple(map(_table, sounds.tables()))
        written: set[str] = set()
        heard: dict[str, set[str]] = {}
        for phrase in phrases:
            for part in phrase.parts:
                written.add(part)
                if phrase.by_sound and len(part) >= MIN_LETTERS_BY_SOUND:
                    for sound in sounds.of_phrase(part):
                        heard.setdefault(sound, set()).add(part)
        self._parts = tuple(sorted(written))
        self._numbers = {part: number for number, part in enumerate(self._parts)}
        self._written = _automaton(self._numbers)
        self._heard = _automaton(
            {sound: tuple(self._numbers[part] for part in sorted(parts)) for sound, parts in heard.items()}
        )
        self._is_asked = bytes([True]) * len(self._parts)
        """Of each part by its number: a table that stays in the processor's cache."""

    def for_phrases(self, phrases: Iterable[CompiledPhrase]) -> "PhraseIndex":
        """The same index, asked for some of its phrases only."""
        part_of_it = copy(self)
        is_asked = bytearray(len(self._parts))
        for phrase in phrases:
            for part in phrase.parts:
                is_asked[self._numbers[part]] = True
        part_of_it._is_asked = bytes(is_asked)
        return part_of_it

    def places(self, letters: str) -> Places:
        """Where each part of a phrase stands in normalised letters."""
        return self.places_of_all([letters])[0]

    def places_of_all(self, texts: Sequence[str]) -> Sequence[Places]:
        """The same for several texts, in one pass over all of them."""
        found: list[dict[str, list[LetterSpan]]] = [{} for _ in texts]
        starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
        letters = _SEPARATOR.join(texts)
        codes = _codes(letters)
        is_asked, parts = self._is_asked, self._parts
        number, start_of_text, end_of_text = 0, 0, starts[1] if texts else 0
        for last, part_number in self._written.iter(_in_pieces(codes)):
            if not is_asked[part_number]:
                continue
            part = parts[part_number]
            end = last // 2 + 1
            while end >= end_of_text:
                number += 1
                start_of_text, end_of_text = end_of_text, starts[number + 1]
            end -= start_of_text
            found[number].setdefault(part, []).append(LetterSpan(end - len(part), end, len(part)))
        if len(self._heard):
            self._add_by_sound(letters, codes, starts, found)
        return found

    def _add_by_sound(
        self, letters: str, codes: "_Codes", starts: Sequence[int], found: Sequence[dict[str, list[LetterSpan]]]
    ) -> None:
        is_asked, parts = self._is_asked, self._parts
        seen: set[tuple[str, int]] = set()
        unordered: set[tuple[int, str]] = set()
        for text in dict.fromkeys(_in_pieces(_read_letters(codes, reading)) for reading in self._readings):
            for last, part_numbers in self._heard.iter(text):
                for part_number in part_numbers:
                    if not is_asked[part_number]:
                        continue
                    part = parts[part_number]
                    end = last // 2 + 1
                    start = end - len(part)
                    if letters.startswith(part, start) or (part, start) in seen:
                        continue
                    seen.add((part, start))
                    number = bisect_right(starts, start) - 1
                    at = starts[number]
                    as_written = sum(map(str.__eq__, letters[start:end], part))
                    found[number].setdefault(part, []).append(LetterSpan(start - at, end - at, as_written))
                    unordered.add((number, part))
        for number, part in unordered:
            found[number][part].sort(key=lambda place: place.start)


_SEPARATOR = "\n"
"""Between texts; no letter, so that no phrase reaches over it."""

_Codes = NDArray[np.uint32]
"""Letters as code points, shape (letters,)."""


def _codes(letters: str) -> _Codes:
    return np.frombuffer(letters.encode("utf-32-le"), dtype="<u4")


def _table(of: Mapping[int, str]) -> _Codes:
    """Code point → the code point that stands for it, up to the last one for which another stands."""
    table = np.arange(max(of, default=0) + 1, dtype="<u4")
    table[list(of)] = [ord(letter) for letter in of.values()]
    return table


def _read_letters(codes: _Codes, table: _Codes) -> _Codes:
    """Each letter as the table reads it."""
    return np.where(codes < len(table), table[np.minimum(codes, len(table) - 1)], codes)


def _in_pieces(codes: _Codes) -> str:
    """Each letter as two.

    The automaton looks through the children of a node one by one, and of a root over Chinese letters there would be
    thousands; of the first pieces there are few, and of the second 256.
    """
    pieces = np.empty((len(codes), 2), dtype="<u4")
    pieces[:, 0] = codes >> 8
    pieces[:, 1] = _SECOND_PIECE + (codes & 0xFF)
    return pieces.tobytes().decode("utf-32-le")


_SECOND_PIECE = 0x2000
"""Beyond every first piece, so that nothing begins in the middle of a letter."""


def _automaton(values: Mapping[str, object]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    keys = sorted(values)
    all_in_pieces = _in_pieces(_codes(_SEPARATOR.join(keys)))
    for key, in_pieces in zip(keys, all_in_pieces.split(_in_pieces(_codes(_SEPARATOR))), strict=False):
        automaton.add_word(in_pieces, values[key])
    automaton.make_automaton()
    return automaton


def hits(phrase: CompiledPhrase, places: Places) -> Iterator[PhraseHit]:
    """Every occurrence of a phrase; whether it is in one piece is a separate question (`is_in_one_piece`)."""
    min_share = 1.0 if phrase.by_sound is None else phrase.by_sound.min_share_as_written
    if len(phrase.parts) == 1:
        for place in places.get(phrase.parts[0], ()):
            share = place.as_written / (place.end - place.start)
            if share >= min_share:
                yield PhraseHit(phrase, (place,), place.start, place.end, place.as_written, share)
        return
    first, *following = (_usable(places.get(part, ()), phrase) for part in phrase.parts)
    for place in first if all(following) else ():
        parts = _chain(place, following)
        if parts is not None:
            as_written = sum(part.as_written for part in parts)
            share = as_written / sum(part.end - part.start for part in parts)
            if share >= min_share:
                yield PhraseHit(phrase, parts, place.start, parts[-1].end, as_written, share)


def _usable(places: Sequence[LetterSpan], phrase: CompiledPhrase) -> Sequence[LetterSpan]:
    if phrase.by_sound is not None:
        return places
    return [place for place in places if place.as_written == place.end - place.start]


def _chain(first: LetterSpan, following: Sequence[Sequence[LetterSpan]]) -> tuple[LetterSpan, ...] | None:
    """The nearest place of each further part within the allowed gap."""
    chain = [first]
    for places in following:
        end = chain[-1].end
        nearest = bisect_left(places, end, key=lambda place: place.start)
        if nearest == len(places) or places[nearest].start > end + MAX_GAP_LETTERS:
            return None
        chain.append(places[nearest])
    return tuple(chain)


def lies_in_one(hit: PhraseHit, longer: Sequence[str], places: Places, *, by_sound: bool) -> bool:
    """Whether a part of a hit is a part of a longer phrase; `by_sound`: also of one that only sounds like it."""
    for phrase in longer:
        if phrase in places and any(_lies_in(part, phrase, places, by_sound=by_sound) for part in hit.parts):
            return True
    return False


def _lies_in(part: LetterSpan, longer: str, places: Places, *, by_sound: bool) -> bool:
    occurrences = places[longer]
    at = bisect_left(occurrences, part.end - len(longer), key=lambda place: place.start)
    while at < len(occurrences) and occurrences[at].start <= part.start:
        if by_sound or occurrences[at].as_written == len(longer):
            return True
        at += 1
    return False


def is_in_one_piece(hit: PhraseHit, text: NormalizedText, *, negation_in_gap: bool) -> bool:
    """Whether a hit is not torn by the end of a sentence, by a comma only when it is long, and no half of a Latin word
    or number.

    `negation_in_gap` says whether 内部没有名额 is still 内部…名额.
    """
    letters = text.letters
    if text.has_marks_between(hit.start, hit.end):
        marked = text.between(hit.start, hit.end)
        if SENTENCE_END in marked or QUESTION_END in marked:
            return False
        if CLAUSE_END in marked and (len(hit.parts) > 1 or hit.end - hit.start < MIN_LETTERS_OVER_A_COMMA):
            return False
    if hit.phrase.may_be_half_a_word and any(_is_inside_a_latin_word(letters, edge) for edge in (hit.start, hit.end)):
        return False
    if hit.phrase.may_be_half_a_number and _is_in_a_longer_number(letters, hit.start, hit.end):
        return False
    return (
        negation_in_gap
        or len(hit.parts) == 1
        or not any(holds_negation(letters[left.end : right.start]) for left, right in pairwise(hit.parts))
    )


def _is_in_a_longer_number(letters: str, start: int, end: int) -> bool:
    """Whether a number that is read out goes on before or after these letters."""
    return any(map(_GOES_ON_WITH, letters[max(0, start - 1) : start] + letters[end : end + 1]))


def _is_inside_a_latin_word(letters: str, at: int) -> bool:
    """Whether the letters on both sides of a place are of one Latin word or one number."""
    pair = letters[at - 1 : at + 1] if at else ""
    return len(pair) == 2 and pair.isascii() and (pair.isalpha() or pair.isdigit())
