"""Digits in speech: read one by one or in groups, with pauses and fillers between them, however they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from processors.text.numbers import DIGIT_OF, cardinal
from processors.text.syllables import syllables

_D = "0-9零〇○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖"
_SOFT = "两洞拐勾要妖腰夭吆"
_UNITS = "十百千万亿"
_N = rf"[{_D}两{_UNITS}]"
_SEPARATORS = r"[\s,、.。·\-–—_~:;…'\"“”/*+()]*"
_FILLERS = (
    r"(?:呃|额|嗯|啊|哦|噢|唔|那个|这个|然后是?|接着是?|就是|[后前][头边]是?|后面是?|再[来加]?|[还又]有?(?=[一双俩两])"
    r"|(?:最后|末了|还有|再[来加]?)(?:还有|再加)?个(?=[DIGITS俩双])|完了|末了|跟着|杠|横杠|横线|空格|的话|哎|诶|唉|等一下|稍等|呢)"
).replace("DIGITS", _D)
GAP = rf"{_SEPARATORS}(?:{_FILLERS}{_SEPARATORS}){{0,4}}"
"""What may stand between two digits of one number."""

_SEPARATOR = r"[\s,、.。-]"
_REPEATED = rf"(?:[一两俩二三四五六七八九1-9]个|[双俩])[{_D}]"
_ONE = rf"(?:{_REPEATED}|[{_D}])"
_CLOSE = rf"(?:[{_SOFT}](?=[{_D}{_SOFT}]))"
_WANTED = (
    r"要\s?(?:[1一幺]\s?(?:[2二两]\s?[13一幺三]|[0零〇]\s?[0零〇])|[9九]\s?[5五])"
    rf"(?:\s?[{_D}]){{2,3}}(?!\s?[{_D}])"
)
HOTLINE_WANTED = re.compile(_WANTED)
"""我要12315投诉: here 要 is no 幺, but a verb before a number that everybody knows."""
_SPOKEN = re.compile(
    rf"(?:(?!{_WANTED})[要妖腰夭吆](?=[{_D}]{{3}}))?{_ONE}(?:(?:{GAP}|{_CLOSE}{{1,2}}){_ONE})*(?:[洞拐勾]+(?![一-鿿]))?"
)
_TOKEN = re.compile(
    rf"(?:(?P<times>[一两俩二三四五六七八九1-9])个|(?P<twice>[双俩]))(?P<repeated>[{_D}])|(?P<digit>[{_D}{_SOFT}])"
)
_VALUE = {**DIGIT_OF, **dict.fromkeys("要妖腰夭吆", "1"), "俩": "2"}

_MEASURES = (
    r"(?:年|月|日|元|块|毛|角|分钟|分(?!机)|点|小时|钟头|秒|天|岁|折|%|％|度|斤|公斤|克|公里|里路|米|平|次|件|张|笔|期|位(?!置)|人|份|套|台|箱"
    r"|盒|层|楼|遍|种|倍|条|周|星期|礼拜|门|课|家|本|瓶|袋|包|双|只|把|辆|部|颗|个工作日|个(?![DIGITS])|多|分之|美元|欧元|号(?:之前|以前"
    r"|之后|以后|到|的|左右|早|晚|上午|下午|中午)|号?线|栋|幢|单元|室|兆|g\b|寸|英寸|级|环|路公交|批|季|代|版)"
).replace("DIGITS", _D)
_QUANTITIES = re.compile(
    "|".join(
        (
            rf"第{_N}{{1,6}}",
            rf"(?<![{_D}])(?:[{_D}]{{2}}|[{_D}]{{4}})年(?:{_N}{{1,3}}月(?:份|{_N}{{1,3}}[号日])?)?",
            rf"(?<![{_D}]){_N}{{1,3}}月{_N}{{1,3}}[号日]?",
            rf"(?<![{_D}])[{_D}]{{1,7}}(?:[.点][{_D}]{{1,4}})?[{_UNITS}]?{_MEASURES}",
            rf"(?<![{_D}]){_N}{{1,12}}(?:[.点][{_D}]{{1,4}})?{_MEASURES}[{_D}]?",
            rf"百分之{_N}{{1,6}}(?:点[{_D}]{{1,4}})?",
            r"(?<![\d.])(?<!\d:)\d{1,2}:\d{2}(?![\d:])",
            r"(?<!\d)(?<!\d[-. ])(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}(?![-. ]?\d)",
            r"(?:元|块|钱|￥|¥|\$)\s?\d{1,9}(?:\.\d{1,2})?",
        )
    )
)
_READ_AS_AMOUNTS = re.compile(rf"(?:{_N}{{2,9}}[\s,、.。]+){{3,}}{_N}{{1,9}}[\s,、.。]*")
"""A number whose groups are read as amounts: 六千二百二十二 零二十一 零一十二."""
_DIGIT_BEFORE = re.compile(rf"[{_D}]\s?$")
_DIGIT_AFTER = re.compile(rf"\s?[{_D}]")
_BARE_CARDINAL = re.compile(rf"(?<![{_D}两])[{_D}两]*[{_UNITS}]{_N}*")
_DECIMAL = re.compile(r"(?<![\d.])\d{1,7}\.\d{1,2}(?![\d.])")
_THOUSANDS = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])")
SET_PHRASES = re.compile(
    (
        r"一下|一个(?![DIGITS](?![DIGITS]))|一些|一点|一起|一样|一直|一定|一般|一共|一旦|一边|一会|一次|一位|一种|一样|第一|(?<![NUMBERS])万一|统一|唯一|之一|不一|三番五次|乱七八糟"
        r"|七上八下|五花八门|接二连三|一五一十|一心一意|一模一样|一清二楚|三言两语|三七二十一|星期[一二三四五六]|周[一二三四五六]|礼拜[一二三四五六]"
        r"|双十[一二]|双一流|五一节|五险一金|十一假|一般|一致|一切|一律|一向|一时|一路|一部分|一半|一系列|一家|一步|四川|三星|九江|六安|三亚"
    )
    .replace("NUMBERS", f"{_D}{_UNITS}两")
    .replace("DIGITS", _D)
)
_SPOKEN_DECIMAL = re.compile(rf"(?<![{_D}]){_N}{{1,4}}点[{_D}]{{1,4}}(?:万|千|的|(?![{_D}a-z杠]))")
_BEFORE_A_DASH = re.compile("杠|-")
_BLANK = "\0"


@dataclass(frozen=True)
class DigitRun:
    """Digits in characters `start` to `end` of one text; `digits` is what they say."""

    start: int
    end: int
    digits: str


def digit_runs(text: str) -> Iterator[DigitRun]:
    """Digits in a folded text that are not an amount, date, time, count or set phrase."""
    text = _digit_by_digit(text)
    free = _blank(text, (_QUANTITIES, SET_PHRASES, _DECIMAL, _THOUSANDS))
    free = _BARE_CARDINAL.sub(lambda match: _BLANK * len(match[0]) if _is_amount(match[0], 1) else match[0], free)
    yield from _runs(_SPOKEN, free)


def expected_digit_runs(text: str) -> Iterator[DigitRun]:
    """The same where digits were asked for: then what sounds like a digit among digits is one, and 八千 is 8000."""
    text = _digit_by_digit(text)
    free = _blank(_digits_by_sound(_blank(text, (SET_PHRASES,))), (_QUANTITIES,))
    rows = [match.span() for match in _READ_AS_AMOUNTS.finditer(free)]

    def kept(match: re.Match[str]) -> str:
        in_a_row = any(start <= match.start() and match.end() <= end for start, end in rows)
        return match[0] if in_a_row or not _is_expected_amount(match) else _BLANK * len(match[0])

    yield from _runs(_EXPECTED, _BARE_CARDINAL.sub(kept, free))


_BEGINS_LIKE_A_MOBILE = re.compile(
    rf"(?P<one>[一1]\s?)百(?P<tens>\s?[三四五六七八九3-9]\s?)十(?P<ones>\s?[一二三四五六七八九1-9])?+"
    rf"(?={GAP}(?:{_N}{_SEPARATORS}){{3}})"
)
_ONE_HEARD_AS_ME = re.compile(rf"(?<![什怎那这多要])么(?=\s?[{_D}么]{{2}})|(?<=[{_D}])么(?=[{_D}])")


def _digit_by_digit(text: str) -> str:
    """The text with 一百三十八 before more digits as 一 三 八, and with 么, which is how 幺 is often written."""
    if "百" in text:
        text = _BEGINS_LIKE_A_MOBILE.sub(_without_units, text)
    return _ONE_HEARD_AS_ME.sub("幺", text) if "么" in text else text


def _without_units(match: re.Match[str]) -> str:
    return f"{match['one']} {match['tens']}" + (f" {match['ones']}" if match["ones"] else "零")


def without_quantities(text: str) -> str:
    """The text with amounts, dates, times, counts and set phrases blotted out; places of letters stay."""
    free = _blank(text, (_SPOKEN_DECIMAL, _QUANTITIES, SET_PHRASES, _DECIMAL))
    return _BARE_CARDINAL.sub(_blank_unless_dashed, free)


def _blank_unless_dashed(match: re.Match[str]) -> str:
    """十三 is an amount, but not that of 十三杠六杠七八七四."""
    return match[0] if _BEFORE_A_DASH.match(match.string, match.end()) else _BLANK * len(match[0])


def with_dates_as_digits(text: str) -> str:
    """The text where 年, 月 and 日 of a date beside other digits are pauses: 三三零一零六,一九九零年三月七号."""
    return _BIRTH_DATE.sub(_without_date_marks, text)


_BIRTH_DATE = re.compile(
    rf"(?:(?<=出生)|(?<=生日)|(?<=[{_D}])|(?<=[{_D}]{_SEPARATOR})|(?<=[{_D}]{_SEPARATOR}{_SEPARATOR}))"
    rf"(?:[{_D}]{{2,4}}|两千(?:零[{_D}])?)年[{_D}十]{{0,3}}(?:月[{_D}十]{{0,3}}[号日]?)?"
    rf"|(?:[{_D}]{{4}}|两千(?:零[{_D}])?)年[{_D}十]{{0,3}}(?:月[{_D}十]{{0,3}}[号日]?)?(?={_SEPARATOR}{{0,2}}[{_D}]{{3}})"
)


def _without_date_marks(match: re.Match[str]) -> str:
    return match[0].replace("两千", "二 ").translate(_PAUSES)


_PAUSES = str.maketrans("年月号日", "    ")


def _is_expected_amount(match: re.Match[str]) -> bool:
    """Whether a number with units is an amount though digits are expected: it stands alone, or has two units."""
    spoken, text = match[0], match.string
    is_beside = _DIGIT_BEFORE.search(text, max(0, match.start() - 2), match.start()) or _DIGIT_AFTER.match(
        text, match.end()
    )
    return _is_amount(spoken, 2 if is_beside else 1)


_EXPECTED_ONE = rf"(?:{_REPEATED}|[{_D}]|十(?=[{_D}])|(?<=[{_D}])[{_UNITS}])"
_EXPECTED = re.compile(
    rf"(?:(?!{_WANTED})[{_SOFT}]){{0,2}}(?:{_EXPECTED_ONE}|(?<=[{_SOFT}]){_EXPECTED_ONE})"
    rf"(?:(?:{GAP}|[{_SOFT}]{{1,2}}){_EXPECTED_ONE})*"
    rf"(?:{_SEPARATORS}[洞拐勾两]+|[要妖腰夭吆](?![一-鿿]))*"
)


def _runs(pattern: re.Pattern[str], text: str) -> Iterator[DigitRun]:
    for match in pattern.finditer(text):
        yield DigitRun(match.start(), match.end(), _spell(match[0]))


def _spell(spoken: str) -> str:
    """三个零 → 000, 幺三八 → 138; the zeros of 八千 are not heard one by one and count as three."""
    spelled = ""
    place = 0
    while place < len(spoken):
        token = _TOKEN.match(spoken, place)
        if token is None:
            spelled += _zeros_of(spoken, place)
            place += 1
            continue
        if token["repeated"]:
            spelled += _VALUE[token["repeated"]] * (2 if token["twice"] else int(_VALUE[token["times"]]))
        else:
            spelled += _VALUE[token["digit"]]
        place = token.end()
    return spelled


def _zeros_of(spoken: str, place: int) -> str:
    if spoken[place] == "十":
        return "" if place else "1"
    return {"百": "00", "千": "000"}.get(spoken[place], "")


def _is_amount(spoken: str, units: int) -> bool:
    """Whether this is a grammatical number with at least so many of 十百千万亿 in it."""
    return sum(letter in _UNITS for letter in spoken) >= units and cardinal(spoken) is not None


def _blank(text: str, patterns: tuple[re.Pattern[str], ...]) -> str:
    for pattern in patterns:
        text = pattern.sub(lambda match: _BLANK * len(match[0]), text)
    return text


_SOUND_DIGITS = {
    "ling": "0",
    "dong": "0",
    "yi": "1",
    "yao": "1",
    "er": "2",
    "liang": "2",
    "san": "3",
    "si": "4",
    "wu": "5",
    "liu": "6",
    "qi": "7",
    "guai": "7",
    "ba": "8",
    "jiu": "9",
    "gou": "9",
}
_AMONG_DIGITS = re.compile(
    rf"(?<=[{_D}])(?<![{_UNITS}][{_D}])(?P<alike>[一-鿿]{{1,2}})(?=[{_D}])"
    rf"|(?<=[{_D}][,\s])(?P<clause>[一-鿿]{{2}})(?=[,\s][{_D}]|$)|(?<=[{_D}]{{2}})(?P<last>[就期林武留])(?=[,。\s]|$)"
)


_ALIKE = "要吧而林武留期就事"
_MISHEARD = str.maketrans(_ALIKE, "182056794")
_ALL_MISHEARD = re.compile(
    rf"(?<![一-鿿\d])(?=[^{_ALIKE}]{{0,6}}[{_ALIKE}])[{_D}{_ALIKE}](?:[\s,]?[{_D}{_ALIKE}]){{3,20}}(?![一-鿿\d])"
    rf"|(?=[{_D}]{{0,4}}[{_ALIKE}]+[{_D}]{{0,4}}[{_ALIKE}]+)(?:[\s,]?[{_D}{_ALIKE}]){{6,20}}"
)
"""A number of which so much is misheard that no digit stands beside another: 林武要留, 三就而林要期."""


def _digits_by_sound(text: str) -> str:
    """At most two letters between digits that sound like digits become them: 零吧零 → 080; also two between pauses,
    and all of a row of them."""
    text = _ALL_MISHEARD.sub(lambda match: match[0].translate(_MISHEARD), text)
    return _AMONG_DIGITS.sub(lambda match: _by_sound(match[0]), text)


def _by_sound(letters: str) -> str:
    spelled = [_digit_of_sound(letter) for letter in letters]
    return "".join(digit for digit in spelled if digit) if all(spelled) else letters


@cache
def _digit_of_sound(letter: str) -> str | None:
    if letter in _UNITS or letter in "个":
        return None
    return next((digit for sound, digit in _SOUND_DIGITS.items() if sound in syllables().get(letter, ())), None)
