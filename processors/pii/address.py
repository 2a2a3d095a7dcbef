"""Postal addresses: chains of places, each with its mark (省, 区, 路, 号, 栋, 室)."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.learned_names import load_names
from processors.pii.match import PiiMatch

_D = "[0-9零〇一二三四五六七八九十百两幺]"
_ALIKE = "林灵山无以而儿起就吧爸留刘流事死要妖"
"""What is heard for a digit, beside digits."""
_MORE = rf"(?:{_D}|[{_ALIKE}](?={_D}|[号室栋幢楼组好]))"
_N = rf"(?:[a-z]{{0,2}}(?:[{_ALIKE}](?={_D}))?{_D}{_MORE}{{0,5}}[a-z]?(?![a-z])|(?<![a-z])[a-z](?![a-z]))"
_PLACE_LETTER = r"[^\W\d_你我他她您们什哪吗呢请能想快递订单不了是谢吧么款电话]"
_REGION = r"(?:特别行政区|自治区|自治州|省|市|区|县|旗|镇|乡|村|街道|屯)(?![路街巷弄村镇])"
_STREET = r"(?:大道|大街|胡同|路|街|巷|弄|里(?=\d|[一二三四五六七八九十])|环路)"
_ESTATE = (
    r"(?:小区|花园|公寓|大厦|广场(?!舞)|家园|新村|社区|花苑|苑|庭|公馆|山庄|别墅|宿舍|学校|大学|中心|写字楼|产业园|科技园|园区|府"
    r"|城|家属院|大院|大门|园(?![丁区长])|标段|[东西南北]门)"
)
_NUMBERED = (
    r"(?:好(?=$|[,。])|动(?=\d|[零一二三四五六七八九])|单圆"
    r"|号楼|号院|号(?!码|的)|栋|幢|座|单元|室|层|楼|门|房间|房|弄|组|队|巷|期|段)"
)
_NAMED_PART = rf"{_PLACE_LETTER}{{1,10}}?(?:{_REGION}|{_STREET}|{_ESTATE})"
_NUMBERED_PART = rf"第?{_N}[\s-]?{_NUMBERED}"
_SIDE = r"(?:[东西南北中]边?户|[东西南北]侧|左手边|右手边|底商)"
_PART = rf"(?:{_NUMBERED_PART}|{_SIDE}|{_NAMED_PART})"
_GAP = r"[\s,、.-]{0,2}(?:那个|呃|嗯|的)?[\s,、]{0,2}"
_LAST_NUMBER = rf"(?:{_GAP}{_D}{{2,5}}(?!{_D}|[年月日元块天点次个]))?"
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
_ONLY_NUMBER = re.compile(rf"[a-z]?{_D}{{2,5}}[a-z]?(?:[\s-][a-z]?{_D}{{1,5}}[a-z]?)*")
_ROOM = "[0-9零〇一二三四五六七八九幺]{3,4}"
_BUILDING_AND_ROOM = re.compile(
    rf"(?:(?<!{_D}){_D}{{1,4}}|(?<![a-z])[a-z])(?:栋|幢|座|号楼|单元){_GAP}(?:{_D}{{1,3}}(?:单元|门|号楼|层|楼){_GAP}){{0,2}}{_ROOM}(?![\d零〇一二三四五六七八九幺十百千年月元块诊])(?!教室|会议室|办公室|病房)"
)
"""A flat, told apart from a floor or a ward: 八栋四零幺, 三单元六零二."""
_ANSWERED_ROOM = re.compile(
    rf"(?:^|(?<=[是住在到,、\s]))(?!(?:19|20|一九|二零){_D}{{2}}(?!{_D})){_ROOM}(?=$|[,、。\s室房]|[吧啊呀呢嘛对的](?:$|[,、。]))"
)
_ANSWERED_ESTATE = re.compile(
    r"[一-鿿]{1,5}(?:里|苑|湾|郡|庭|轩|阁|坊|庄|堡|寨|台|园|居|墅)(?=$|[^一-鿿]|[嘛吧呀啊呢])"
)
_BEFORE_AN_ESTATE = re.compile(r"^(?:.*[是在住叫到])?(?=.)")
_DATE = re.compile(r"[0-9零〇一二三四五六七八九十]{1,4}(?:年|月(?:[0-9一二三四五六七八九十]{1,3}[号日])?)")
_FEWEST_LETTERS = 4
_FEWEST_LETTERS_OF_AN_ESTATE = 3
_LONGEST_ESTATE_ANSWER = 14
_ONLY_LETTERS = re.compile(r"(?P<name>[一-鿿]{3,8}?)(?P<stage>[一二三四五六\d]期)?")
_RARE, _RARE_WITH_STAGE = 3, 4
_NO_ESTATE = re.compile(r"哪里|这里|那里|心里|家里|手里|村里|店里|柜台|后台|平台|前台|电台|阳台|公里|夜里|屋里|城里")
_FILLERS = re.compile(r"^(?:嗯|哦|呃|啊|是|对|好的?|在|住|[,、\s])+|[吧啊呀呢嘛]$")
_NO_PLACE = re.compile(
    r"[条这半马公原一走]路|路上|路口|条街|逛街|准备中心|小区名|幼儿园|公园|校园|动物园|乐园|病区|服务中心|客服中心|会员中心|转运中心|顾问中心|呼叫中心|个人中心|用户中心|售后中心|地区|市场|超市|门市|上市|城市|小时|区别|校区|专区"
)


def find_addresses(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Addresses in a folded text. Unasked: a street with a number, or a home that someone tells of."""
    matches = list(_places(text, asked=asked))
    yield from _joined(text, matches) if asked else matches


def _joined(text: str, matches: Sequence[PiiMatch]) -> Iterator[PiiMatch]:
    """Parts of one answer with what stands between them: 大关路一百七十九号,远洋国际,c座."""
    last: PiiMatch | None = None
    for one in sorted(matches, key=lambda match: (match.start, -match.end)):
        if last is not None and (one.start <= last.end or _BETWEEN.fullmatch(text, last.end, one.start)):
            last = PiiMatch("address", last.start, max(last.end, one.end), last.confidence)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


_BETWEEN = re.compile(
    r"(?:[,、\s]{0,2}(?!不对|不是|我|手机|电话|号码|收件|名字|是)[一-鿿a-z]{2,7}[,、\s]{1,2}|[,、\s]*)"
)


def _places(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Chains of places, flats and what is one only as an answer; they may overlap."""
    found = False
    text = _DATE.sub(lambda match: "\0" * len(match[0]), text)
    for match in _CHAIN.finditer(text):
        start = match.start()
        carrier = _CARRIER.match(match[0])
        if carrier:
            start += carrier.end()
        chain = text[start : match.end()]
        told = _SELF_TOLD.search(text, 0, start) is not None
        if _is_address(chain, asked=asked, told=told) and (found or not _ONLY_A_DAY.fullmatch(chain)):
            found = True
            yield PiiMatch("address", start, match.end(), 0.85 if asked or told else 0.7)
    for match in _BUILDING_AND_ROOM.finditer(text):
        found = True
        yield PiiMatch("address", *match.span(), 0.7)
    if asked:
        yield from _answered(text, found=found)


def _answered(text: str, *, found: bool) -> Iterator[PiiMatch]:
    """What is an address only because somebody asked for one: a room, the name of an estate."""
    number = _FILLERS.sub("", text).strip(" ,.。、?!")
    if not found and _ONLY_NUMBER.fullmatch(number):
        start = text.index(number)
        yield PiiMatch("address", start, start + len(number), 0.5)
    yield from (PiiMatch("address", *match.span(), 0.5) for match in _ANSWERED_ROOM.finditer(text))
    if not found and len(text) <= _LONGEST_ESTATE_ANSWER:
        if _may_be_a_place(number):
            yield PiiMatch("address", text.index(number), text.index(number) + len(number), 0.5)
            return
        for match in _ANSWERED_ESTATE.finditer(text):
            carrier = _BEFORE_AN_ESTATE.match(match[0])
            start = match.start() + (carrier.end() if carrier else 0)
            if match.end() - start >= _FEWEST_LETTERS_OF_AN_ESTATE and not _NO_ESTATE.search(match[0]):
                yield PiiMatch("address", start, match.end(), 0.5)


def _may_be_a_place(answer: str) -> bool:
    """Whether the whole answer is a few letters that are rarely heard together: 锦绣江南二期."""
    letters = _ONLY_LETTERS.fullmatch(answer)
    if letters is None:
        return False
    return load_names().commonest_pair(letters["name"]) <= (_RARE_WITH_STAGE if letters["stage"] else _RARE)


class KnownAddresses:
    """Addresses that were found in a call, to find them, and their rooms, again where nobody asks."""

    def __init__(self, addresses: Sequence[str]) -> None:
        whole = sorted({one for one in addresses if len(one) >= _FEWEST_LETTERS}, key=len, reverse=True)
        rooms = sorted({room for one in addresses for room in _ROOMS.findall(one)})
        parts = [re.escape(one) for one in whole]
        if rooms:
            parts.append(rf"(?:^|(?<=[是到,、\s]))(?:{'|'.join(rooms)})(?!{_D})(?=$|[,、。\s室房吧对啊改])")
        self._pattern = re.compile("|".join(parts)) if parts else None

    def find(self, text: str) -> Iterator[PiiMatch]:
        """Every place in a folded text where one of them stands."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield PiiMatch("address", *match.span(), 0.6)


_ONLY_A_DAY = re.compile(rf"{_D}{{1,3}}号")
_ROOMS = re.compile(rf"(?<!{_D}){_ROOM}(?!{_D}|号|弄)")


def _is_address(chain: str, *, asked: bool, told: bool) -> bool:
    marks = len(_STRONG.findall(_NO_PLACE.sub("", chain)))
    house = _HOUSE.search(chain) is not None
    if asked or told:
        return (marks > 0 or house) and len(chain) >= (3 if asked else _FEWEST_LETTERS)
    return bool(_FINE.search(_NO_PLACE.sub("", chain))) and (house or marks >= 3)
