"""Text as the matchers read it: letters and digits only, one width, one script — and the way back to the source."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from processors.text.folding import fold_character
from processors.text.remembered import remembered

CLAUSE_END = "，"
LIST_MARK = "、"
SENTENCE_END = "。"
QUESTION_END = "？"
MARKS = CLAUSE_END + LIST_MARK + SENTENCE_END + QUESTION_END
"""All punctuation is one of these four; whatever else is neither letter nor digit is left out."""

_MARK_OF = {
    **dict.fromkeys("，,：:—", CLAUSE_END),
    **dict.fromkeys("、､", LIST_MARK),
    **dict.fromkeys("。．.｡！!；;…\n\r\u2028\u2029", SENTENCE_END),
    **dict.fromkeys("？?", QUESTION_END),
}


@dataclass(frozen=True)
class NormalizedText:
    """`marked` holds letters and marks of `text`, `letters` its letters alone."""

    text: str
    marked: str
    letters: str

    @remembered
    def source(self) -> Sequence[int]:
        """`source[i]` is the offset in `text` of `marked[i]`; only found out for texts in which something was hit."""
        if len(self.text) == len(self.marked) and _FOLDED.not_one_for_one.isdisjoint(self.text):
            return range(len(self.text))
        return [offset for offset, folded in _fold_each(self.text) for _ in folded]

    @remembered
    def _place(self) -> Sequence[int]:
        """Offset in `letters` → offset in `marked`."""
        if len(self.letters) == len(self.marked):
            return range(len(self.marked))
        return [place for place, character in enumerate(self.marked) if character not in _MARKS]

    @property
    def clause_starts(self) -> list[int]:
        """The letters that follow upon a mark, with which clauses begin; and the first."""
        places = self._place
        return [at for at, place in enumerate(places) if at == 0 or place - places[at - 1] > 1]

    def before(self, start: int, limit: int) -> str:
        """At most `limit` letters and marks before letter `start`."""
        place = self._place[start]
        return self.marked[max(0, place - limit) : place]

    def after(self, end: int, limit: int) -> str:
        """At most `limit` letters and marks from letter `end` on."""
        place = self._place[end - 1] + 1
        return self.marked[place : place + limit]

    def has_marks_between(self, start: int, end: int) -> bool:
        """Whether a mark stands between letters `start` to `end`."""
        return self._place[end - 1] - self._place[start] != end - 1 - start

    def between(self, start: int, end: int) -> str:
        """Letters `start` to `end` with the marks between them."""
        return self.marked[self._place[start] : self._place[end - 1] + 1] if end > start else ""

    def gap(self, end: int, start: int) -> str:
        """The letters and marks between a word that ends before letter `end` and one that starts at letter `start`."""
        return self.marked[self._place[end - 1] + 1 : self._place[start]]

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Letters `start` to `end` as offsets in `text`, end exclusive."""
        return self.source[self._place[start]], self.source[self._place[end - 1]] + 1

    def letters_of(self, start: int, end: int) -> tuple[int, int]:
        """Characters `start` to `end` of `text` as letters; the inverse of `source_span`."""
        return self._letter_from(start), self._letter_from(end)

    def _letter_from(self, offset: int) -> int:
        return bisect_left(self._place, offset, key=lambda place: self.source[place])


def normalize(text: str) -> NormalizedText:
    """Fold width, case and script character by character, so that every letter knows where it came from."""
    marked = "".join(part for _, part in _fold_each(text)) if _holds_a_point(text) else text.translate(_FOLDED)
    letters = marked
    for mark in MARKS:
        letters = letters.replace(mark, "")
    return NormalizedText(text, marked, letters)


def _fold_each(text: str) -> Iterator[tuple[int, str]]:
    """Each character's offset with what it stands for; the point of a decimal number stands for nothing."""
    for offset, character in enumerate(text):
        folded = _FOLDED[ord(character)]
        yield offset, "" if character in _POINTS and _is_decimal_point(text, offset) else folded


def _holds_a_point(text: str) -> bool:
    return any(point in text for point in _POINTS)


def _is_decimal_point(text: str, offset: int) -> bool:
    return offset > 0 and text[offset - 1].isdecimal() and text[offset + 1 : offset + 2].isdecimal()


class _Folding(dict[int, str]):
    """Code point → what it stands for, filled while it is used: Unicode is finite.

    `not_one_for_one` are the characters met so far that stand for none or for several.
    """

    def __init__(self) -> None:
        super().__init__()
        self.not_one_for_one: set[str] = set()

    def __missing__(self, code: int) -> str:
        folded = _fold(chr(code))
        if len(folded) != 1:
            self.not_one_for_one.add(chr(code))  # before it is known, or another thread would miss it
        self[code] = folded
        return folded


_FOLDED = _Folding()
_MARKS = frozenset(MARKS)
_POINTS = ".．"


def _fold(character: str) -> str:
    """The letters, digits and marks that a character stands for; none for all else."""
    if character in _MARK_OF:
        return _MARK_OF[character]
    return "".join(part for part in fold_character(character) if part.isalnum())
