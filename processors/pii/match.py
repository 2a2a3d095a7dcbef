"""`PiiMatch`: the result type of all kinds of personal data, and the folded text they read."""

import unicodedata
from dataclasses import dataclass

from processors.text.folding import fold_character
from schemas.messages.pii import PiiKind, SecretKind

FoundKind = PiiKind | SecretKind
"""Everything that is told apart while a call is read."""

UNNAMED = 0.3
"""The confidence in digits that are hidden though nobody has said what they are."""


@dataclass(frozen=True)
class PiiMatch:
    """Personal data in characters `start` to `end` (exclusive) of one text."""

    kind: FoundKind
    start: int
    end: int
    confidence: float


def fold(text: str) -> str:
    """The text in one width, case and script, character by character: offsets stay."""
    return "".join(map(_fold, text))


def _fold(character: str) -> str:
    """Digits of every script are 0 to 9. A character that folds to several stays as it is."""
    decimal = unicodedata.decimal(character, None)
    if decimal is not None:
        return str(decimal)
    folded = fold_character(character)
    return folded if len(folded) == 1 else character
