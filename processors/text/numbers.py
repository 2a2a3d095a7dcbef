"""Chinese numbers as they are spoken, written in digits, with the way back to the characters that were spoken.

What is no number stays: 一下, 万一, 十分满意, 三番五次; so do ordinals (第二十三条) and rough numbers (两三天, 三四百).
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

DIGIT_OF: dict[str, str] = {
    **{digit: digit for digit in "0123456789"},
    **dict(zip("零〇○一二三四五六七八九", "000123456789", strict=True)),
    **dict(zip("０１２３４５６７８９", "0123456789", strict=True)),
    **dict(zip("壹贰叁肆伍陆柒捌玖", "123456789", strict=True)),
    "两": "2",
    "幺": "1",
    "洞": "0",
    "拐": "7",
    "勾": "9",
}
"""Everything that stands for one digit. 幺, 洞, 拐, 勾 are how digits are read out where they must not be mistaken."""

_UNIT_OF = {"十": 10, "百": 100, "千": 1_000, "拾": 10, "佰": 100, "仟": 1_000}
_MOST_DIGITS = 18
_GROUP_OF = {"万": 10_000, "亿": 100_000_000}


class TextInDigits(NamedTuple):
    """`text` with numbers in digits; `offsets[i]` is where in the spoken text the character `text[i]` comes from.

    All characters of a rewritten number come from where it begins. `offsets` has one element more than `text`: the
    length of the spoken text.
    """

    text: str
    offsets: Sequence[int]

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Where characters `start` to `end` (exclusive) were spoken; a number that is cut is taken whole."""
        if end <= start:
            return self.offsets[start], self.offsets[start]
        return self.offsets[start], self.offsets[bisect_right(self.offsets, self.offsets[end - 1])]


_NUMERAL = re.compile(f"[{''.join(DIGIT_OF)}{''.join(_UNIT_OF)}{''.join(_GROUP_OF)}半点毛块角厘折成]")
"""Without any of these there is no number in a text."""
_MOST_BEFORE_A_NUMERAL = 2
"""A number, or what only looks like one, begins at most so many letters before its first numeral: 下午三点, 星期三."""


def in_digits(text: str) -> TextInDigits:
    """The text with its numbers in digits. Never raises; what cannot be read as a number stays as it stands.

    一千二百三十四块五 → 1234.5元, 三百五 → 350, 百分之六 → 6%, 二零二六年三月二号 → 2026年3月2日;
    下午三点半 → 下午3点半, 幺三八零零 → 13800, 13八 → 138, 两个半小时 → 2.5小时, 八五折 → 8.5折.
    Amounts in 块 become 元.
    """
    if _NUMERAL.search(text) is None:
        return TextInDigits(text, range(len(text) + 1))
    written: list[str] = []
    offsets: list[int] = []
    position = 0
    for match, number in _rewritten(text):
        written.append(text[position : match.start()] + number)
        offsets.extend(range(position, match.start()))
        offsets.extend([match.start()] * len(number))
        position = match.end()
    written.append(text[position:])
    offsets.extend(range(position, len(text) + 1))
    return TextInDigits("".join(written), tuple(offsets))


def cardinal(spoken: str) -> int | None:
    """The value of 一千二百三十四, 三百五, 一亿零五十, 3百50 or 350; None for what is none, such as 三四百 or 百货."""
    if not spoken:
        return None
    if all(letter in DIGIT_OF for letter in spoken):
        return int(digits(spoken)) if len(spoken) <= _MOST_DIGITS else None
    total = 0
    section = ""
    largest = 10**16
    for place, letter in enumerate(spoken):
        group = _GROUP_OF.get(letter)
        if group is None:
            section += letter
            continue
        value = _section(section, follows=bool(total))
        if group == _GROUP_OF["万"] and spoken[place + 1 : place + 2] == "亿":
            return None
        if value is None or not value or group >= largest:
            return None
        total += value * group
        section, largest = "", group
    if not section:
        return total
    colloquial = largest // 10 if largest <= _GROUP_OF["亿"] else None
    rest = _section(section, colloquial, follows=bool(total))
    return None if rest is None or rest >= largest else total + rest


def digits(spoken: str) -> str:
    """Digits read out one by one, in digits: 幺三八 → 138. All characters must be in `DIGIT_OF`."""
    return "".join(DIGIT_OF[letter] for letter in spoken)


def _section(spoken: str, colloquial_unit: int | None = None, *, follows: bool) -> int | None:
    """The value of what stands before 万 or 亿, or at the end; there a last digit alone counts `colloquial_unit`.

    `follows` tells that a larger group stands before it, so that it may begin with 零.
    """
    total, last_unit, pending, after_zero = 0, 10_000, "", False
    for letter in spoken:
        unit = _UNIT_OF.get(letter)
        if unit is None:
            if DIGIT_OF.get(letter) == "0" and not pending and (total or follows):
                after_zero = True
                continue
            pending += letter
            continue
        count = 1 if not pending and unit == 10 and not total else _count(pending)
        if count is None or not 0 < count < 10 or unit >= last_unit:
            return None
        total += count * unit
        last_unit, pending, after_zero = unit, "", False
    if not pending:
        return total or (0 if after_zero else None)
    rest = _count(pending)
    if rest is None:
        return None
    if len(pending) == 1 and not after_zero:
        if total and last_unit > 10:
            return total + rest * last_unit // 10
        if not total and colloquial_unit is not None:
            return rest * colloquial_unit
    if total and rest >= last_unit:
        return None
    return total + rest


def _count(pending: str) -> int | None:
    """One spoken digit, or any written number; two digits spoken in a row are a rough number (三四百)."""
    if len(pending) == 1 and pending in DIGIT_OF:
        return int(DIGIT_OF[pending])
    return int(pending) if pending.isascii() and pending.isdigit() and len(pending) <= _MOST_DIGITS else None


_D = "0-9０-９零〇一二三四五六七八九"
_N = rf"[{_D}壹贰叁肆伍陆柒捌玖两十百千万亿拾佰仟]+"
_HOURS = "点"
_DAY_PART = r"(?:凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上|夜里|半夜|今早|今晚|明早|明晚)"
_MEASURES = (
    "个|天|次|件|年|月|号|日|小时|分钟|秒|岁|折|斤|公斤|千克|克|公里|米|厘米|平米|平方|张|笔|期|节|位|人|份|套|台|箱|盒"
    "|层|楼|遍|种|倍|度|单|条|周|星期|礼拜|元|角|块|门|课时|课|家|本|瓶|袋|包|双|只|把|辆|部|颗|分之|工作日|多|美元|欧元"
)

# Set phrases with numerals that count nothing.
_IDIOMS = "|".join(
    (
        "三番五次|乱七八糟|七上八下|四面八方|五花八门|接二连三|丢三落四|朝三暮四|一五一十|一心一意|独一无二|不管三七二十一"
        "|三七二十一|一模一样|一清二楚|千方百计|千辛万苦|千真万确|九牛一毛|三言两语|三长两短|百分百满意|一石二鸟|四舍五入"
        "|说一不二|十全十美|五湖四海|三心二意|七嘴八舌|两全其美|一来二去|一干二净|一万个不|百里挑一|万无一失|万分|千万(?=别|不|要|记)"
        "|万一|十分(?!钟|之)|百货|百姓|百度|千里马|万事|万科|万达|三星|三亚|三峡|八达岭|五粮液|四川|九江|六安|七匹狼|三九"
        "|双十一|双十二|双一一|五一(?=节|假|劳动|黄金)|六一(?=节|儿童)|十一(?=假|国庆|黄金|长假)|三八(?=节|妇女)|三包|三农|五险一金"
        "|一二线|统一|唯一|之一|不一(?!三|五|八)|万能|两者|两边|两面|两岸|一二三四五六七(?!八)"
        "|[几数]十|[几数]百|[几数]千|[几数]万|十几|[二三四五六七八九]十几|上[百千万]|成[百千]上[千万]|好几[十百千万]"
        "|(?:星期|周|礼拜)[一二三四五六]|初[一二三四五六七八九十]",
        r"第[零〇一二三四五六七八九十百千万两]+",
    )
)
_ROUGH = (
    r"(?:(?:一二|一两|二三|两三|三四|三五|四五|五六|六七|七八|八九)"
    r"(?=[十百千万亿个天次年月号件块元岁点周小分毛名位人])[十百千万亿]?)"
)
_YEAR = rf"(?P<year>[{_D}幺]{{2,4}})年(?!级|代)(?:(?P<year_month>{_N})月(?:(?P<year_day>{_N})[号日])?)?"
_DATE = rf"(?P<month>{_N})月(?P<day>{_N})[号日]"
_PERCENT = rf"(?P<per>百|千)分之(?P<share>{_N}(?:点[{_D}]+)?)|百分之?(?P<hundred>百)"
_FRACTION = rf"(?P<below>{_N})分之(?P<above>{_N})"
_MONEY = (
    rf"(?P<yuan>{_N}(?:点[{_D}]+)?)(?P<coin>块|元)"
    rf"(?:(?P<jiao>[一二三四五六七八九0-9])(?:(?:毛|角)(?:(?P<fen>[一二三四五六七八九0-9])分?)?)?(?!{_MEASURES}|[{_D}十百千万]))?"
    r"(?P<money>钱)?"
)
_SMALL_MONEY = (
    r"(?P<only_jiao>[一二三四五六七八九两0-9])(?:毛|角)(?:(?P<only_fen>[一二三四五六七八九0-9])分?)?钱?"
    r"(?![一-鿿]?[色落度])"
)
_TIME = (
    rf"(?P<day_part>{_DAY_PART})?(?P<hour>{_N}){_HOURS}"
    rf"(?:(?P<minute>零?{_N})(?P<minutes>分)(?!之)|(?P<quarter>[一三]刻)|(?P<whole>半|钟|整|多|左右|之前|以前|之后|以后))"
)
_TIME_OF_DAY = rf"(?P<part>{_DAY_PART})(?P<part_hour>{_N}){_HOURS}(?P<part_minute>(?:零[{_D}]|{_N})?)"
_DECIMAL = rf"(?P<whole_part>{_N}){_HOURS}(?P<decimals>[{_D}]+)(?P<scale>[万亿]?)(?!十|分|刻)"
_WRITTEN_SCALE = r"(?P<written>\d+\.\d+)(?P<written_scale>[万亿])"
_HALF = rf"(?P<halved>{_N})个半(?=小时|钟头|月|星期|学期|工作日)"
_DISCOUNT = r"(?P<discount>[一二三四五六七八九]{2})折"
_SIGN = rf"[{_D}两幺洞拐勾]"
_CALL_SIGNS = rf"(?P<signs>(?<!{_SIGN}){_SIGN}*(?:[{_D}]{_SIGN}|{_SIGN}[{_D}]|幺[幺洞拐勾]){_SIGN}*)(?![十百千万亿])"
_BARE = rf"(?P<bare>{_N})"

_NUMBER = re.compile(
    "|".join(
        (
            rf"(?P<idiom>{_IDIOMS}|{_ROUGH})",
            rf"(?P<as_percent>{_PERCENT})",
            rf"(?P<as_fraction>{_FRACTION})",
            rf"(?P<as_year>{_YEAR})",
            rf"(?P<as_date>{_DATE})",
            rf"(?P<as_half>{_HALF})",
            rf"(?P<as_money>{_MONEY})",
            rf"(?P<as_small_money>{_SMALL_MONEY})",
            rf"(?P<as_time>{_TIME})",
            rf"(?P<as_time_of_day>{_TIME_OF_DAY})",
            rf"(?P<as_decimal>{_DECIMAL})",
            rf"(?P<as_written>{_WRITTEN_SCALE})",
            rf"(?P<as_discount>{_DISCOUNT})",
            rf"(?P<as_signs>{_CALL_SIGNS})",
            rf"(?P<as_bare>{_BARE})",
        )
    )
)
_COUNTED = re.compile(_MEASURES)
_ONE_IS_COUNTED = re.compile(r"小时|分钟|秒|元|块钱|月(?!份?亮)|号|岁|折|公里|公斤|课时")
_RANGE = re.compile(rf"[到至~-]{_N}(?:{_MEASURES})")
_AFTER_AMOUNT = re.compile(r"[,，。.、;；!！?？的吧吗呢啊了左上]|以|$")


def _rewritten(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Every number that reads otherwise in digits, in order, with how it reads."""
    for match in _numbers(text):
        assert match.lastgroup is not None, "each way to write a number is a group of its own"  # noqa: S101
        written = _WRITERS[match.lastgroup](match)
        if written is not None and written != match[0]:
            yield match, written


def _numbers(text: str) -> Iterator[re.Match[str]]:
    """What `_NUMBER.finditer` finds, looked for around numerals only: most letters of a call are far from any."""
    position = 0
    while (numeral := _NUMERAL.search(text, position)) is not None:
        at = numeral.start()
        starts = range(max(position, at - _MOST_BEFORE_A_NUMERAL), at + 1)
        match = next(filter(None, (_NUMBER.match(text, start) for start in starts)), None)
        position = at + 1 if match is None else match.end()
        if match is not None:
            yield match


def _plain(spoken: str) -> str | None:
    """A whole or decimal number (三点五) in digits."""
    whole, _, decimals = spoken.partition("点")
    value = cardinal(whole)
    if value is None:
        return None
    return f"{value}.{digits(decimals)}" if decimals else str(value)


def _idiom(_: re.Match[str]) -> str | None:
    return None


def _percent(match: re.Match[str]) -> str | None:
    if match["hundred"]:
        return "100%"
    share = _plain(match["share"])
    return None if share is None else share + ("%" if match["per"] == "百" else "‰")


def _fraction(match: re.Match[str]) -> str | None:
    above, below = cardinal(match["above"]), cardinal(match["below"])
    return None if above is None or below is None else f"{above}/{below}"


def _day(month: str, day: str | None) -> str | None:
    month_number, day_number = cardinal(month), cardinal(day) if day else None
    if month_number is None or not 1 <= month_number <= 12:
        return None
    if day is None:
        return f"{month_number}月"
    return f"{month_number}月{day_number}日" if day_number is not None and 1 <= day_number <= 31 else None


def _year(match: re.Match[str]) -> str | None:
    year = digits(match["year"])
    spoken = match["year"]
    if len(spoken) == 2 and (cardinal(spoken) is None or (match["year_month"] is None and "零" not in spoken)):
        return None
    month = _day(match["year_month"], match["year_day"]) if match["year_month"] else ""
    return None if month is None else f"{year}年{month}"


def _date(match: re.Match[str]) -> str | None:
    return _day(match["month"], match["day"])


def _half(match: re.Match[str]) -> str | None:
    value = cardinal(match["halved"])
    return None if value is None else f"{value}.5"


def _money(match: re.Match[str]) -> str | None:
    amount = _plain(match["yuan"])
    if amount is None:
        return None
    jiao, fen, coin = match["jiao"], match["fen"], match["coin"]
    if jiao:
        total = Decimal(amount) + Decimal(digits(jiao)) / 10 + Decimal(digits(fen) if fen else 0) / 100
        return f"{total.normalize():f}元"
    following = match.string[match.end() :]
    if coin == "块" and not match["money"] and not (Decimal(amount) >= 10 or _AFTER_AMOUNT.match(following)):
        return None
    if match["yuan"] == "一" and coin == "块" and not match["money"]:
        return None
    return f"{amount}元"


def _small_money(match: re.Match[str]) -> str | None:
    fen = match["only_fen"]
    total = Decimal(digits(match["only_jiao"])) / 10 + Decimal(digits(fen) if fen else 0) / 100
    return f"{total}元"


def _time(match: re.Match[str]) -> str | None:
    hour = cardinal(match["hour"])
    if hour is None or hour > 24:
        return None
    part = match["day_part"] or ""
    if match["minute"]:
        minute = _minute(match["minute"])
        return None if minute is None else f"{part}{hour}点{minute}分"
    return f"{part}{hour}点{match['quarter'] or match['whole']}"


def _time_of_day(match: re.Match[str]) -> str | None:
    hour = cardinal(match["part_hour"])
    minute = _minute(match["part_minute"]) if match["part_minute"] else ""
    return None if hour is None or hour > 24 or minute is None else f"{match['part']}{hour}点{minute}"


def _minute(spoken: str) -> str | None:
    value = cardinal(spoken.removeprefix("零"))
    if value is None or value > 59:
        return None
    return f"{value:02}" if spoken.startswith("零") else str(value)


def _decimal(match: re.Match[str]) -> str | None:
    value = cardinal(match["whole_part"])
    if value is None:
        return None
    written = f"{value}.{digits(match['decimals'])}"
    return _scale(written, match["scale"]) if match["scale"] else written


def _write_scaled(match: re.Match[str]) -> str:
    return _scale(match["written"], match["written_scale"])


def _scale(number: str, scale: str) -> str:
    return f"{(Decimal(number) * _GROUP_OF[scale]).normalize():f}"


def _discount(match: re.Match[str]) -> str:
    return f"{digits(match['discount'][0])}.{digits(match['discount'][1])}折"


def _signs(match: re.Match[str]) -> str | None:
    """Digits read out one by one: three or more, or two where one is 零 or 幺 or written as a digit."""
    spoken = match["signs"]
    written = [letter for letter in spoken if letter in "0123456789０１２３４５６７８９"]
    if len(spoken) >= 3 or written or "幺" in spoken or spoken.startswith("零"):
        return digits(spoken)
    return None


def _bare(match: re.Match[str]) -> str | None:
    spoken = match["bare"]
    value = cardinal(spoken)
    if value is None:
        return None
    if len(spoken) > 1 or (spoken.isdigit() and spoken.isascii()):
        return str(value)
    following = match.string[match.end() :]
    if _RANGE.match(following):
        return str(value)
    counted = _ONE_IS_COUNTED if spoken == "一" else _COUNTED
    return str(value) if counted.match(following) else None


_WRITERS: dict[str, Callable[[re.Match[str]], str | None]] = {
    "idiom": _idiom,
    "as_percent": _percent,
    "as_fraction": _fraction,
    "as_year": _year,
    "as_date": _date,
    "as_half": _half,
    "as_money": _money,
    "as_small_money": _small_money,
    "as_time": _time,
    "as_time_of_day": _time_of_day,
    "as_decimal": _decimal,
    "as_written": _write_scaled,
    "as_discount": _discount,
    "as_signs": _signs,
    "as_bare": _bare,
}
