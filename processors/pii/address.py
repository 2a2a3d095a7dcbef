"""Postal addresses: chains of places, each with its mark (省, 区, 路, 号, 栋, 室)."""

import re
from collections.abc import Iterator

from processors.pii.match import PiiMatch

_N = "[0-9零〇一二三四五六七八九十百两幺a-z]"
_PLACE_LETTER = r"[^\W\d_你我他她您们什哪吗呢请能想快递订单不了是谢吧么款电话]"
_REGION = r"(?:特别行政区|自治区|自治州|省|市|区|县|旗|镇|乡|村|街道|屯)"
_STREET = r"(?:大道|大街|胡同|路|街|巷|弄|里(?=\d|[一二三四五六七八九十])|环路)"
_ESTATE = (
    r"(?:小区|花园|公寓|大厦|广场|家园|新村|社区|花苑|苑|庭|公馆|山庄|别墅|宿舍|学校|大学|中心|写字楼|产业园|科技园|园区|府"
    r"|城)"
)
_NUMBERED = r"(?:号楼|号院|号(?!码|的)|栋|幢|座|单元|室|层|楼|门|房间|房|弄|组|队|巷|期|段)"
_NAMED_PART = rf"{_PLACE_LETTER}{{1,10}}?(?:{_REGION}|{_STREET}|{_ESTATE})"
_NUMBERED_PART = rf"第?{_N}{{1,6}}[\s-]?{_NUMBERED}"
_PART = rf"(?:{_NUMBERED_PART}|{_NAMED_PART})"
_GAP = r"[\s,、.-]{0,2}(?:那个|呃|嗯|的)?[\s,、]{0,2}"
_LAST_NUMBER = rf"(?:{_GAP}{_N}{{2,5}}(?!{_N}|[年月日元块天点次个]))?"
_CHAIN = re.compile(rf"{_PART}(?:{_GAP}{_PART})*{_LAST_NUMBER}")

_CARRIER = re.compile(
    r"^(?:嗯|呃|那个|哦|好的?|就是|是|在|我|家|住|的|你|您|他|她|地址|收货|收件|家庭|现在|目前|寄|送|发|到|给|请|麻烦|帮|把|它|改成|换成|改为|公司|单位|这|个|个人|您好|[,、.:\s])+"
)
_STRONG = re.compile(rf"{_STREET}|{_ESTATE}|{_REGION}")
_FINE = re.compile(rf"{_STREET}|{_ESTATE}|村|镇|街道|屯")
_HOUSE = re.compile(_NUMBERED_PART)
_SELF_TOLD = re.compile(
    r"(?:(?<![挡站记留拦抓困盖堵接停忍顶保])住在?|住址|地址|家在|寄到|送到|发到|搬到)[是为在:,\s]*(?:了|我家|我们家)?$"
)
_ONLY_NUMBER = re.compile(rf"{_N}{{2,5}}(?:[\s-]{_N}{{1,5}})*")
_DATE = re.compile(r"[0-9零〇一二三四五六七八九十]{1,4}(?:年|月(?:[0-9一二三四五六七八九十]{1,3}[号日])?)")
_FEWEST_LETTERS = 4
_NO_PLACE = re.compile(
    r"服务中心|客服中心|会员中心|转运中心|顾问中心|呼叫中心|个人中心|用户中心|售后中心|地区|市场|超市|门市|上市|城市|小时|区别|校区|专区"
)


def find_addresses(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Addresses in a folded text. Unasked: a street with a number, or a home that someone tells of."""
    found = False
    text = _DATE.sub(lambda match: "\0" * len(match[0]), text)
    for match in _CHAIN.finditer(text):
        start = match.start()
        carrier = _CARRIER.match(match[0])
        if carrier:
            start += carrier.end()
        chain = text[start : match.end()]
        told = _SELF_TOLD.search(text, 0, start) is not None
        if _is_address(chain, asked=asked, told=told):
            found = True
            yield PiiMatch("address", start, match.end(), 0.85 if asked or told else 0.7)
    number = text.strip(" ,.。、?!")
    if asked and not found and _ONLY_NUMBER.fullmatch(number):
        start = text.index(number)
        yield PiiMatch("address", start, start + len(number), 0.5)


def _is_address(chain: str, *, asked: bool, told: bool) -> bool:
    marks = len(_STRONG.findall(_NO_PLACE.sub("", chain)))
    house = _HOUSE.search(chain) is not None
    if asked or told:
        return (marks > 0 or house) and (asked or len(chain) >= _FEWEST_LETTERS)
    return bool(_FINE.search(_NO_PLACE.sub("", chain))) and (house or marks >= 3)
