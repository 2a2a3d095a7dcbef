"""What belongs to an address beside the parts that its marks tell: the name of an estate, a side, a door, a correction.

No list of names of estates ends. But what stands right before 九栋二八零四, or between a street and a flat, is one,
whatever it is called: 远洋国际, 锦绣江南. So addresses that were found are widened here by what is around them.
"""

import re
from collections.abc import Iterator, Sequence

from processors.pii.learned_names import load_names
from processors.pii.match import PiiMatch

_D = "[0-9零〇一二三四五六七八九十百千两幺]"
_HAN = "[一-鿿]"
_NO_PLACE = (
    r"[你我他她您们什哪吗呢请谢吧么了]|不[是对]|电话|手机|号码|收件|名字|姓名|快递|订单|密码"
    r"|还是|或者|另[外一]|一份|[改换]成|楼[上下]|右拐|左拐|左转|右转|进[门去]|如果|因为|已经|可以"
)
_BETWEEN = re.compile(
    rf"(?:[,、\s]{{0,2}}(?:呃|嗯|啊|那个|然后)?[,、\s]{{0,2}}(?!{_NO_PLACE})[一-鿿a-z]){{0,8}}[,、\s]{{0,2}}"
)
_NEAR = 14

_LED = re.compile(
    r".*(?:[在到寄送住去是为叫就填写发装约]|我家|家里|家是|屋头|地址|地质|位置|坐落|一份|收货|门牌|然后|那个|补充|改成|换成|火了|报修|反映|[嗯呃啊哦])"
)
_HAS_BUILDING = re.compile(r"[栋幢座舍撞动坐楼村社组排区期号层]")
_BEGINS_WITH_A_NUMBER = re.compile(rf"第?[a-z]?{_D}|[a-z](?![a-z])|[东西南北][边区]")
_BEFORE = re.compile(r"(?P<name>[一-鿿]{2,8})(?P<pause>(?:那[边个里])?[,、\s]{0,2}(?:嗯|呃|啊|那个)?[,、\s]{0,2})$")
_PART_BEFORE = re.compile(
    rf"(?P<part>(?:[a-z一-鿿]{{0,3}}?(?:第?[a-z]?{_D}{{1,4}}[a-z]?(?:期|区|号?楼|栋|幢|座|舍|排|组|社|队|梯|单元|号|杠{_D}{{1,2}}|街区))|[东西南北中][区苑院门]|[a-f]区))[,、\s]{{0,2}}$"
)
_CORRECTED = re.compile(
    rf"(?P<part>[a-z]?{_D}{{1,4}}(?:号?楼|栋|幢|座|单元|号|弄|组|期|室)|{_HAN}{{2,6}}?[路街巷道])[,\s]{{0,2}}(?:(?:哦|啊|呃|哎)?不(?:是|对)?|错了|说错了?|等等)[,\s]{{0,2}}(?:应该)?是?$"
)
_BEHIND = re.compile(
    rf"(?:号(?!码)|院)?(?:[,、\s]{{0,2}}(?:"
    rf"[甲乙丙丁戊](?!方|级|等)|[a-f]座?(?![a-z])|[东西南北中前后侧][门户侧边座楼院](?!口等|诊)|大院|板房|[一二三四五六七八九]楼(?!的人)|底商|亭子间|地下室|门面房?|铺位?"
    rf"|之[一二三四五六七八九]|杠[a-z]?{_D}{{1,4}}(?:号?楼|栋|座|室|单元)?|[a-z]?{_D}{{1,6}}(?:号楼|栋|幢|座|舍|单元|室|寝室|号房|房|户|弄|层|楼|排|门洞)"
    rf"|[东西南北左右]?(?:手|边|侧)?(?:第{_D}{{1,2}}[家户间栋个]|最里[头面边]那?[家户间]?|左手边?|右手边?|靠[东西南北]那?[家户间]?|中间门洞|顶楼))){{0,5}}"
)
_MOST_BEFORE = 3
_SHORT = 2


def widen_addresses(text: str, matches: Sequence[PiiMatch], *, expected: bool) -> list[PiiMatch]:
    """The addresses of a folded text with what belongs to them; `expected` where one was asked for or named."""
    grown: list[PiiMatch] = []
    for one in sorted(matches, key=lambda match: (match.start, -match.end)):
        last = grown[-1] if grown else None
        if last is not None and one.end <= last.end:
            continue
        if last is not None and (one.start <= last.end or _belong_together(text, last.end, one.start)):
            grown[-1] = PiiMatch("address", last.start, _end(text, one.end), max(last.confidence, one.confidence))
            continue
        start = where_it_begins(text, one.start, last.end if last else 0, expected=expected)
        grown.append(PiiMatch("address", start, _end(text, one.end), one.confidence))
    return [*grown, *_corrected(text, grown)]


def _belong_together(text: str, end: int, start: int) -> bool:
    return start - end <= _NEAR and _BETWEEN.fullmatch(text, end, start) is not None


def where_it_begins(text: str, start: int, floor: int = 0, *, expected: bool) -> int:
    """Where an address begins of which a part with a number stands at `start`: also parts, and names, before it."""
    for _ in range(_MOST_BEFORE):
        if not _BEGINS_WITH_A_NUMBER.match(text, start):
            break
        window = text[max(floor, start - _NEAR) : start]
        part = _PART_BEFORE.search(window)
        if part:
            start -= len(window) - part.start("part")
            continue
        before = _BEFORE.search(window)
        if before is None:
            break
        led = _LED.match(before["name"])
        name = before["name"][led.end() if led else 0 :]
        if len(name) < _SHORT or re.search(_NO_PLACE, name):
            break
        common = load_names().commonest_pair(name)
        is_likely = name[-1] in _ENDS_OF_ESTATES if before["pause"] else expected
        if common > (_RARE_ALONE if before["pause"] else _RARE_ADJACENT) + is_likely:
            break
        start -= len(window) - before.end("name") + len(name)
    return start


_ENDS_OF_ESTATES = "湾苑郡庭轩阁坊庄居墅堡里城园府"
_RARE_ALONE, _RARE_ADJACENT = 3, 4
"""How common letters may be that are a name before a pause, and right before a number."""


def _end(text: str, end: int) -> int:
    behind = _BEHIND.match(text, end)
    return behind.end() if behind else end


def _corrected(text: str, matches: Sequence[PiiMatch]) -> Iterator[PiiMatch]:
    """What was said first and taken back: 十七栋, 不是, 十一栋二单元八零三."""
    for one in matches:
        before = _CORRECTED.search(text, max(0, one.start - _NEAR), one.start)
        if before:
            yield PiiMatch("address", *before.span("part"), one.confidence)
