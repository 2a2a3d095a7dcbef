"""Postal addresses: chains of places, each with its mark (省, 区, 路, 号, 栋, 室)."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.address_edges import where_it_begins, widen_addresses
from processors.pii.learned_names import load_names
from processors.pii.match import PiiMatch

_D = "[0-9零〇一二三四五六七八九十百千两幺]"
_ALIKE = "林灵山无以而儿起就吧爸留刘流事死要妖"
"""What is heard for a digit, beside digits."""
_MORE = rf"(?:{_D}|[{_ALIKE}](?={_D}|[号室栋幢楼组好]))"
_N = rf"(?:[a-z]{{0,2}}(?:[{_ALIKE}](?={_D}))?{_D}{_MORE}{{0,5}}[a-z]?(?![a-z])|(?<![a-z])[a-z](?![a-z]))"
_PLACE_LETTER = r"(?!电[话视动脑影]|快递)[^\W\d_你我他她您们什哪吗呢请能想递订不了是谢吧么款话]"
_REGION = r"(?:特别行政区|自治区|自治州|省|市|区|县|旗|镇|乡|村|街道|屯)(?![路街巷弄村镇])"
_STREET = r"(?:大道|大街|胡同|路|街|巷|弄|里(?=\d|[一二三四五六七八九十])|环路)"
_ESTATE = (
    r"(?:小区|花园|公寓|大厦|广场(?!舞)|家园|新村|社区|花苑|苑|庭|公馆|山庄|别墅|宿舍|学校|大学|中心|写字楼|产业园|科技园|园区|府"
    r"|城(?![路街镇])|家属[院楼]|大院|大门|园(?![丁区长村路街镇])|标段|[东西南北]门)"
)
_NUMBERED = (
    r"(?:好(?=$|[,。])|[动撞坐](?=\d|[零一二三四五六七八九幺])|单[圆员]|好楼|舍(?=\d|[零一二三四五六七八九幺])"
    r"|号楼|号院|号(?!码|的)|(?<=[0-9零一二三四五六七八九幺][0-9零一二三四五六七八九幺][0-9零一二三四五六七八九幺])号(?=的)|栋|幢|座|单元|室|层|楼|门|房间|房|弄|组|队|社(?!区|保|会|交)|巷|期|段|排(?!队|查|除))"
)
_NAMED_PART = rf"{_PLACE_LETTER}{{1,10}}?(?:{_REGION}|{_STREET}|{_ESTATE})"
_NUMBERED_PART = rf"(?:[第负东西南北新老甲乙丙]|地下)?{_N}[\s-]?{_NUMBERED}"
_SIDE = r"(?:[东西南北中]边?户|[东西南北]侧|左手边|右手边|底商)"
_PART = rf"(?:{_NUMBERED_PART}|{_SIDE}|{_NAMED_PART})"
_GAP = r"[\s,、.-]{0,2}(?:那个|呃|嗯|的)?[\s,、]{0,2}"
_LAST_NUMBER = rf"(?:{_GAP}{_D}{{2,5}}(?!{_D}|[年月日元块天点次个多来分秒岁人万]))?"
_CHAIN = re.compile(rf"{_PART}(?:{_GAP}{_PART})*{_LAST_NUMBER}")

_MARKS = re.compile(
    r"[省市区县旗镇乡屯路街道巷弄苑园庭庄墅府城寓厦村舍院栋幢座撞室层楼门房组排期业户隔邻杠之对旁背把侧]|号(?!码)|家"
)
"""What at least one of stands in every address."""

_CARRIER = re.compile(
    r"^(?:嗯|呃|那个|哦|好的?|就是|是|在|我|家|住|的|你|您|他|她|地址|收货|收件|家庭|现在|目前|寄|送|发|到|给|请|麻烦|帮|把|它|改成|换成|改为|公司|单位|这|个|个人|您好|[,、.:\s])+"
)
_STRONG = re.compile(rf"{_STREET}|{_ESTATE}|{_REGION}")
_FINE = re.compile(rf"{_STREET}|{_ESTATE}|村|镇|街道|屯")
_HOUSE = re.compile(_NUMBERED_PART)
_SELF_TOLD = re.compile(
    r"(?:(?<![挡站记留拦抓困盖堵接停忍顶保])住在?|住址|地址|地质|家(?:就)?[在是]|老家|户籍|户口|屋头(?:就)?[在是]|门牌|[寄送搬装]到|发到|[寄送]给|收货的?)[是为在:,\s]*(?:了|我家|我们家|那个|嗯|呃|[,\s])*$"
)
_TELLS = re.compile(r"住|[地住][址质]|家[就在是]|老家|户籍|户口|屋头|门牌|[寄送搬装发]到|[寄送]给|收货")
_ONLY_NUMBER = re.compile(rf"[a-z]?{_D}{{2,5}}[a-z]?(?:[\s-][a-z]?{_D}{{1,5}}[a-z]?)*")
_ROOM = "[0-9零〇一二三四五六七八九幺]{3,4}"
_ROOM_SAID = (
    rf"(?:(?=[{_ALIKE}洞]?[0-9零〇一二三四五六七八九幺][{_ALIKE}洞]?[0-9零〇一二三四五六七八九幺])[0-9零〇一二三四五六七八九幺洞{_ALIKE}]{{3,4}}"
    r"|[一二三四五六七八九两](?:千[一二三四五六七八九零]?)?百[零〇]?[一二三四五六七八九十]{1,3})"
)
"""Also a room of which a digit or two was heard as a word, 二六林四, and one said as an amount, 一千六百零二."""
_BUILDING_AND_ROOM = re.compile(
    rf"(?:(?<!{_D})(?:(?<![a-z])[a-z])?{_D}{{1,4}}|(?<![a-z])[a-z])(?:栋|幢|座|号楼|单[元圆员]|[撞动舍坐]|好楼){_GAP}(?:[负第]?{_D}{{1,3}}(?:单[元圆员]|门|号楼|层|楼|梯)(?:入户)?{_GAP}){{0,2}}"
    rf"{_ROOM_SAID}(?![\d零〇一二三四五六七八九幺十百千年月元块诊多来分秒天人次位件])(?!教室|会议室|办公室|病房)(?:室|号(?!码)|户(?!型)|房|寝[室是]|是(?=$|[,。了]))?"
)
"""A flat, told apart from a floor or a ward: 八栋四零幺, 三单元六零二."""
_DASHED = re.compile(
    rf"(?<!{_D})[a-z]?{_D}{{1,3}}(?:[-之]|杠)[a-z]?{_D}{{1,4}}(?:(?:[-之]|杠){_D}{{2,5}})?(?![年月日天点元块折号])"
)
"""A house, an entrance and a room with nothing but dashes: 7-2-1801, 十二之三零二."""
_BY_THE_WAY = re.compile(
    r"(?:[一-鿿]{2,8}[,、\s]{1,2}){0,2}(?:(?![你我他她您不没怎什吗呢])[一-鿿]){2,10}?(?:斜?对[面过]|旁边|隔壁|把口|[村巷路]口|[东西南北]头|往[东西南北里左右前后].{0,2}?走)"
    rf"(?:的?(?:(?![你我他她您不没怎什吗呢])[一-鿿]){{1,8}}(?=[,。]|$))?(?:[,、\s]{{0,2}}第{_D}{{1,2}}[家户个栋间])?"
)
"""How one finds a house that has no number: 老粮站对面,第二家."""
_POINTS = re.compile(rf"{_D}(?:[-之]|杠)|[面过边壁后下口头走]")
_NEIGHBOURS = re.compile(
    rf"(?:(?:楼上|楼下|对门|隔壁|(?<!这)邻居|(?:我|我们|咱|俺|你|你们|他|他们|她|您)家)(?:就?[是住在]|的|那个|[,\s]){{0,2}}(?P<room>{_ROOM})"
    rf"(?![\d零〇一二三四五六七八九幺十百千点年月元块多来分秒人次位件号度]|天(?!天))"
    rf"|(?<!{_D})(?P<flat>{_ROOM})(?=(?:[那这]户|[那这]家|室?的?(?:业主|住户|租户|租客|户主|邻居|房客|人家)|室?(?:那个|的)老[人太头爷奶])))"
)
"""A room by whose it is: 楼上四零二, 五零幺那户."""
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
    if not asked and _MARKS.search(text) is None:
        return
    matches = list(_places(text, asked=asked))
    if matches:
        yield from widen_addresses(text, list(_joined(text, matches)) if asked else matches, expected=asked)


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
        begin = where_it_begins(text, start, expected=asked)
        told = any(_SELF_TOLD.search(text, 0, place) is not None for place in {start, begin})
        is_one = _is_address(chain, asked=asked, told=told) and (found or not _ONLY_A_DAY.fullmatch(chain))
        if is_one or (len(_HOUSE.findall(chain)) > 1 and _is_flat(text, chain, start, begin)):
            found = True
            yield PiiMatch("address", start, match.end(), 0.85 if asked or told else 0.7)
    for match in _BUILDING_AND_ROOM.finditer(text):
        found = True
        yield PiiMatch("address", *match.span(), 0.7)
    for pattern in (_DASHED, _BY_THE_WAY) if _POINTS.search(text) and (asked or _TELLS.search(text)) else ():
        for match in pattern.finditer(text):
            carrier = _CARRIER.match(match[0])
            start = match.start() + (carrier.end() if carrier else 0)
            begins = {start, match.start(), where_it_begins(text, match.start(), expected=asked)}
            if asked or any(_SELF_TOLD.search(text, 0, place) is not None for place in begins):
                yield PiiMatch("address", start, match.end(), 0.6)
    for match in _NEIGHBOURS.finditer(text):
        yield PiiMatch("address", *match.span("room" if match["room"] else "flat"), 0.6)
    if asked:
        yield from _answered(text, found=found)


def _is_flat(text: str, chain: str, start: int, begin: int) -> bool:
    """Whether parts that only have numbers are where somebody lives: 翡翠湾,六座,二十三楼, and 我是三组幺零二号的."""
    if _SEAT.fullmatch(chain):
        return False
    return (begin < start and _BUILDING.search(chain) is not None) or _OWN.search(text, 0, start) is not None


_BUILDING = re.compile("[栋幢座舍撞]|号楼|单元|[村组社排弄]")
_SEAT = re.compile(rf"{_D}{{1,3}}排{_GAP}{_D}{{1,3}}[座号]")
_OWN = re.compile(r"(?:我们?|咱们?|俺们?|[我咱俺]家|家里|这边|这里)(?:就|就是)?(?:是|在|住|住在)?[那个,\s]{0,3}$")


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
    """Addresses that were found in a call, to find them, and their parts, again where nobody asks."""

    def __init__(self, addresses: Sequence[str]) -> None:
        whole = {one for one in addresses if len(one) >= _FEWEST_LETTERS}
        whole.update(part[0] for one in addresses for part in _PARTS.finditer(one) if _is_telling(part[0]))
        rooms = sorted(
            {room for one in addresses for pattern in (_ROOMS, _IN_HUNDREDS) for room in pattern.findall(one)}
        )
        parts = [
            rf"(?<!{_D}){re.escape(one)}(?:{_GAP}{_NUMBERED_PART})*" for one in sorted(whole, key=len, reverse=True)
        ]
        if rooms:
            parts.append(
                rf"(?<!{_D})(?:{'|'.join(rooms)})(?!{_D})(?=$|[,、。\s室房吧对啊改是的那这]|户|业主|门|家|楼上|楼下|隔壁)"
            )
        parts.append(rf"(?<!{_D}){_ROOM}(?=室(?!内|外|友|温|性))")
        self._pattern = re.compile("|".join(parts)) if addresses else None

    def find(self, text: str) -> Iterator[PiiMatch]:
        """Every place in a folded text where one of them stands."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield PiiMatch("address", *match.span(), 0.6)


def _is_telling(part: str) -> bool:
    """Whether a part of an address is hardly anything else: 三百一十二号, 十四幢, but not 二楼, nor 十八号, a day."""
    number = _NUMBER_OF_A_PART.match(part)
    if number is None:
        return len(part) >= _FEWEST_LETTERS and _FINE.search(part) is not None
    if part.endswith("号"):
        return len(number[0]) >= _FEWEST_OF_A_HOUSE or re.match("[4-9][0-9]|[四五六七八九]十", number[0]) is not None
    return len(number[0]) > 1 and len(part) >= _FEWEST_LETTERS_OF_AN_ESTATE


_IN_HUNDREDS = re.compile(r"[一二三四五六七八九两](?:千[一二三四五六七八九零]?)?百[零〇]?[一二三四五六七八九十]{1,3}$")
_PARTS = re.compile(rf"{_NUMBERED_PART}|{_NAMED_PART}")
_NUMBER_OF_A_PART = re.compile(rf"[第负东西南北新老甲乙丙]?{_D}+")
_FEWEST_OF_A_HOUSE = 3
_ONLY_A_DAY = re.compile(rf"{_D}{{1,3}}号")
_ROOMS = re.compile(rf"(?<!{_D}){_ROOM}(?!{_D}|号|弄)")


def _is_address(chain: str, *, asked: bool, told: bool) -> bool:
    marks = len(_STRONG.findall(_NO_PLACE.sub("", chain)))
    house = _HOUSE.search(chain) is not None
    if asked or told:
        return (marks > 0 or house) and len(chain) >= (3 if asked else _FEWEST_LETTERS)
    return bool(_FINE.search(_NO_PLACE.sub("", chain))) and (house or marks >= 3)
