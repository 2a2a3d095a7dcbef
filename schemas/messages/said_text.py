"""Texts without what nobody says: control characters, and what cannot be seen and would hide numbers from masking."""

import re
import unicodedata
from functools import cache

_COLOURS = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
"""What tells a terminal to write in colour, or elsewhere (CSI): without its first character the rest would stay."""
_UNSAID = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Me"})
"""Unicode categories: control, format (zero-width, direction, byte order mark, soft hyphen), private use, unassigned,
halves of surrogate pairs, enclosing marks (keycaps)."""
_BREAKS = frozenset("\t\n\v\f\r\x85\u2028\u2029")
_SELECTORS = frozenset(
    {*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0)), "\u180b", "\u180c", "\u180d", "\u180f"}
)
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc")
"""Blank, or in the place of a picture, though Unicode counts them as letters, marks or signs."""
_HAN_PLANES = range(0x20000, 0x40000)
"""For Chinese characters alone: one that this Python does not know yet may stand in a name."""


def said_text(text: str) -> str:
    """The text without the characters that nobody says; line breaks and tabs are spaces."""
    return "".join(map(_said, _COLOURS.sub("", text)))


@cache
def _said(character: str) -> str:
    """Cached: Unicode is finite."""
    if character in _BREAKS:
        return " "
    category = unicodedata.category(character)
    if category == "Cn" and ord(character) in _HAN_PLANES:
        return character
    return "" if category in _UNSAID or character in _SELECTORS or character in _FILLERS else character
