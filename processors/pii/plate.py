"""Number plates of vehicles (GA 36): province, letter, five characters, or six for new energy."""

import re
from collections.abc import Iterator

from processors.pii.match import PiiMatch

_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼滇黔陇蜀"
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


_HEAD = re.compile(
    rf"[{_PROVINCES}]{_GAP}[a-z](?![a-z])(?!\s?的?(?:大?牌照?|车牌)(?!的?(?:那|这|公交|出租|车))|\s?是(?:什么|哪)|\s?股)"
)
_OF_A_CAR = re.compile("车|牌|违章|剐|蹭|追尾|肇事|挪|限行|抬杆")
_FILLING = (
    r"(?:[\s,、.·]|后[面头边]|中间|前面|那个|嗯|呃|开头|打头|然后|还有|还?有?一?个|再|英文|大写|[两俩]?个?字母|数字"
    r"|临时|尾号|好像|就是|是|[a-z]?那个法)"
)
_REST = re.compile(
    rf"{_FILLING}{{0,8}}?(?P<signs>(?<![a-z])(?:[两俩三四五]个)?{_SIGN}(?:{_GAP}{_SIGN}){{0,6}}(?![a-z号元块点天]))"
)
_SPELLED_LETTER = re.compile(r"(?:^|(?<=[,\s的是个]))(?<![a-z]\s)[a-z](?=$|[,\s。吧啊])")
_CORRECTION = re.compile(
    rf"(?:不[对是]|应该是|[哦呃]|还有个?(?:字母|数字)?|字母是?|还是)[,\s]{{0,2}}是?(?P<signs>(?<![a-z]){_SIGN}{{1,6}})(?![a-z]|[一-鿿])"
)
_MOST_REST = 4


def find_plates(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Plates in a folded text; where one was asked for, also with another letter for the province, or a part."""
    wholes = [match for match in _PLATE.finditer(text) if _DIGIT.search(match[0])]
    yield from (PiiMatch("plate", *match.span(), 0.9) for match in wholes)
    pieces = _in_pieces(text, asked=asked, whole=bool(wholes))
    yield from (one for one in pieces if not any(x.start() <= one.start and one.end <= x.end() for x in wholes))
    if not asked or wholes:
        return
    for match in _ASKED.finditer(text):
        start = match.start() + (match[0][0] in _NO_PROVINCE)
        yield PiiMatch("plate", start, match.end(), 0.7)


def _in_pieces(text: str, *, asked: bool, whole: bool) -> Iterator[PiiMatch]:
    """Plates that are said haltingly, in part, or corrected: 粤A, 呃, 后面九四; 鲁Q还是鲁L; 不对, 是B八."""
    heads = list(_HEAD.finditer(text))
    known = asked or whole
    if heads and (known or len(heads) > 1 or _OF_A_CAR.search(text) or _REST.match(text, heads[0].end())):
        for head in heads:
            yield PiiMatch("plate", *head.span(), 0.6)
            end = head.end()
            for _ in range(_MOST_REST):
                rest = _REST.match(text, end)
                if rest is None:
                    break
                yield PiiMatch("plate", *rest.span("signs"), 0.6)
                end = rest.end()
        known = True
    if not known:
        return
    for match in _CORRECTION.finditer(text):
        yield PiiMatch("plate", *match.span("signs"), 0.6)
    for match in _SPELLED_LETTER.finditer(text):
        yield PiiMatch("plate", *match.span(), 0.6)
