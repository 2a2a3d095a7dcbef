"""Names of people: after a question, in a self-introduction or with a title; then wherever they are repeated.

A surname alone (王先生, 免贵姓王) is no name: millions have it, and who reads a call needs to tell its people apart.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from processors.pii.learned_names import load_names
from processors.pii.letters_of_names import COMMON_SURNAMES, DOUBLE_SURNAMES, OF_GIVEN_NAMES, SINGLE_SURNAMES
from processors.pii.match import PiiMatch
from processors.text.syllables import syllables

_DOUBLE = "|".join(sorted(DOUBLE_SURNAMES))
_ANY_SURNAME = rf"(?:{_DOUBLE}|[{''.join(sorted(SINGLE_SURNAMES))}])"
_COMMON = "".join(sorted(COMMON_SURNAMES))
_RARE = (
    "高任方于向安成常易乔赖庞温柴游古文阮蓝牛岳包梅欧盛祝管倪纪舒屠项丛卞左右齐季路华伍甘艾涂单柳霍裴凌鲁景耿翁荣鲍"
    "费连鞠尚焦冷车米柯芦党初宫解辛瞿臧卓简明褚仇桂申池吉聂詹喻关苗谷官查匡麻闵滕占戚储岑刁邢习苟时蒲隋房卫佟奚娄晏"
    "全宁祁茅尤水窦应楼沙桑晋冉宗丘原佘谌牟蹇撒拓庹雒缑楚檀栗亓漆禤揭粟鲜尧笪佴扈卿庾亢南铁芦农芶仝訾麴揣占佟练郜逄宓哈"
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

_NOT_CALLED = (
    r"(?![你您他她它]|什么|人|客服|车|了|的|不|过|快递|外卖|滴滴|大家|一[个声]|救护|警|经理|主管|老板|保安|物业|师傅|朋友"
    r"|家人|啥|起来|出来|号|[小老阿][一-鿿](?:$|[^一-鿿]))"
)
_STRONG_WORD = (
    r"(?:姓名|名字|户名|收件人?|联系人|开户人|持卡人|就诊人|投保人|机主|户主|本人|全名|大名|本名|法人|患者|学员|收货人)"
    r"(?:就?是|叫做?|:|为|事|写的?|填的?|改成|核对|登记的?是?)+"
)
_TOLD = re.compile(
    rf"(?:我(?:的名字|的姓名|名字)?叫做?|{_STRONG_WORD}|我的名字是?)[\s,]?{_NOT_CALLED}"
    rf"(?P<name>{_FOREIGN}|{_SURNAME}(?:{_G}){{1,2}}?{_END}|{_SURNAME}(?:{_G}){{1,2}}|(?<=我叫)(?:{_G}){{2,3}}{_END})"
)
_CHUNK = r"[一-鿿]{2,9}?(?=$|[^一-鿿]|收(?![一-鿿]))"
_PERSON = (
    r"(?:我|他|她|您|你|名字|人|孩子?|小孩|娃|儿子|女儿|闺女|姑娘|老公|老婆|爱人|对象|妈妈?|爸爸?|父亲|母亲|爷爷|奶奶|弟弟?|妹妹?|哥哥?|姐姐?"
    r"|媳妇|先生|太太|朋友|同事|患者|机主|大名|真名|户主)"
)
_TOLD_CHUNK = re.compile(
    rf"(?:{_PERSON}叫(?:做|作)?|{_STRONG_WORD}|(?:姓名|名字|户名|收件人?|机主|户主|联系人)(?:核对)?|(?:^|(?<=[,。\s]))是我[,\s]"
    rf"|(?:收件|名字)[写填]|大名)[\s,、:]{{0,2}}{_NOT_CALLED}(?P<name>[一-鿿]{{2,4}}?(?=$|[^一-鿿]|收(?![一-鿿])))"
)
"""What is said as somebody's name up to a pause; a name it is only if its letters are rarely heard together."""
_HINTED_CHUNK = re.compile(
    rf"(?:(?<!啥)(?<!什么)叫|(?:^|(?<=[,。\s]))(?:我|这边|我这边)?是(?:我[,\s]{{1,2}})?|[写填给跟替]|找(?:一?下)?|[您你]是|请问是?|收件人?|联系人|户[主名]|机主|[中大全本]名|我核一?下|爱人|老公|老婆|女儿|儿子|我妈|我爸)[\s,、:]{{0,2}}{_NOT_CALLED}"
    rf"(?P<name>(?P<surname>{_ANY_SURNAME})(?P<given>(?:{_G}){{1,2}}?)(?=$|[^一-鿿]|[收的](?![一-鿿])|打过?|发[过了]|寄|办|买|吗|吧|[对是]吧|是不是|对不对|本人))"
)
"""The same where it may be anything: it needs a surname, and letters of which given names are made."""
_FIRST = re.compile(
    rf"(?:喂|您好|你好|[,、\s])*(?P<name>{_ANY_SURNAME}(?:{_G}){{1,2}}?)(?=是不是|是吧|对吧|对不对|在不在|本人)"
)
"""Who is asked for with the first words."""
_CALLED = re.compile(rf"(?<!啥)(?<!什么)叫(?P<name>{_ANY_SURNAME}(?:{_G}){{1,2}}?)(?=的|来|[,。]|$)")
_SURNAME_TOLD = re.compile(
    rf"(?:免贵|姓)(?P<surname>{_DOUBLE}|{_H})(?:[^一-鿿]{{0,3}}(?:我?叫|全名|名字)?[\s,]?(?P<name>(?P=surname)(?:{_G}){{1,2}})"
    rf"|[\s,]?(?:单?名|叫)(?:一个|个)?(?P<given>(?:{_G}){{1,2}}){_END})"
)
_TITLED = re.compile(rf"(?<!谢)(?P<name>(?:{_DOUBLE}|[{_COMMON}])(?:{_G}){{1,2}})(?=先生|女士|小姐)")
_TITLED_RARE = re.compile(
    rf"(?<!谢)(?P<name>{_ANY_SURNAME}(?:{_G}){{1,2}}?)"
    r"(?=先生|女士|小姐|同学|大爷|大妈|大娘|大哥|大姐|阿姨|叔叔|老先生|老人家|小朋友|的?(?:妈妈|爸爸|家长|家属)|本人)"
)
_NO_GIVEN_NAME = re.compile(r"位|个|的|是|好|您|你|这|那|总|姓|和|家|先|女|小|老")
_SEPARATED = re.compile(rf"{_H}{{1,8}}·{_H}{{1,8}}")
"""Names of many peoples: 阿卜杜拉·买买提."""

_ANSWER_START = re.compile(
    r"(?:嗯|呃|额|哦|啊|那个|好的?|对|喂|您好|你好|就|我|本人|名字|姓名|户名|叫做?|姓|是|的|为|收件人|联系人|这边|写|用|他|她|它|[,、.。:\s])*"
)
_ANSWERED = re.compile(
    rf"(?P<name>(?:{_FOREIGN})(?=[,.。]?$)"
    rf"|{_SURNAME}(?:{_G}){{1,2}}?(?=$|[,、.。!?？！\s]|先生|女士|的|啊|呢|吧|哦|呀|嘛|手机|电话|身份)"
    rf"|{_SURNAME}(?:{_G}){{1,2}}?{_END})"
)
_ANSWERED_CHUNK = re.compile(_CHUNK)
_LATER_CHUNK = re.compile(rf"(?<![一-鿿]){_ANY_SURNAME}(?:{_G}){{1,2}}(?![一-鿿])")
_NO_NAME = re.compile(
    r"时候|时间|方便|安全|高兴|明白|应该|全部|连接|成功|方面|关系|关于|简单|文件|常用|单位|向您|右边|左边|初步|解决|明天|包裹"
    r"|水果|路上|于是|成为|任何|何时|何况|程序|高级|易用|温馨|欧元|华为|白天|黄色|江苏|钱包|钱吧|安排|管理|游客|车牌|全名|查询|查一下|原来|原先"
    r"|原本|原价|原因|原路|全退|全删|周[一二三四五六日末天].?|哈+|铁定|全仓.?|社区|护士|主任|总务|明天到|网约车|莫急|简单的简"
)
"""Words that begin with the letter of a surname."""
_NO_LETTERS_OF_NAMES = re.compile(r"[的了啦吗呢吧啊嘛呀哦喔哎是有在我你您他她它们这那不没什么谢啥嫌哪咋怎谁去]")
_LATIN = re.compile(
    r"(?<![a-z0-9@])(?:[a-z]{2,20}|[a-z](?=[\s,]{1,2}[a-z](?![a-z])))(?:[\s,-]{1,2}(?:空格[\s,]{0,2})?[a-z]{1,20}){0,24}(?![a-z0-9@])"
)
_LATIN_TOLD = re.compile(
    r"(?:拼音|英文名?|护照上|上面?印的?是?|印的是|外文名?|名字)(?:是|叫|写的?|印的?|:|上面?|就)*[\s,]?(?=[a-z])"
    r"|\b(?:my name is|i am|i'm|this is|name's)\s+"
)
_NO_NAME_IN_LATIN = (
    "app ok okay vip wifi id pin hi hello no yes ktv sms atm pos pdf email qq mail sim apple iphone ipad ios android"
    " excel word web www com wechat nfc usb pc ai vs plus pro max hr it cvv ct ppt bye thanks thank you sorry"
    " the and or please is are my name call speaking"
)
_NO_LATIN_NAME = frozenset(_NO_NAME_IN_LATIN.split())
_KINSHIP = re.compile(
    r"^[小老阿].$|阿[婆公姨叔]|[姐哥叔婶伯姨]$|叔叔|伯伯|阿姨|师傅|先生|女士|老师|妈妈|爸爸|大[叔姐哥娘爷]|家长|总$|学姐|学长|同学|经理|客服|顾问|助理"
)
"""小苏, 南大姐: who is called so is not told apart from others."""
_PET_NAME = re.compile(rf"[小阿](?![{''.join(sorted(SINGLE_SURNAMES))}婆公姨叔伯婶爷奶哥姐弟妹])[一-鿿]")
"""小禾, 阿芳: made of a given name, unlike 小苏."""
_RAREST, _RARE_WITH_SURNAME, _RARE_GIVEN = 2, 3, 4
_FEWEST_WITHOUT_SURNAME, _LONGEST_NAME_OF_HAN = 3, 3
_ASKING = "呢吗"
_FEWEST_OF_A_SOUND = 2
"""Given names of so many letters are known by their sound, whatever surname of the same sound stands before them."""
_FEWEST_EXPLAINED = 2
_EXPLAINED = (
    r"弓长张|立早章|木子李|耳东陈|双木林|口天吴|草头黄|言午许|古月胡|双口吕|三横一?王|走肖赵|文刀刘|干勾于|禾火秋|木土杜|双人徐|三点水江"
    r"|草字头|十八子李|禾呈程|人则俞|卯金刀刘|水工江|言射谢"
)
_SPELLED = re.compile(
    rf"{_EXPLAINED}|(?P<first>{_H}){_H}{{1,3}}的(?P=first)(?!{_H}{{0,6}}[是有])|{_H}{{1,3}}(?P<last>{_H}){_H}?的(?P=last)"
    rf"|{_H}{{1,6}}?(?:的那个|那个|的)(?P<letter>{_H})(?!{_H}{{0,12}}[是有])"
)
_TAKEN_APART = re.compile(_EXPLAINED)
"""A surname by its parts, which nobody says of anything else: 木子李, 耳东陈."""


def find_names(text: str, *, asked: bool, just_now: bool = False) -> Iterator[PiiMatch]:
    """Names in a folded text: told of oneself or with a title; where one was asked for, also bare.

    Where that was `just_now`, also names that begin with no known surname.
    """
    found = {(one.start, one.end): one for one in _unasked(text)}
    if asked:
        for one in _asked(text, max((end for _, end in found), default=0), just_now=just_now):
            found.setdefault((one.start, one.end), one)
    for match in _TAKEN_APART.finditer(text):
        found.setdefault(match.span(), PiiMatch("name", *match.span(), 0.6))
    yield from found.values()


def _asked(text: str, taken: int, *, just_now: bool) -> Iterator[PiiMatch]:
    """Names in an answer, of which something is taken for a name already up to `taken`."""
    if not taken:
        answered = _answered(text, just_now=just_now)
        if answered is not None:
            taken = answered.end
            yield answered
    yield from (PiiMatch("name", *match.span(), 0.75) for match in _LATER_CHUNK.finditer(text) if _may_be(match[0]))
    for match in _LATIN.finditer(text):
        if not _NO_LATIN_NAME.issuperset(re.findall("[a-z]+", match[0])):
            yield PiiMatch("name", *match.span(), 0.6)
    explained = list(find_explained(text, taken, text[:taken]))
    if taken or len(explained) >= _FEWEST_EXPLAINED:
        yield from explained


def _unasked(text: str) -> Iterator[PiiMatch]:
    for match in _TOLD.finditer(text):
        if not _NO_NAME.fullmatch(match["name"]):
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.85)
    for match in _TOLD_CHUNK.finditer(text):
        if _may_be_whole(match["name"]) and not _KINSHIP.search(match["name"]):
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.8)
    for match in _HINTED_CHUNK.finditer(text):
        is_usual = len(match["given"]) > 1 or match["surname"] in _COMMON
        if is_usual and _may_be(match["name"]) and OF_GIVEN_NAMES.issuperset(match["given"]):
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.75)
    first = _FIRST.match(text)
    if first is not None and _may_be(first["name"]):
        yield PiiMatch("name", first.start("name"), first.end("name"), 0.75)
    for match in _CALLED.finditer(text):
        if _may_be(match["name"]):
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.8)
    for match in _SURNAME_TOLD.finditer(text):
        group = "name" if match["name"] else "given"
        yield PiiMatch("name", match.start(group), match.end(group), 0.85 if match["name"] else 0.6)
    for match in _TITLED.finditer(text):
        if not _NO_GIVEN_NAME.search(match["name"][1:]) and is_no_word(match["name"]):
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.7)
    for match in _TITLED_RARE.finditer(text):
        if not _NO_GIVEN_NAME.search(match["name"][1:]) and _may_be(match["name"]):
            yield PiiMatch("name", match.start("name"), match.end("name"), 0.7)
    for match in _SEPARATED.finditer(text):
        yield PiiMatch("name", *match.span(), 0.85)
    for told in _LATIN_TOLD.finditer(text):
        latin = _LATIN.match(text, told.end())
        if latin is not None and not _NO_LATIN_NAME.issuperset(re.findall("[a-z]+", latin[0])):
            yield PiiMatch("name", *latin.span(), 0.6)


def _answered(text: str, *, just_now: bool) -> PiiMatch | None:
    """The name at the beginning of an answer, with a surname or of letters that are rarely heard together."""
    begin = _ANSWER_START.match(text)
    place = begin.end() if begin else 0
    answered = _ANSWERED.match(text, place)
    if answered is not None and not _NO_NAME.fullmatch(answered["name"]):
        return PiiMatch("name", answered.start("name"), answered.end("name"), 0.75)
    chunk = _ANSWERED_CHUNK.match(text, place) if just_now else None
    if (
        chunk is not None
        and len(chunk[0]) >= _FEWEST_WITHOUT_SURNAME
        and _is_rare(chunk[0])
        and not _KINSHIP.search(chunk[0])
    ):
        return PiiMatch("name", *chunk.span(), 0.65)
    return None


def _is_rare(letters: str) -> bool:
    """Whether letters are rarely heard together; in a long name one pair may be a word."""
    if _NO_LETTERS_OF_NAMES.search(letters):
        return False
    often = load_names().often
    pairs = sorted(often(letters[place : place + 2]) for place in range(len(letters) - 1))
    return pairs[-1 - max(0, len(letters) - 2) // 2 if len(letters) > _LONGEST_NAME_OF_HAN else -1] <= _RAREST


def _may_be_whole(name: str) -> bool:
    """Whether letters that stand alone are a name: two of them only with a surname."""
    return _is_rare(name) and (len(name) >= _FEWEST_WITHOUT_SURNAME or re.match(_ANY_SURNAME, name) is not None)


def _may_be(name: str) -> bool:
    """Whether letters that begin with a surname may be a name and no common word."""
    return is_no_word(name) and load_names().commonest_pair(name) <= _RARE_WITH_SURNAME


def is_no_word(name: str) -> bool:
    """Whether letters that may be a name are not a word that begins like one, nor how somebody is called."""
    return not (_NO_NAME.fullmatch(name) or _KINSHIP.search(name) or name in DOUBLE_SURNAMES)


def may_be_name(text: str, start: int, end: int) -> bool:
    """Whether letters that a model takes for a name are no word, explain no other (季节的季), are not within 谢谢."""
    name = text[start:end]
    explain = text[end : end + 1] == "的" and text[end + 1 : end + 2] in name
    is_free = _PET_NAME.fullmatch(name) is not None or is_no_word(name)
    is_asked = name[-1] in _ASKING  # 多少呢女士
    return is_free and not explain and not is_asked and text[max(0, start - 1) : start + 1] != "谢谢"


def find_explained(text: str, begin: int, name: str) -> Iterator[PiiMatch]:
    """How the letters of a name are told from others of the same sound: 弓长张, 岛屿的屿, 伟大的伟."""
    for match in _SPELLED.finditer(text, begin):
        if match["letter"] is None or match["letter"] in name:
            yield PiiMatch("name", *match.span(), 0.6)


class KnownNames:
    """Names that were found in a call, to find them again where nobody asks: also misheard after the same surname."""

    def __init__(self, names: Sequence[str], learned: Sequence[str] = ()) -> None:
        """`learned` are whole names with surnames of any kind."""
        told = {name for name in names if len(name) >= 2 and re.match(_SURNAME, name)}
        whole = {name for name in names if name not in told and len(name) >= _FEWEST_WITHOUT_SURNAME}
        full = sorted(told | set(learned), key=len, reverse=True)
        parts = [_misheard(name) for name in full]
        parts.extend(re.escape(name) for name in sorted(whole, key=len, reverse=True))
        parts.extend(sorted({_given_alone(name) for name in full} - {""}))
        self._pattern = re.compile(_by_first_letter(parts)) if parts else None
        surnames = sorted({_surname(name) for name in full if re.match(_H, name)})
        # A surname where it stands alone or is told: 姓覃, 念 覃.
        alone = rf"(?:(?<=[姓念])|(?<!{_H}))(?:{'|'.join(surnames)})(?!{_H})"
        self._by_itself = re.compile(alone) if surnames else None
        self.letters = "".join(full)

    def find(self, text: str) -> Iterator[PiiMatch]:
        """Every place in a folded text where one of the names stands."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield PiiMatch("name", *match.span(), 0.7)
        if self._by_itself is not None:
            for match in self._by_itself.finditer(text):
                yield PiiMatch("name", *match.span(), 0.7)

    def find_explained(self, text: str) -> Iterator[PiiMatch]:
        """How letters of the names are told from others, where no name stands: 对,团圆的圆."""
        for match in _CLAUSE_EXPLAINS.finditer(text):
            letter = match["letter"]
            if letter in match["word"] and re.search(_same_sound(letter), self.letters):
                yield PiiMatch("name", *match.span(), 0.6)


_CLAUSE_EXPLAINS = re.compile(
    rf"(?:(?<![一-鿿])|(?<=(?<![一-鿿])[对是嗯哦])|(?<=(?<![一-鿿])不是))(?P<word>(?![该能要可有没没我你您他她它]){_H}{{2,4}}?)(?:的那个|那个|的)(?P<letter>{_H})"
    r"(?=[吧吗呀啊嘛对是不]?(?![一-鿿])|[对是]吧)"
)


def _by_first_letter(parts: Sequence[str]) -> str:
    """One expression for all parts, which tries of many names only those that begin with the letter that is there."""
    together: dict[str, list[str]] = {}
    for part in parts:
        first = part[0] if "一" <= part[0] <= "鿿" else ""
        together.setdefault(first, []).append(part[len(first) :])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in together.items())


def _given_alone(name: str) -> str:
    """The expression that finds a given name of two letters by itself; one of common letters only between pauses."""
    given = name[len(_surname(name)) :]
    if len(given) != 2 or _NO_LETTERS_OF_NAMES.search(given) or not is_no_word(given):
        return ""
    is_rare = load_names().commonest_pair(given) <= _RARE_GIVEN
    return re.escape(given) if is_rare else rf"(?<!{_H}){re.escape(given)}(?!{_H})"


def _surname(name: str) -> str:
    match = re.match(_DOUBLE, name)
    return match[0] if match else name[0]


def _misheard(name: str) -> str:
    """The name with its given name in any letters of the same sound."""
    surname = _surname(name) if re.match(_SURNAME, name) else name
    given = "".join(_same_sound(letter) for letter in name[len(surname) :])
    if len(name) - len(surname) < _FEWEST_OF_A_SOUND:
        return re.escape(surname) + given
    return "".join(map(_same_sound, surname)) + given


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
