"""What is said in digits and letters where a secret is asked for, volunteered, read back or corrected.

The other detectors want a topic that they know and digits that are written as digits. Here any question for a number or
code is one, and what sounds like a digit among digits is one: 留898 answers 念一下, 爸25944 answers 号码绑定要确认.
Amounts, dates, hotlines, and numbers of orders, staff and products stay.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from processors.pii.asking import OTHER_NUMBER
from processors.pii.conversation import AMOUNT_BEFORE, PATIENCE_MS, Line, NumbersSaid
from processors.pii.digit_kinds import is_public_service_number, is_service_number, kind_unasked
from processors.pii.digit_runs import GAP, HOTLINE_WANTED, without_quantities
from processors.pii.match import UNNAMED, FoundKind, PiiMatch
from processors.pii.passport import FLIGHT, OF_A_JOURNEY
from processors.pii.spelled import PRODUCT
from processors.text.syllables import syllables

_STRICT = "0-9零〇一二三四五六七八九幺洞"
_VALUE_OF = {
    letter: str(digit)
    for digit, letters in enumerate(
        (
            "0零〇洞林灵另铃领令玲凌",
            "1一幺要药妖腰以易医亿",
            "2二儿而尔耳两",
            "3三山伞散叁",
            "4四死私事是司寺",
            "5五舞午我无武",
            "6六留刘流遛溜柳",
            "7七起期气妻拐",
            "8八吧爸把巴疤拔",
            "9九就旧久酒勾",
        )
    )
    for letter in letters
}
_SOFT = "".join(sorted(set(_VALUE_OF) - set("0123456789零〇洞一幺二三四五六七八九")))
_HEARD_FOR_DIGITS = "".join(sorted(set(_SOFT) - set("我是把无令起以而两")))
_REPEATED = rf"(?:[两俩二三四五六七八九2-9]个|双|俩)[{_STRICT}]"
_LETTER = r"(?:艾弗|艾尺|[艾埃]克斯|[a-z]{1,12})"
_SIGN = r"(?:下划线|中划线|减号|艾特|圈|杠|[@#_])"
_TOKEN = rf"(?:{_REPEATED}|[{_STRICT}{_SOFT}]|十|{_LETTER})"
_RUN = re.compile(
    rf"(?:大写的?|小写的?)?{_TOKEN}(?:(?:{GAP}|{GAP}(?:{_SIGN}|大写的?|小写的?|后头|后面是?|哎呀|啊){GAP}){_TOKEN})*+"
)
_DIGIT = re.compile(rf"[{_STRICT}十]")
_BY_RADIO = re.compile(r"(?=.*洞|.*拐.*勾|.*勾.*拐)[洞幺两拐勾三四五六八]{3,}")
"""Digits as radio operators and older people say them: 两洞勾拐."""
_ALIKE = re.compile(rf"[{_SOFT}]")
_LEADING = re.compile(
    rf"(?:(?:uid|id|no|qq|vx|wx)(?![a-z])|[是我就要把吧以而两令事无起期](?![{_STRICT}a-z])|[是我就])+{GAP}"
)
_TRAILING = re.compile(rf"(?:{GAP}(?:[吧把我是就要以而事无起期两]|[a-z]{{3,12}}))+$")
_SHORTEST, _SHORTEST_UNASKED = 3, 4
_EXTENSION = re.compile(r"(?:分机|内线)号?码?[是为:]?\s?$")
_ALL_HEARD_AS_WORDS = re.compile(
    rf"(?:^|(?<=[,。:是\s]))[{_STRICT}{_HEARD_FOR_DIGITS}](?:[,\s]?[{_STRICT}{_HEARD_FOR_DIGITS}]){{4,}}(?=[,。?\s]|$)"
)
"""Clauses of nothing but what sounds like digits, though most are written as words: 要伞武期事."""
_OTHER = re.compile(
    r"订单|定单|单号|案号|排队号|排号|预[订定]号|运单|快递单|物流|工单|投诉单|发票|合同|工号|员工|坐席|客服|型号|版本|受理|申诉编号|航班|车次|保单号|邮编|邮政编码|代码|持有|余额|金额"
    r"|多少钱|价格|费用|利率|几点|什么时候|哪天|日期|几楼|热线|投诉电话|报错|错误|内存|书名|班的|手机型|产品|商品|路公交|地铁|换.{0,6}路|刚给|理财|学费"
)
_OTHER_BEFORE = re.compile(
    r"(?:订单|定单|单|编|工|发票|型|版本|代码|客服|坐席|员工|热线|投诉|报错|错误|第|路|线|航班|持有|我是|接电话的"
    r"|金额|余额|元|块|每人|共)(?:号码?|编号)?(?:[是为:]|报|显示)?[\s,]?(?:[a-z]{2,4})?$"
)
_OTHER_AFTER = re.compile(r"[\s,]?(?:路(?!\w*号)|号?线|[块元万层楼码度分折岁]|为您服务|号{0,2}(?:客服|坐席))")
_WARNS = re.compile(r"(?:不要|请勿|切勿|别)[把向跟给将对说].{0,12}(?:告诉|透露|泄露|任何人)|任何人")
_KIND_ASKED: tuple[tuple[FoundKind, str], ...] = (
    ("password", r"密[码马]|[秘蜜]码|口令|锁屏|按的|设的|门禁|楼门|换一个|不能用生日|纸上写|系统给您生成"),
    ("plate", r"车牌|牌照|车排|绿牌|蓝牌|牌子|[车汽]的?牌|哪里的牌|补牌|哪台车|限行|什么车|查勘|绑定车辆|挂牌"),
    (
        "passport",
        r"[护户]照|旧本|旅行证|票面[证政][件见]|出行[证政][件见]|学生[证政][件见]|随行人员|照片那页|通行证|用什么[证政][件见]|核对[证政][件见]|挂失过|个?E后面"
        r"|(?<![一-鿿])系统要填",
    ),
    ("resident_id", r"身份|生日那段|中间[八8]位|老证|[证政][件见]|请补充"),
    (
        "bank_card",
        r"卡(?!绑)[好号]|卡后|卡[末尾伟]|银行卡|信用卡|转入卡|哪一张|卡翻|卡在手边|退款账户|结算卡|退到哪|第[一二三四]组|付款|(?<!公积金)(?<!医保)(?<!身)卡(?:片|呢)",
    ),
    (
        "account",
        r"账[号户]|[涨帐][号户]|用[户护][名号]|用护号|社保|公积金卡|会员|编号|燃气|水表|电表|户号|表对应|微信|谁?加我|登录界面|图书|借书|炒股|常旅客|就诊|病历|号是多少",
    ),
    ("mobile", r"电[话化]|手机|号码是|分机|伟号|联系"),
    (
        "code",
        r"码(?![头率表字])|验证吗|短信|数字|几个数|[前后末最]后?[面头]?[三四几两六][个位]|[前后末][面头]?几位|最后$|然后呢|后面呢|后几位|没听清|眼镜念|念[一下]|您[念说]$|那串|那条|校验|授权|要确认|通知|再[来念报]|中间那?[段个]|重新?[播念报]|屏幕上|一[串组排]",
    ),
)
_ASKS = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KIND_ASKED))
_TOLD: tuple[tuple[FoundKind, str], ...] = (
    ("password", r"密[码马]|[秘蜜]码|口令|改成我生日|(?:就|我)?设(?:成|为)?|我输的|我说|换成|改成|写纸上|摁|问密码"),
    ("plate", r"车牌?|绿牌|蓝牌|抬杆|新能源|限行|撞|[把留](?=.$)"),
    (
        "bank_card",
        r"卡(?!号?[积])|账户|退到|换绑|卡号|有两张|尾号|[伟尾末]号|我从",
    ),
    ("resident_id", r"身份证|证件|的证|共借人|户主|后四位|前[面头]|中间是|借款人|法人"),
    ("passport", r"[护户]照|通行证|旧的|新的|孩子|先生|留学保险|旅行证"),
    (
        "account",
        r"账[号户]|帐[号户]|[户护]号|会员|(?<!学籍)(?:保险|社保|电脑)编?号|电脑号|[家水]?电号|借书证|常旅客号?|钉钉号?|微信|加我|美[发容]卡好?|健身卡|查电表|查水表|合约|(?<![单票型工批航项\d一二三四五六七八九十])(?:号|卡|证|户|id)[码好]?[是为:]?[\s,]?$",
    ),
    ("mobile", r"电[话化]|号码|手机|原来是|[来记]|充|联系|打(?!了)"),
    (
        "code",
        r"(?<![代条邮号数尺编源扫])码(?:是|给你|了|吗)?|前台说|后台说是?|发来的?|收到了?|新来的是|上一个|发[个了]|报(?:了|出去)|说(?:是|错了)|验证[吗马]?|朋友的|要|[后前]面|末尾|那段|取件|凭",
    ),
)
_TELLS = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _TOLD))
_TOLD_BEFORE = 14
_CODE_AFTER = re.compile(r"[\s,]{0,2}(?:刚收到|刚来|刚发|告诉|给他|给小哥|对吗$)")
_CONFIRMS = re.compile(
    r"对吗|对吧|对不对|读您听|您听一下|是吗|是吧|吗[?？]?$|吧[?？]?$|核对|确认"
    r"|一致|试试|告诉|然后呢|来取|有误|跟您说的|\?$"
)
_CORRECTS = re.compile(r"(?<!是)不是|(?<!对)不对|错了|等等|应该是|看串")
_PASSPORT = re.compile(r"[eg][a-h]?\d{7,8}")
_AT_MOST_BACK = 3
_LONGER_THAN_AMOUNTS, _LONGEST_TRAILING = 9, 24
_MOBILE = re.compile(r"1[3-9]\d{9}$")
_CARD = re.compile(r"62\d{4,17}$")
_LETTERS = re.compile(r"[一-鿿]")
_GO_ON = re.compile(r"[\s,]{0,2}然后呢")
_SHELF = re.compile(rf"^[{_STRICT}a-z]{{1,3}}\s?(?:杠|-)\s?[{_STRICT}]{{1,2}}\s?(?:杠|-)\s?[{_STRICT}]{{3,5}}$")
"""What parcels are fetched with: shelf, row and the last digits of the parcel."""
_PERSONAL = re.compile(
    r"刮开|涂层|邀请码|[取提].{0,2}码|激活码|会员|美[发容]|健身卡|[购礼]物?品?卡|常旅客|券码|登录|保险编号|社保|分机|诉号码"
)
_PROVINCES = frozenset(
    sound
    for letter in "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
    for sound in syllables().get(letter, ())
)
_PLATE = re.compile(r"[a-z](?=.*\d.*\d)[a-z0-9]{5,6}")
_OF_PERSONS: frozenset[FoundKind] = frozenset({"bank_card", "account", "passport", "plate", "password", "resident_id"})
_NO_PROVINCE = frozenset("想能军世新单箱机型")
_NO_SERVICE = frozenset({"315"})


@dataclass(frozen=True)
class _Run:
    """Digits and letters said in a row; `digits` is what they say, with letters."""

    start: int
    end: int
    spelled: str
    strict: int

    @property
    def tokens(self) -> int:
        return len(self.spelled)

    @property
    def is_digits(self) -> bool:
        return self.spelled.isdecimal()


def find_replies(lines: Sequence[Line], reading: NumbersSaid) -> list[list[PiiMatch]]:
    """What is masked in each line because of what is said around it, and where it is said again."""
    runs = [list(_runs(line.text)) for line in lines]
    found = [list(_in_line(lines, reading, number, runs)) for number in range(len(lines))]
    said = [
        (number, run.spelled, one.kind)
        for number, (its_runs, matches) in enumerate(zip(runs, found, strict=True))
        for run in its_runs
        for one in matches
        if one.end == run.end and run.tokens >= _SHORTEST_UNASKED
    ]
    said.extend(
        (number.pieces[-1].line, number.digits, number.kind)
        for number in reading.numbers
        if len(number.digits) >= _SHORTEST_UNASKED
    )
    known = {spelled: kind for _, spelled, kind in said if len(spelled) > _SHORTEST_UNASKED}
    for number, (line, its_runs, matches) in enumerate(zip(lines, runs, found, strict=True)):
        for run in its_runs:
            kind = known.get(run.spelled) or _kind_repeated(run, number, said)
            if kind is not None and not _is_other(line.text, run, personal=False):
                matches.append(PiiMatch(kind, run.start, run.end, 0.6))
    return found


def _kind_repeated(run: _Run, number: int, said: Sequence[tuple[int, str, FoundKind]]) -> FoundKind | None:
    """Of what was just said, if its first or last digits are said again: 七七零四, 在三号货架."""
    if run.tokens < _SHORTEST_UNASKED:
        return None
    near = ((spelled, kind) for line, spelled, kind in said if line != number and abs(number - line) <= _AT_MOST_BACK)
    return next(
        (kind for spelled, kind in near if spelled.startswith(run.spelled) or spelled.endswith(run.spelled)), None
    )


def _in_line(
    lines: Sequence[Line], reading: NumbersSaid, number: int, all_runs: Sequence[Sequence[_Run]]
) -> Iterator[PiiMatch]:
    line, runs = lines[number], all_runs[number]
    if not runs:
        return
    asked = _asked(lines, number)
    others = _waits_for_other(reading, number, all_runs) and not (
        asked in _OF_PERSONS or (asked and _PERSONAL.search(lines[number - 1].text))
    )
    if others:
        asked = None
    named = [one.end for one in reading.named[number] if one.topic == OTHER_NUMBER]
    personal = _PERSONAL.search(line.text) is not None
    confirms = _CONFIRMS.search(line.text) is not None
    corrects = _CORRECTS.search(line.text) is not None
    around = len(_LETTERS.findall(line.text))
    before = next((one.kind for one in reading.numbers if one.pieces[-1].line == number - 1), None)
    told: FoundKind | None = None
    last = 0
    for place, run in enumerate(runs):
        plate = _plate(line.text, run)
        if plate is not None:
            last = run.end
            yield plate
            continue
        if _SHELF.search(line.text[run.start : run.end]):
            last = run.end
            yield PiiMatch("code", run.start, run.end, 0.6)
            continue
        here = _last_kind(_TELLS, line.text, max(last, run.start - _TOLD_BEFORE), run.start)
        last_end = runs[place - 1].end if place else 0
        is_named_other = any(last_end <= end <= run.start or 0 <= run.start - end <= _TOLD_BEFORE for end in named)
        is_of_others = not personal and ((others and here not in _OF_PERSONS - {"resident_id"}) or is_named_other)
        if _is_other(line.text, run, personal=personal) or (is_of_others and _MOBILE.search(run.spelled) is None):
            last = run.end
            continue
        told = here or (told if corrects or (last and run.start - last <= _TOLD_BEFORE) else None)
        last = run.end
        kind = _kind(line, run, asked=asked, told=told, confirms=confirms or corrects, around=around)
        if kind is None and told is not None and corrects and run.strict > 1:
            kind = told
        if kind is None and corrects and before and run.is_digits and run.strict >= _SHORTEST:
            kind = before  # who corrects a number that was read back says only a part of it
        if kind is not None:
            told = kind
            yield PiiMatch(kind, run.start, run.end, 0.6)
        elif _is_said_for_its_digits(line.text, run):
            yield PiiMatch("code", run.start, run.end, UNNAMED)


def _waits_for_other(reading: NumbersSaid, number: int, runs: Sequence[Sequence[_Run]]) -> bool:
    """Whether the number of an order or the like was asked for, and not said at once (您的订单尾号三三幺零)."""
    if OTHER_NUMBER not in reading.asked[number]:
        return False
    for back in range(number - 1, -1, -1):
        ends = [one.end for one in reading.named[back] if one.topic == OTHER_NUMBER]
        if ends:
            return all(run.start < ends[-1] for run in runs[back])
    return True


def _kind(
    line: Line, run: _Run, *, asked: FoundKind | None, told: FoundKind | None, confirms: bool, around: int
) -> FoundKind | None:
    """What the run is taken for; `around` is how many Chinese letters the whole line holds."""
    if _PASSPORT.fullmatch(run.spelled):
        return "passport"
    if run.is_digits:
        shape = kind_unasked(run.spelled, other_number_asked=False)
        if shape is not None:
            return shape.kind
        if _MOBILE.search(run.spelled):
            return "mobile"
        if _CARD.match(run.spelled):
            return "bank_card"
    letters = around - len(_LETTERS.findall(line.text, run.start, run.end))
    if letters <= _SHORTEST and run.tokens > 1 and _GO_ON.match(line.text, run.end):
        return "code"
    if asked is None and told is None and letters <= _SHORTEST and run.strict > _SHORTEST_UNASKED:
        return "code"
    alone = run.start <= _TOLD_BEFORE
    if run.strict < 2 and (asked is None or letters > _SHORTEST or run.tokens < 2):
        return None
    if asked is not None and run.tokens >= (_SHORTEST - 1 if alone else _SHORTEST):
        return asked
    if run.tokens < _SHORTEST_UNASKED - (told == "code"):
        return None
    if told is not None:
        return told
    if _CODE_AFTER.match(line.text, run.end):
        return "code"
    return "code" if confirms else None


_DIALLED = re.compile(r"(?:按|拨|区号)[^,。?]{0,5}$")


def _is_said_for_its_digits(text: str, run: _Run) -> bool:
    """Whether digits that nobody spoke of are a number of somebody's all the same: what is said digit by digit, and is
    no amount, date or number of an order by its words, is hardly anything else. People also count, and round."""
    if not run.is_digits or run.strict < _SHORTEST_UNASKED or run.spelled.endswith("00"):
        return False
    counts = all(int(after) - int(before) == 1 for before, after in pairwise(run.spelled))
    is_of_a_switchboard = any(one.search(text, max(0, run.start - 8), run.start) for one in (_EXTENSION, _DIALLED))
    spoken = text[run.start : run.end]
    weighs = "两" in spoken and _BY_RADIO.fullmatch(spoken) is None
    return not (counts or weighs or is_of_a_switchboard)


def _asked(lines: Sequence[Line], number: int) -> FoundKind | None:
    """What the other side has just asked for, if that is a secret or a number of a person."""
    role = lines[number].role
    for back in range(number - 1, max(-1, number - 1 - _AT_MOST_BACK), -1):
        if lines[back].role == role:
            continue
        if lines[number].start_ms - lines[back].end_ms > PATIENCE_MS:
            return None
        if _OTHER.search(lines[back].text) or _WARNS.search(lines[back].text):
            return None
        kind = _last_kind(_ASKS, lines[back].text, 0, len(lines[back].text))
        if kind is not None or len(lines[back].text) > _SHORTEST:
            return kind
    return None


def _last_kind(pattern: re.Pattern[str], text: str, start: int, end: int) -> FoundKind | None:
    found: FoundKind | None = None
    for match in pattern.finditer(text, start, end):
        found = match.lastgroup  # type: ignore[assignment]  # the groups are the kinds
    return found


def _plate(text: str, run: _Run) -> PiiMatch | None:
    """The plate that the letters and digits are, with a letter that sounds like its province: 脏e7d894."""
    place = run.start - 1
    while place > 0 and text[place] in " ,·":
        place -= 1
    if place < 0 or _PLATE.fullmatch(run.spelled) is None:
        return None
    if text[place] in _NO_PROVINCE:
        return None
    return PiiMatch("plate", place, run.end, 0.6) if _PROVINCES & set(syllables().get(text[place], ())) else None


def _is_other(text: str, run: _Run, *, personal: bool) -> bool:
    if (
        run.spelled in _NO_SERVICE
        or (not run.is_digits and PRODUCT.match(run.spelled))
        or FLIGHT.fullmatch(run.spelled)
        or (not run.is_digits and OF_A_JOURNEY.search(text, max(0, run.start - 10), run.start))
        or (run.tokens < _LONGER_THAN_AMOUNTS and AMOUNT_BEFORE.search(text, max(0, run.start - 10), run.start))
    ):
        return True
    if run.is_digits and (is_service_number(run.spelled) or _are_hotlines(run.spelled)):
        return True
    if HOTLINE_WANTED.match(text, run.start):
        return True
    if _OTHER_AFTER.match(text, run.end):
        return True
    return not personal and _OTHER_BEFORE.search(text, max(0, run.start - 16), run.start) is not None


def _are_hotlines(digits: str) -> bool:
    """Whether these are numbers that everybody knows, one or two after each other."""
    return all(map(is_public_service_number, (digits[:5], digits[5:]) if digits[5:] else (digits,)))


def _runs(text: str) -> Iterator[_Run]:
    """Digits and letters in a row that are no amount and no date."""
    free = without_quantities(text)
    for match in _RUN.finditer(free):
        start, end = match.span()
        leading = _LEADING.match(free, start, end)
        if leading:
            start = leading.end()
        trailing = _TRAILING.search(free, max(start, end - _LONGEST_TRAILING), end)
        if trailing:
            end = trailing.start()
        spoken = free[start:end]
        strict, alike = len(_DIGIT.findall(spoken)), len(_ALIKE.findall(spoken))
        if _BY_RADIO.fullmatch(spoken):
            strict, alike = len(spoken), 0
        row = _ALL_HEARD_AS_WORDS.search(free, *match.span()) if _ALIKE.search(match[0]) else None
        if row and _DIGIT.search(row[0]) and len(row[0]) > end - start:
            yield _Run(*row.span(), _spell(row[0]), len(row[0]))
        elif strict and strict >= alike:
            yield _Run(start, end, _spell(spoken), strict)


_SPELLING = re.compile(
    rf"(?:(?P<times>[两俩二三四五六七八九2-9])个|双|俩)(?P<repeated>[{_STRICT}])|(?P<one>[{_STRICT}{_SOFT}])|(?P<ten>十)|(?P<word>艾弗|艾尺|[艾埃]克斯)|(?P<letter>[a-z])"
)


def _spell(spoken: str) -> str:
    spelled = ""
    for token in _SPELLING.finditer(spoken):
        if token["repeated"]:
            times = _VALUE_OF.get(token["times"] or "俩", "2")
            spelled += _VALUE_OF[token["repeated"]] * int(times)
        elif token["one"]:
            spelled += _VALUE_OF[token["one"]]
        elif token["word"]:
            spelled += {"弗": "f", "尺": "h"}.get(token["word"][1], "x")
        else:
            spelled += "1" if token["ten"] else token["letter"]
    return spelled
