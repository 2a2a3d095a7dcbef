"""`PiiMatch`: the result type of all kinds of personal data, and the folded text they read."""

import unicodedata
from dataclasses import dataclass
from functools import cache

import opencc

from schemas.messages.pii import PiiKind


@dataclass(frozen=True)
class PiiMatch:
    """Personal data in characters `start` to `end` (exclusive) of one text."""

    kind: PiiKind
    start: int
    end: int
    confidence: float


def fold(text: str) -> str:
    """The text in one width, case and script, character by character: offsets stay."""
    return "".join(map(_fold, text))


@cache
def _fold(character: str) -> str:
    """Cached: Unicode is finite. A character that folds to several stays as it is."""
    decimal = unicodedata.decimal(character, None)
    if decimal is not None:
        return str(decimal)
    folded = unicodedata.normalize("NFKC", character).casefold()
    if len(folded) != 1:
        return character
    if not "\u3400" <= folded <= "\u9fff":
        return folded
    simplified: str = _converter().convert(folded)
    return simplified if len(simplified) == 1 else folded


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")
