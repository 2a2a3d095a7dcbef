"""Number plates of vehicles (GA 36): province, letter, five characters, or six for new energy."""

import re
from collections.abc import Iterator

from processors.pii.match import PiiMatch

_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_SPOKEN_DIGITS = "零〇一二三四五六七八九幺洞拐勾"
_SIGN = rf"[a-z0-9{_SPOKEN_DIGITS}]"
_GAP = r"[\s·.,、-]{0,2}(?:(?:的|呃|嗯|那个|然后)[\s,、]{0,2})?"

_PLATE = re.compile(
    rf"[{_PROVINCES}]{_GAP}[a-z](?:{_GAP}{_SIGN}){{4,6}}(?:{_GAP}[挂学警港澳])?(?![a-z])",
)
_ASKED = re.compile(
    rf"(?:[一-鿿]{_GAP})?[a-z](?:{_GAP}{_SIGN}){{3,6}}(?:{_GAP}[挂学警港澳])?(?![a-z])|[{_PROVINCES}]{_GAP}[a-z](?![a-z])"
)
_DIGIT = re.compile(rf"[0-9{_SPOKEN_DIGITS}]")
_NO_PROVINCE = frozenset("是叫号牌为的")


def find_plates(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Plates in a folded text; where one was asked for, also with another letter for the province, or a part."""
    last = 0
    for match in _PLATE.finditer(text):
        if _DIGIT.search(match[0]):
            last = match.end()
            yield PiiMatch("plate", *match.span(), 0.9)
    if not asked or last:
        return
    for match in _ASKED.finditer(text):
        start = match.start() + (match[0][0] in _NO_PROVINCE)
        yield PiiMatch("plate", start, match.end(), 0.7)
