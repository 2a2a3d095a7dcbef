"""Names of people: after a question, in a self-introduction or with a title; then wherever they are repeated."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from processors.pii.match import PiiMatch
from processors.text.syllables import syllables

_DOUBLE = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|令狐|慕容|司徒|夏侯|端木|南宫|长孙|宇文|独孤"
_COMMON = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许韩冯邓曹彭曾肖萧田董袁潘蒋蔡余杜叶程苏魏吕丁沈姚卢姜崔钟谭陆"
    "汪范石廖贾夏韦傅邹孟熊秦邱江尹薛闫阎段雷侯龙史陶贺顾毛郝龚邵钱严覃武戴莫孔白康葛殷章施洪翟樊"
)
_RARE = (
    "高任方于向安成常易乔赖庞温柴游古文阮蓝牛岳包梅欧盛祝管倪纪舒屠项丛卞左右齐季路华伍甘艾涂单柳霍裴凌鲁景耿翁荣鲍"
    "费连鞠尚焦冷车米柯芦党初宫解辛瞿臧卓简明褚仇桂申池吉聂詹喻关苗谷官查匡麻闵滕占戚储岑刁邢习苟时蒲隋房卫佟奚娄晏"
    "全宁祁茅尤水窦应楼沙桑晋冉宗丘原"
)
_SURNAME = rf"(?:{_DOUBLE}|[{_COMMON}{_RARE}])(?!先生|女士|小姐|老师)"
_H = "[一-鿿]"
_G = "(?![的了啦吗呢吧啊是有在我你您他她这那不没什么谢])[一-鿿]"
"""A letter that a given name may hold."""
_END = (
    r"(?=$|[^一-鿿]|我|你|您|想|这|那|就是?|的|啊|呢|吧|哦|呀|嘛|是|手机|电话|身份|号码|先生|女士|小姐|老师|今年|在|来|打"
    r"|住|要|很|咨询|请问|工号|为您)"
)
_FOREIGN = rf"{_H}{{2,6}}·{_H}{{2,6}}|[a-z]{{2,12}}(?:\s[a-z]{{2,12}})?"
_NAME = rf"(?:{_FOREIGN}|{_SURNAME}(?:{_G}){{1,2}}?{_END}|{_SURNAME}(?:{_G}){{1,2}})"

_NOT_CALLED = (
    r"(?![你您他她它]|什么|人|客服|车|了|的|不|过|快递|外卖|滴滴|大家|一[个声]|救护|警|经理|主管|老板|保安|物业|师傅|朋友"
    r"|家人|啥|起来|出来|号)"
)
_TOLD = re.compile(
    r"(?:我(?:的名字|的姓名|名字)?叫做?|(?:姓名|名字|户名|收件人|联系人|开户人|持卡人|本人)(?:是|叫做?|:|为|事)+"
    rf"|我的名字是?)[\s,]?{_NOT_CALLED}"
    rf"(?P<name>{_FOREIGN}|{_SURNAME}(?:{_G}){{1,2}}?{_END}|{_SURNAME}(?:{_G}){{1,2}}|(?<=我叫)(?:{_G}){{2,3}}{_END})"
)
_SURNAME_TOLD = re.compile(rf"(?:免贵姓?|我姓(?!名)|本人姓(?!名)|敝姓|小姓)[\s,]?(?P<name>{_NAME}|{_SURNAME}|{_H})")
_TITLED = re.compile(rf"(?P<name>(?:{_DOUBLE}|[{_COMMON}])(?:{_G}){{1,2}})(?=先生|女士|小姐)")
_NO_GIVEN_NAME = re.compile(r"位|个|的|是|好|您|你|这|那|总|姓|和|家|先|女|小|老")

_ANSWER_START = re.compile(
    r"(?:嗯|呃|额|哦|啊|那个|好的?|对|喂|您好|你好|就|我|本人|名字|姓名|户名|叫做?|姓|是|的|为|收件人|联系人|这边|写|用|他|她|它|[,、.。:\s])*"
)
_ANSWERED = re.compile(
    rf"(?P<name>(?:{_FOREIGN})(?=[,.。]?$)"
    rf"|{_SURNAME}(?:{_G}){{1,2}}?(?=$|[,、.。!?？！\s]|先生|女士|的|啊|呢|吧|哦|呀|嘛|手机|电话|身份)"
    rf"|{_SURNAME}(?=$|[,、.。!?？！\s])|{_SURNAME}(?:{_G}){{1,2}}?{_END})"
)
_NO_NAME = re.compile(
    r"时候|时间|方便|安全|高兴|明白|应该|全部|连接|成功|方面|关系|关于|简单|文件|常用|单位|向您|右边|左边|初步|解决|明天|包裹"
    r"|水果|路上|于是|成为|任何|何时|何况|程序|高级|易用|温馨|欧元|华为|白天|黄色|江苏|钱包|钱吧|安排|管理|游客|车牌|全名|查询|查一下"
)
"""Words that begin with the letter of a surname."""
_EXPLAINED = r"弓长张|立早章|木子李|耳东陈|双木林|口天吴|草头黄|言午许|古月胡|双口吕|三横王|走肖赵|文刀刘|干勾于"
_SPELLED = re.compile(rf"{_EXPLAINED}|{_H}{{1,4}}的(?P<letter>{_H})(?!{_H}*[是有])")


def find_names(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Names in a folded text: told of oneself or with a title; where one was asked for, also bare."""
    taken = 0
    for pattern, confidence in ((_TOLD, 0.85), (_SURNAME_TOLD, 0.85)):
        for match in pattern.finditer(text):
            if not _NO_NAME.fullmatch(match["name"]):
                taken = max(taken, match.end())
                yield PiiMatch("name", match.start("name"), match.end("name"), confidence)
    for match in _TITLED.finditer(text):
        if not _NO_GIVEN_NAME.search(match["name"][1:]):
            taken = max(taken, match.end())
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.7)
    if not asked:
        return
    if not taken:
        begin = _ANSWER_START.match(text)
        answered = _ANSWERED.match(text, begin.end() if begin else 0)
        if answered is None or _NO_NAME.fullmatch(answered["name"]):
            return
        taken = answered.end()
        yield PiiMatch("name", answered.start("name"), answered.end("name"), 0.75)
    for match in _SPELLED.finditer(text, taken):
        if match["letter"] is None or match["letter"] in text[:taken]:
            yield PiiMatch("name", *match.span(), 0.6)


class KnownNames:
    """Names that were found in a call, to find them again where nobody asks: also misheard after the same surname."""

    def __init__(self, names: Sequence[str], learned: Sequence[str] = ()) -> None:
        """`learned` are whole names with surnames of any kind."""
        told = {name for name in names if len(name) >= 2 and re.match(_SURNAME, name)}
        full = sorted(told | set(learned), key=len, reverse=True)
        surnames = sorted({_surname(name) for name in (*names, *learned) if re.match(_SURNAME, name)})
        parts = [_misheard(name) for name in full]
        if surnames:
            parts.append(rf"(?:{'|'.join(map(re.escape, surnames))})(?=先生|女士|小姐|老师|总(?!共|是|之|的|额))")
        self._pattern = re.compile("|".join(parts)) if parts else None

    def find(self, text: str) -> Iterator[PiiMatch]:
        """Every place in a folded text where one of the names stands."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield PiiMatch("name", *match.span(), 0.7)


def _surname(name: str) -> str:
    match = re.match(_DOUBLE, name)
    return match[0] if match else name[0]


def _misheard(name: str) -> str:
    """The name with its given name in any letters of the same sound."""
    surname = _surname(name) if re.match(_SURNAME, name) else name
    return re.escape(surname) + "".join(_same_sound(letter) for letter in name[len(surname) :])


def _same_sound(letter: str) -> str:
    sounds = syllables().get(letter)
    if not sounds:
        return re.escape(letter)
    return "[" + "".join(sorted({other for sound in sounds for other in _letters_by_sound()[sound]})) + "]"


@cache
def _letters_by_sound() -> dict[str, list[str]]:
    letters: dict[str, list[str]] = {}
    for letter, sounds in syllables().items():
        for sound in sounds:
            letters.setdefault(sound, []).append(letter)
    return letters
