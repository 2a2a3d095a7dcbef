"""Passwords, codes and names of accounts as they are spelled: letters, digits and signs (miao大写m,六六幺九,感叹号)."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.match import FoundKind, PiiMatch

_DIGIT = "[0-9零〇一二三四五六七八九幺两洞拐勾]"
_SIGN = (
    r"(?:下划线|下横线|底线|中划线|井号键?|感叹号|惊叹号|叹号|星号|问号|横杠|横线|杠|减号|加号|艾特|美元符号?|百分号|斜杠|等号|空格|句号|逗号|点(?!\s?[钟多半零〇一二三四五六七八九十\d])"
    r"|全?大写的?|全?小写的?|首字母|[@#!_+*$%&.-])"
)
_REPEATED = rf"[两俩二三四五六2-6]个(?:{_DIGIT}|[a-z](?![a-z]))"
_WORD = r"[a-z]{1,20}"
_TOKEN = rf"(?:{_REPEATED}|{_DIGIT}{{1,20}}|{_WORD}|{_SIGN})"
_GAP = (
    r"[\s,、.。:]{0,2}(?:(?:的|呃|嗯|啊|那个|然后是?|再加?|加上?|后面(?:还有个?|是)?|还有个?|接着|跟着|和)"
    r"[\s,、.。]{0,2}){0,2}"
)
_SPELLED = re.compile(rf"(?<![a-z]){_TOKEN}(?:{_GAP}{_TOKEN}){{0,30}}")
_HAN_THEN_DIGITS = re.compile(
    rf"[是叫为成:用填改设写的][\s,]?(?P<spelled>[一-鿿]{{1,5}}?(?:{_DIGIT}{{3,12}}|[a-z]{{2,12}}{_DIGIT}{{1,12}}))"
)
_HAN_INSIDE = re.compile(rf"(?<![a-z])[a-z]{{2,16}}[一-鿿]{{1,4}}{_DIGIT}{{2,12}}")
_CASE = re.compile("大写|小写")
_OF_A_PRODUCT = re.compile("型号|版本|单号|编号|航班|批号|序列号")
_LETTER = re.compile(r"[a-z]")
_DIGITS = re.compile(_DIGIT)
_SIGNS = re.compile(_SIGN)
_NO_HAN_PREFIX = re.compile(r"是|叫|错|输|试|过|了|只|才|每|第|在|有|这|那|不|要|前面|后面|最后|我|你|他|她|您|它")
_COMMON = (
    "app ok okay vip wifi id pin hi hello no yes ktv sms atm pos pdf email e-mail qq mail sim apple iphone ipad ios"
    " android excel word web www com wechat nfc usb pc ai vs plus pro max hr it cvv pk bug"
)
COMMON_WORDS = frozenset(_COMMON.split())
"""Words in Latin letters of daily talk, which spell nothing."""
_FEWEST_LETTERS, _FEWEST_SIGNS, _FEWEST_DIGITS = 4, 2, 2
_ALONE_AFTER = frozenset(("", ",", "是", "叫", "为", ":", " ", "。"))
_TRAILING = re.compile(r"(?:[\s,、.。:的点]|大写|小写)+$")


def find_spelled(text: str, kind: FoundKind, begin: int = 0, end: int | None = None) -> Iterator[PiiMatch]:
    """What is spelled between two places of a folded text in which something of that kind is expected.

    Digits alone are left to `conversation`.
    """
    last = begin
    for one in sorted(_spelled(text, kind, begin, len(text) if end is None else end), key=lambda x: (x.start, -x.end)):
        if one.end > last:
            last = one.end
            yield one


def find_spelled_out(text: str) -> Iterator[PiiMatch]:
    """What is spelled with 大写 or a sign that only passwords have, what something was set to, or what is typed at
    a door, whoever asked for it: nobody says these of words; of what is sold, some do."""
    for match in _AT_A_DOOR.finditer(text):
        yield PiiMatch("password", *match.span(), 0.6)
    for match in _SPELLED.finditer(text):
        letters, digits = len(_LETTER.findall(match[0])), len(_DIGITS.findall(match[0]))
        if (
            letters
            and letters + digits > _FEWEST_SIGNS
            and (_CASE.search(match[0]) or _is_set(text, match, letters, digits))
            and _OF_A_PRODUCT.search(text, max(0, match.start() - 8), match.start()) is None
        ):
            yield PiiMatch("password", *match.span(), 0.6)


def _is_set(text: str, match: re.Match[str], letters: int, digits: int) -> bool:
    """Whether letters and digits are something that a person chose: Aa幺二三井号, 就改成chuntian零四七."""
    if digits < _FEWEST_DIGITS or PRODUCT.search(match[0]):
        return False
    if _CHOSEN_SIGN.search(match[0]):
        return True
    return letters >= _FEWEST_LETTERS and _SETS.search(text, max(0, match.start() - 8), match.start()) is not None


PRODUCT = re.compile(
    r"(?:mate|nova|reno|note|magic|pura|galaxy|pixel|iphone|ipad|macbook|redmi|thinkpad|rtx|gtx|kfr|model|plan|windows|win|office)"
)
"""Names of what is sold, which letters and digits follow."""
_CHOSEN_SIGN = re.compile("感叹号|惊叹号|叹号|井号|星号|美元|百分号|问号")
_SETS = re.compile(r"(?:[改设写记][成为着的]|[改写记]的是|拼音|默认是?|原来是|以前是|之前用的?是)[,\s是]{0,2}$")
_AT_A_DOOR = re.compile(
    rf"(?:[井星]号键?|米字键?|井字键?)[\s,]?{_DIGIT}(?:[\s,]?{_DIGIT}){{1,9}}(?:[\s,]?(?:[井星]号键?|米字键?|井字?键?))?"
    rf"|{_DIGIT}(?:[\s,]?{_DIGIT}){{2,9}}[\s,]?(?:[井星]号键?|米字键|井字?键?(?![一-鿿]))"
)
"""What is typed between keys that are no digits: 井号二五八零井号."""


def _spelled(text: str, kind: FoundKind, begin: int, stop: int) -> Iterator[PiiMatch]:
    for match in _SPELLED.finditer(text, begin, stop):
        if _is_spelled(match[0], kind, text[max(0, match.start() - 1) : match.start()]):
            trailing = _TRAILING.search(match[0])
            yield PiiMatch(kind, match.start(), match.end() - (len(trailing[0]) if trailing else 0), 0.7)
    for match in _HAN_INSIDE.finditer(text, begin, stop):
        yield PiiMatch(kind, *match.span(), 0.7)
    if begin:
        for match in _HAN_THEN_DIGITS.finditer(text, begin, stop):
            if not _NO_HAN_PREFIX.search(match["spelled"]):
                yield PiiMatch(kind, match.start("spelled"), match.end("spelled"), 0.6)


def _is_spelled(spoken: str, kind: FoundKind, before: str) -> bool:
    """Letters with digits or signs, or digits with signs; letters alone where nothing stands before them but 是."""
    letters = len(_LETTER.findall(spoken))
    digits = len(_DIGITS.findall(spoken))
    signs = len(_SIGNS.findall(spoken))
    words = re.findall(r"[a-z]+", spoken)
    if words and all(word in COMMON_WORDS for word in words):
        return False
    if kind == "code":
        single = all(len(word) == 1 for word in words)
        return letters + signs > 0 and digits >= (1 if single and letters >= _FEWEST_LETTERS else _FEWEST_DIGITS)
    if letters and digits + signs:
        return letters + digits >= _FEWEST_SIGNS + 1
    if letters:
        return kind != "email" and letters >= _FEWEST_LETTERS and before in _ALONE_AFTER
    return (digits >= _FEWEST_DIGITS and signs > 0) or (digits >= 1 and "个" in spoken)


class KnownSpelled:
    """What was spelled in a call, to find it again where nobody expects it."""

    def __init__(self, texts: Sequence[tuple[str, FoundKind]]) -> None:
        """`texts` are what was found, with its kind."""
        kinds = {_plain(text): kind for text, kind in texts if len(_plain(text)) >= _FEWEST_LETTERS}
        self._kinds = dict(sorted(kinds.items(), key=lambda one: -len(one[0])))
        self._pattern = (
            re.compile("|".join(r"[\s,、.。]{0,2}".join(map(re.escape, plain)) for plain in self._kinds))
            if self._kinds
            else None
        )

    def find(self, text: str) -> Iterator[PiiMatch]:
        """Every place in a folded text where one of them stands, with or without pauses."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield PiiMatch(self._kinds.get(_plain(match[0]), "account"), *match.span(), 0.6)


_PAUSES = str.maketrans("", "", " ,、.。")


def _plain(text: str) -> str:
    return text.translate(_PAUSES)
