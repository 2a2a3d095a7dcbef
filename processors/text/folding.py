"""One character in one width, case and script: how texts are compared that people and recognisers write differently."""

import unicodedata
from functools import cache

import opencc


@cache
def fold_character(character: str) -> str:
    """Compatible forms as one (NFKC), lower case, simplified script; a ligature gives several characters.

    A phrase is not looked at, so each character is simplified alone. Cached: Unicode is finite.
    """
    if unicodedata.category(character) == "Cs":  # half of a surrogate pair, which OpenCC cannot encode
        return character
    folded = unicodedata.normalize("NFKC", character).casefold()
    return folded if folded.isascii() else "".join(map(_simplify, folded))


def _simplify(character: str) -> str:
    simplified: str = _converter().convert(character)
    return simplified if len(simplified) == 1 else character


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")
