"""Text as the matchers read it: letters and digits only, one width, one script — and the way back to the source."""

import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property

import opencc

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
    """`marked` holds letters and marks; `source[i]` is the offset of `marked[i]` in `text`."""

    text: str
    marked: str
    source: tuple[int, ...]

    @cached_property
    def letters(self) -> str:
        """`marked` without its marks."""
        return "".join(character for character in self.marked if character not in MARKS)

    @cached_property
    def _place(self) -> tuple[int, ...]:
        """Offset in `letters` → offset in `marked`."""
        return tuple(place for place, character in enumerate(self.marked) if character not in MARKS)

    def before(self, start: int, limit: int) -> str:
        """At most `limit` letters and marks before letter `start`."""
        place = self._place[start]
        return self.marked[max(0, place - limit) : place]

    def after(self, end: int, limit: int) -> str:
        """At most `limit` letters and marks from letter `end` on."""
        place = self._place[end - 1] + 1
        return self.marked[place : place + limit]

    def between(self, start: int, end: int) -> str:
        """Letters `start` to `end` with the marks between them."""
        return self.marked[self._place[start] : self._place[end - 1] + 1] if end > start else ""

    def gap(self, end: int, start: int) -> str:
        """The letters and marks between a word that ends before letter `end` and one that starts at letter `start`."""
        return self.marked[self._place[end - 1] + 1 : self._place[start]]

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Letters `start` to `end` as offsets in `text`, end exclusive."""
        return self.source[self._place[start]], self.source[self._place[end - 1]] + 1


def normalize(text: str) -> NormalizedText:
    """Fold width, case and script character by character, so that every letter knows where it came from."""
    marked: list[str] = []
    source: list[int] = []
    for offset, character in enumerate(text):
        for folded in _fold(character):
            if folded == "." and _is_decimal_point(text, offset):
                continue
            mark = _MARK_OF.get(folded, folded)
            marked.append(mark)
            source.append(offset)
    return NormalizedText(text, "".join(marked), tuple(source))


def _is_decimal_point(text: str, offset: int) -> bool:
    return offset > 0 and text[offset - 1].isdigit() and text[offset + 1 : offset + 2].isdigit()


@cache
def _fold(character: str) -> str:
    """The letters, digits and marks that a character stands for; none for all else. Cached: Unicode is finite."""
    if character in _MARK_OF:
        return "." if character in ".．" else _MARK_OF[character]
    if unicodedata.category(character) == "Cs":
        return ""
    folded = unicodedata.normalize("NFKC", character).casefold()
    if not folded.isascii():
        folded = "".join(_simplify(part) for part in folded)
    return "".join(part for part in folded if part.isalnum())


def _simplify(character: str) -> str:
    """One character in simplified script; a phrase is not looked at, so lengths stay."""
    simplified: str = _converter().convert(character)
    return simplified if len(simplified) == 1 else character


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")
