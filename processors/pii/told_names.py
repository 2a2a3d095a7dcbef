"""Names that need no known surname: what answers the question for one, follows a word for it, or spells it.

岩温罕 answers 乘机人, 其其格 follows 户名, and 曹操的曹国家的国 tells letters: who asks or says so speaks of a name.
"""

import re
from collections.abc import Iterator, Sequence

from processors.pii.conversation import Line
from processors.pii.learned_names import load_names
from processors.pii.letters_of_names import DOUBLE_SURNAMES, SINGLE_SURNAMES
from processors.pii.match import PiiMatch

_H = "[一-鿿]"
_SURNAME = rf"(?:{'|'.join(sorted(DOUBLE_SURNAMES))}|[朴爨{''.join(sorted(SINGLE_SURNAMES))}])"
_WHO = (
    r"(?:[姓性]名|名字|乘机人|预[订定]人|[入替代]住?[住订]人|收件人|收货人|机主|户主|就诊人|推荐人|投保人|开户人|持卡人|联系人|领款人|监护人|患者|伤者|户名"
    r"|抬头|法人|房东|司机|家政人员|申请人|被保险?人|受益人|家属|学生|车主|持有人|经办人|签[收字]人|寄件人|租客|业主|房主|担保人|借款人|陪护人|宝宝|考生|病人"
    r"|报名人|参保人|旅客|客人|死者|事主|保姆|月嫂|阿姨|教练|孩子)"
)
_ASKS = re.compile(
    rf"{_WHO}(?:和?税号|和?电话|全称|登?记?的?是|怎么写|怎么拼|有吗|叫什么|是谁|叫|呢)?[\s,?]*$"
    r"|名字中间|怎么称呼|贵姓[\s?]*$|找谁|叫(?:什么|啥)(?:名字?)?[\s?]*$|[姓性]名[和跟、及].{2,6}$|写什么字|哪几个字|拆.{0,2}字"
    r"|[您你](?:是)?哪位|谁的名字|全名(?:[和跟、及].{2,8})?[\s,?]*$|名字.{0,12}(?:再说|说一|报(?!销)|一遍)|[姓性]名.{0,3}电话|请报[姓性]名|(?:是|有)哪两位|您几位"
)
_LEAD = re.compile(
    r"(?:嗯|呃|额|哦|啊|哎|喂|那个|就是|好的?|对|有|要的?[\s,]|您好|你好|个人的|我[叫教较觉]|我是|叫|写|姓名|名字|[姓性]|的|是|藏族|两位|[,、.。…:\s])*"
)
_PLAIN_LETTER = (
    r"(?![的了吗呢吧我你您他她它这那哪谁啥么不没什请问好会想说给让找"
    r"查帮个些位为在把被跟还就都又很太只或但因所以])[一-鿿]"
)
_NAME = rf"(?:{_PLAIN_LETTER}){{2,6}}?"
_STOP = (
    r"(?=$|[^一-鿿]|的|生日|收|吧|呗|呢|啊|呀|吗|和|跟|与|他|她|我|您|是|就|打|来|金额|对|身份|证件|手机|电话"
    r"|[零一二三四五六七八九幺]{3})"
)
_TELLS_NAME = re.compile("我[叫教较觉]$")
"""What stands before a name that is asked for, and what a recogniser makes of it."""
_REPLY = re.compile(
    rf"(?P<name>(?![能要行])(?:{_PLAIN_LETTER}){{2,8}}?){_STOP}(?:[和跟与、](?P<second>(?:{_PLAIN_LETTER}){{2,4}}?)(?=$|[^一-鿿]))?"
)
_BEHIND = re.compile(rf"后面[是\s]?(?P<name>{_H}{{1,4}})$")
"""The rest of a name: 乌运,后面其其格."""
_FOLLOWS = re.compile(
    rf"(?:(?<!用)户名|性名|(?:藏|蒙古|维吾尔|傣|彝|回|壮|满|苗|哈萨克|景颇|朝鲜)族[\s,]|(?:房东|司机|阿姨|挂[\s,]?)叫|我姓.{{1,4}}[\s,]叫|叫我(?=.{{2,4}}就行)|推荐人填?|登记的?[是成为]|留的是|领款人|监护人签字是?|乘机人|预订人|证人有|还有一个|合租的还有|束花送"
    r"|复姓|单名|偶系|打成|名字打错了[\s,]?|跟您说的|个人的[\s,]?写|户口本上.{1,4}人[\s,]?"
    r"|[一二三四五六]班的|两位[\s,])[\s,:]?"
    rf"(?P<name>{_NAME})(?=$|[^一-鿿]|的|了|吗|对|都|没|合租|房子|吧|啦|呀|啊|就行|打|和|他|您|金额|给|不一致|接|一[直个])"
    r"(?:(?:[,、\s]|[和跟])(?:还有)?(?P<second>(?:"
    rf"{_SURNAME}(?:{_PLAIN_LETTER}){{1,2}}?))(?=$|[^一-鿿]|都|的))?"
)
_MAY_FOLLOW = re.compile(
    r"(?:投保人|申请人|被保险?人|受益人|车主|业主|租客|担保人|借款人|考生|联系人|签收人|寄件人|收件人|经办人|家属|(?:改|过户|转|寄|送|发|留)[成给到]"
    r"|(?<!用户)[姓性]名|(?<!用户)房东叫?|司机叫?|(?<=是)姓|(?:阿姨|孩子|师傅|同事|他|她|挂|人)[\s,]?叫|后面|是我[\s,])[\s,:]?"
    rf"(?P<name>{_NAME})(?=$|[^一-鿿]|的|了|吗|对|都|合租|房子|吧|啦|呀|啊|就行|打|和|他|您|给|接|一[直个])"
)
"""The same where anything may follow: then its letters must be rarely heard together."""
_SURE = re.compile(
    rf"(?:^|(?<=[\s,。?]))(?:哎|喂|侬好[\s,]?|[您你]好[\s,]?|老同学[\s,]?)?(?:是|我是?|找)?(?P<name>{_SURNAME}(?:{_PLAIN_LETTER}){{1,2}}?)"
    r"(?=吗[?？]?我是|是您(?:父亲|母亲|爱人|丈夫|妻子|孩子|家属|家人|本人)|呀|啊[\s,]听|是您|呗|呢[?？,]让)"
    rf"|(?:^|(?<=[\s,。?]))(?P<kin>(?:{_PLAIN_LETTER}){{2,5}}?)(?=是[您你](?:父亲|母亲|爱人|丈夫|妻子|孩子|家属|家人))"
    rf"|(?:帮我?查[一下]*|通知[\s,]?)(?P<looked>{_SURNAME}(?:{_PLAIN_LETTER}){{1,2}}?)(?=的|[\s,]?[您你])"
    rf"|(?:是|用|叫|填|写)(?P<spelled>{_SURNAME}(?:{_PLAIN_LETTER}){{1,2}})(?=的(?:全拼|拼音|首字母|缩写))"
    rf"|我(?P<self>{_SURNAME}(?:{_PLAIN_LETTER}){{1,2}}?)(?=[啊呀][\s,]?(?:听|$)|呀$)"
)
_DIGITS = "零一二三四五六七八九幺"
_NO_NAME = re.compile(
    r"先生|女士|小姐|老师|师傅|阿姨|大[哥姐爷妈]|经理|主任|教授|医生|律师|科长|^[老小].$|^.[总工哥姐]$|快递|外卖|地址|知道|电话|手机|号码|名字|姓名|身份|银行|公司|单位"
    r"|本人|自己|朋友|家人|老公|老婆|孩子|妈妈|爸爸|爷爷|奶奶|爱人|谢谢|没有|对的|稍等|马上|系统|今天|明天|昨天|现在|时候|成功|失败|已经|可以|客服|贵姓|中国|北京|上海"
    r"|订单|发票|微信|支付|密码|验证|证件|护照|办理|咨询|投诉|退款|人工|东西|快乐|医院|学校|网点|保险|贷款|蛋糕|一下|一样|一直|怎么|多少|为止|日期|错误|信息|全拼"
    r"|小写|大写|工号|血压|申诉|资料|儿子|女儿|机主|红包|原来|可能|要得|一次|管家|^[零一二三四五六七八九十百千万几两]+$|同学|医保|社保|门口|楼下|这边|那边|安全|记录|实名|备注|免打扰|其他|以前|之前|后来|上面|下面|里面|收到"
)
_ONE_LETTER = re.compile(
    r"(?:([一-鿿])[一-鿿]{1,2}的\1|[一-鿿]{1,2}([一-鿿])的\2|女字旁那?个?[一-鿿]|草字头[一-鿿]|弓长张|立早章|木子李|耳东陈|口天吴|草头黄|言午许|古月胡|双木林|禾火秋"
    r"|文刀刘|走肖赵|[一-鿿]{2,3}的[一-鿿](?=$|[\s,、]|[一-鿿]{1,3}的))"
)
_BETWEEN_LETTERS = re.compile(r"(?:[\s,、.。]|呃|嗯|哦|啊|然后|后头的?|后面的?|名是|再来)*")
_RADICALS = re.compile(rf"(?:我姓|姓是|头一个字)(?P<name>(?:{_PLAIN_LETTER}){{3}})(?=$|[^一-鿿])")
_ASKS_FOR_LETTERS = re.compile(r"拆.{0,3}字|拆一下|哪几个字|怎么写|[登记]记?的?[是成]|名字")
_BACK_MS = 120_000
_RARE, _RARE_WITH_SURNAME = 1, 2
_MOST_LETTERS_AFTER = 2
_LETTER_ITSELF = 2


def find_told_names(lines: Sequence[Line]) -> list[list[PiiMatch]]:
    """Names in each line by what is asked and said right before them."""
    return [list(_in_line(lines, number)) for number in range(len(lines))]


def _in_line(lines: Sequence[Line], number: int) -> Iterator[PiiMatch]:
    line = lines[number]
    asked = _other_said(lines, number)
    if _ASKS.search(asked) is not None:
        yield from _reply(line.text)
        behind = _BEHIND.search(line.text)
        if behind:
            yield PiiMatch("name", *behind.span("name"), 0.6)
    for pattern, rarely in ((_FOLLOWS, False), (_MAY_FOLLOW, True), (_SURE, False), (_RADICALS, False)):
        for match in pattern.finditer(line.text):
            for group, found in match.groupdict().items():
                if found and not _NO_NAME.search(found) and (not (rarely or group == "kin") or _is_rare(found)):
                    yield PiiMatch("name", match.start(group), match.end(group), 0.6)
    yield from _letters(line.text, asked=_ASKS_FOR_LETTERS.search(asked) is not None)


def _other_said(lines: Sequence[Line], number: int) -> str:
    """What the other side has said right before, or nothing."""
    if not number or lines[number - 1].role == lines[number].role:
        return ""
    before = lines[number - 1]
    return before.text if lines[number].start_ms - before.end_ms <= _BACK_MS else ""


def _reply(text: str) -> Iterator[PiiMatch]:
    lead = _LEAD.match(text)
    match = _REPLY.match(text, lead.end() if lead else 0)
    if match is None:
        return
    is_told = lead is not None and _TELLS_NAME.search(lead[0]) is not None
    joined = _is_han(text[match.end() : match.end() + 1]) and text[match.end()] not in _DIGITS
    rest = sum(map(_is_han, text[match.end() :])) if joined and not is_told else 0
    for group in ("name", "second"):
        if match[group] and rest > _MOST_LETTERS_AFTER and not _is_rare(match[group]):
            continue
        if match[group] and not _NO_NAME.search(match[group]):
            yield PiiMatch("name", match.start(group), match.end(group), 0.6)


def _is_rare(name: str) -> bool:
    """Whether letters are rarely heard together; with a surname they may be a little more common."""
    return load_names().commonest_pair(name) <= (_RARE_WITH_SURNAME if re.match(_SURNAME, name) else _RARE)


def _is_han(letter: str) -> bool:
    return "一" <= letter <= "鿿"


def _weight(match: re.Match[str]) -> int:
    """How surely a letter is told: 曹操的曹 more than 国家的果, which may be anything."""
    told, of, letter = match[0].partition("的")
    return 1 if of and letter not in told else _LETTER_ITSELF


def _letters(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """From the first letter that is told to the last, if there are two, or one is what somebody asked for."""
    start, end, told = 0, 0, 0
    for match in _ONE_LETTER.finditer(text):
        if told and _BETWEEN_LETTERS.fullmatch(text, end, match.start()):
            end, told = match.end(), told + _weight(match)
            continue
        if told > _LETTER_ITSELF or (asked and told == _LETTER_ITSELF):
            yield PiiMatch("name", start, end, 0.6)
        start, end, told = match.start(), match.end(), _weight(match)
    if told > _LETTER_ITSELF or (asked and told == _LETTER_ITSELF):
        yield PiiMatch("name", start, end, 0.6)
