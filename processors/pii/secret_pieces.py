"""Pieces of passwords and codes, spelled near where one is talked about, whoever expects them: 大写的R, 妈妈的M."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.asking import OTHER_NUMBER
from processors.pii.conversation import Line, NumbersSaid
from processors.pii.match import FoundKind, PiiMatch
from processors.pii.spelled import COMMON_WORDS, PRODUCT

_CERTAINTY = 0.6
_NEAR = 2
"""So many lines before and after one in which a secret is named or expected may hold a piece of it."""

_DIGIT = "[0-9零〇一二三四五六七八九幺两洞拐勾]"
_LETTER = r"(?<![a-z])[a-z](?![a-z])"
_SIGN = "下划线|下滑线|下横线|井[号好](?!键)|星号(?!键)|感叹号|惊叹号|叹号|艾特|百分号|美元符号?"
_GAP = r"[\s,、]{0,2}"
_CASE = re.compile(
    rf"(?:大写|小写)的?{_GAP}(?:{_LETTER}{_GAP}){{1,6}}|(?<![一-鿿])大{_LETTER}|{_LETTER}\s?(?:[是要得]的?)?(?:大写|小写)(?!还是)"
)
_BY_A_WORD = re.compile(rf"[一-鿿]{{1,3}}的\s?那?个?\s?{_LETTER}(?!\s?[码款型])")
"""妈妈的M; what is the letter of something sold or of a size is none (`_NO_WORD`)."""
_NO_WORD = re.compile(r"型号|航班|尺码|码数|版本|开头|楼|区|座|栋|号线|款")
_TOKEN = rf"(?:{_LETTER}|{_DIGIT}|(?<=[a-z])十(?={_DIGIT}))"
_ROW = re.compile(rf"{_TOKEN}(?:{_GAP}{_TOKEN}){{3,}}")
_FEWEST_LETTERS_ALONE = 5
_FEWEST_DIGITS = 2
_SIGN_ADDED = re.compile(
    rf"(?:(?:再|还)?加上?(?:一?个)?|[还中后]?[间面]?(?:还)?有(?:一?个)|后面(?:是|一?个)|一个){_GAP}(?:{_SIGN})"
    rf"|(?<=[a-z0-9零一二三四五六七八九幺]){_GAP}(?:{_SIGN})|(?:{_SIGN})(?={_GAP}(?:[a-z]|{_DIGIT}))"
)
_ONLY_ADVICE = re.compile(r"不能|不要|不可以|不支持|只能|比如|例如|或者|按|特殊符号|字符|必须|至少|要求")
_HEAD_OF_ONE = re.compile(
    rf"(?:重置[成为]了?|初始(?:密码)?是?|密码[是为]|默认是?)\s?(?P<piece>[a-z]{{1,3}})(?={_GAP}(?:加|再加|后[面边]))"
)
_AT_A_DOOR = re.compile(
    rf"[门锁][口上禁里]?(?:的|那里|那)?(?:就|你|您)?[按输](?:的|一?下)?\s?(?P<piece>{_DIGIT}(?:\s?{_DIGIT}){{2,7}})(?!楼)"
)
"""东门按三零五八."""


def find_secret_pieces(lines: Sequence[Line], reading: NumbersSaid) -> list[list[PiiMatch]]:
    """Pieces in each line, of the kind of secret that is talked about nearest to it."""
    about = [_about(reading, number) for number in range(len(lines))]
    found: list[list[PiiMatch]] = []
    for number, line in enumerate(lines):
        kind = _nearest(about, number)
        other = any(mention.topic == OTHER_NUMBER for mention in reading.named[number])
        doors = _AT_A_DOOR.finditer(line.text)
        of_line = [PiiMatch("password", *match.span("piece"), _CERTAINTY) for match in doors]
        if kind is not None and not other:
            of_line += [PiiMatch(kind, start, end, _CERTAINTY) for start, end in _pieces(line.text)]
        found.append(of_line)
    return found


def _about(reading: NumbersSaid, number: int) -> FoundKind | None:
    """The secret that is named in a line, else the one that is expected in it; an account is none, for it may be a
    word."""
    named = [mention.topic for mention in reading.named[number]]
    for topic in (*reversed(named), *sorted(reading.asked[number])):
        if topic in ("password", "code"):
            return topic
    return None


def _nearest(about: Sequence[FoundKind | None], number: int) -> FoundKind | None:
    """What is talked about in the line, or in the nearest one before it, or after it."""
    places = (number, *(number - step for step in range(1, _NEAR + 1)), number + 1)
    return next((about[place] for place in places if 0 <= place < len(about) and about[place] is not None), None)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_CASE, _BY_A_WORD):
        for match in pattern.finditer(text):
            if _NO_WORD.search(text, max(0, match.start() - 6), match.end() + 3) is None:
                yield _trimmed(match)
    for match in _ROW.finditer(text):
        before = max(0, match.start() - 8)
        is_sold = PRODUCT.search(text, before, match.end()) or _NO_WORD.search(text, before, match.start())
        if _is_spelled(match[0]) and not is_sold:
            yield _trimmed(match)
    for match in _SIGN_ADDED.finditer(text):
        if _ONLY_ADVICE.search(text, max(0, match.start() - 14), match.end()) is None:
            yield _trimmed(match)
    for match in _HEAD_OF_ONE.finditer(text):
        if match["piece"] not in COMMON_WORDS:
            yield match.span("piece")


def _trimmed(match: re.Match[str]) -> tuple[int, int]:
    return match.start(), match.start() + len(match[0].rstrip(" ,、"))


def _is_spelled(row: str) -> bool:
    """Letters one by one: with two digits or more, or so many that they are no abbreviation (A S A P)."""
    letters = len(re.findall("[a-z]", row))
    digits = len(re.findall(_DIGIT, row))
    return letters > 0 and (digits >= _FEWEST_DIGITS or letters >= _FEWEST_LETTERS_ALONE)
