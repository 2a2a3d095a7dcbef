"""Passports and travel permits: a letter or two and up to nine digits. Product codes look alike: only when asked."""

import re
from collections.abc import Iterator

from processors.pii.match import PiiMatch

_DIGIT = "[0-9零〇一二三四五六七八九幺]"
_GAP = r"[\s,、.-]{0,2}"
_LONG_GAP = rf"{_GAP}(?:(?:呃|嗯|那个|然后是?|等一下){_GAP}){{0,2}}"
_NUMBER = re.compile(rf"(?<![a-z])[a-z](?:{_GAP}[a-z])?(?:{_LONG_GAP}{_DIGIT}){{2,9}}(?!{_DIGIT})")
FLIGHT = re.compile(
    r"(?:mu|ca|cz|hu|zh|fm|mf|sc|gs|kn|ho|eu|tv|jd|pn|qw|ky|dr|bk|gj|nx|cx|ka|ms|sq|nh|jl|ke|oz"
    r"|tg|mh|lh|af|ba|qr|tk|ua)"
    r"(?:\s?[\d零〇一二三四五六七八九幺洞]){3,4}"
)
OF_A_JOURNEY = re.compile(r"(?:航班|班次|车次|班机|飞机|火车|高铁|动车|列车|车票|[去回返]程|[坐乘]的?是?)号?[是:,\s]*$")
_LETTERS = re.compile(
    rf"(?<![a-z])(?<![a-z]\s)[a-z](?:{_GAP}[a-z])?(?![a-z]|\s[a-z])(?!\s?[座区楼栋口级签排站卡轮照])(?!次列?车)"
)
_TOLD_IN_PIECES = re.compile(rf"{_DIGIT}{_GAP}{_DIGIT}|字母")


def find_passports(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Numbers of passports in a folded text, if one was asked for or named, and letters told apart from the digits.

    People say the letters first, or last: E打头, 后面还有个J. A number of a flight or train is none.
    """
    if not asked:
        return
    numbers = list(_NUMBER.finditer(text))
    for match in numbers:
        if not FLIGHT.fullmatch(match[0]) and not OF_A_JOURNEY.search(text, max(0, match.start() - 10), match.start()):
            yield PiiMatch("passport", *match.span(), 0.85)
    if _TOLD_IN_PIECES.search(text):
        for match in _LETTERS.finditer(text):
            if not any(number.start() < match.end() and match.start() < number.end() for number in numbers):
                yield PiiMatch("passport", *match.span(), 0.6)
