"""Passports and travel permits: a letter or two and up to nine digits. Product codes look alike: only when asked."""

import re
from collections.abc import Iterator

from processors.pii.match import PiiMatch

_DIGIT = "[0-9零〇一二三四五六七八九幺]"
_GAP = r"[\s,、.-]{0,2}"
_LONG_GAP = rf"{_GAP}(?:(?:呃|嗯|那个|然后是?|等一下){_GAP}){{0,2}}"
_NUMBER = re.compile(rf"(?<![a-z])[a-z](?:{_GAP}[a-z])?(?:{_LONG_GAP}{_DIGIT}){{2,9}}(?!{_DIGIT})")
FLIGHT = re.compile(r"(?:mu|ca|cz|hu|zh|fm|mf|sc|gs|kn|ho|eu|tv|jd|pn|qw|ky|dr|bk|gj|nx|cx|ka)[\s]?\d{3,4}")


def find_passports(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Numbers of passports in a folded text, if one was asked for or named."""
    if asked:
        for match in _NUMBER.finditer(text):
            if not FLIGHT.fullmatch(match[0]):
                yield PiiMatch("passport", *match.span(), 0.85)
