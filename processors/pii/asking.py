"""What is talked about: "请您提供一下银行卡号", "我的手机号是", but also "订单号是多少", after which digits stay."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from processors.pii.match import FoundKind
from processors.text.back_channel import BACK_CHANNEL_WORDS

OTHER_NUMBER: Literal["other_number"] = "other_number"
"""A number that is no personal one: an order, a parcel, an employee, a policy, a product."""

AskedFor = FoundKind | Literal["other_number"]

_DIGIT = "[0-9零〇一二三四五六七八九幺]"
_NUMBER_WORD = (
    r"(?:号码?|好码|[后末尾]上?[四6六][位为维]|[后末尾前][面头边]?(?:的|还有)?[两二三四五六八几]个?[位数]|[后末尾][四4]|尾号|多少"
    r"|报(?![失警销名修案])|念|提供|说一|告诉|输入|核[实对])"
)
_SAID = r"(?:[是:为事]|多少|报(?![失警销名修案])|念|提供|留|说|告诉|填|写|发|给我|核[实对]|输入|[?？]|$)"
_AND = r"(?=[,、和跟及加与还呢。?\s]|$)"
_FEW = r"(?<![后末尾前])(?<!最后)[四五六4-6]"
_PART = r"(?:后|末|尾上?|最后|前)[面头]?(?:的|还有)?[两二三四五六八几246]个?(?:位|数)"

# What tells a topic looks ahead to the word that asks, so that 姓名、身份证号说一下 is two of them.
_TOPICS: tuple[tuple[AskedFor, str], ...] = (
    (
        OTHER_NUMBER,
        r"(?:订单|定单|运单|快递单|物流单|包裹单|单据|保单|合同|发票|流水|交易|工单|受理|案件|客诉|投诉|回执|产品|商品|货|型|序列|批|座位|预约|挂号"
        r"|航班|车次|房间|课程|学|考|准考证|报名|会员卡?|积分卡?|礼品卡|购物卡|优惠券|兑换|邀请|激活|工|公|坐席|分机|门店|柜台|排队|备案|条形|条|邮政|邮)"
        r"(?:编?号码?|编码|单号|码|的?后[四六]?[位为维]|的?尾[号数])|单号|编号|订单(?=[是:的后])|运单(?=[是:的后])|(?<!区)邮编|代码|型号|分机"
        r"|版本号?(?=是)|持有(?=\d)|(?:收据|处方|票|会议|登记|申请|报修|取)号(?!码?头)"
        rf"|(?:快递|工|运|订|定)单(?=\s?(?:[a-z]{{1,4}}\s?)?{_DIGIT}{{3}})|准考证(?={_DIGIT})"
        rf"|(?:客服|坐席|话务员|专员|柜员)(?={_DIGIT})",
    ),
    (
        "code",
        r"[验检][证正政]码|校验码|动态[密口]?[码令]|短信码|确认码|授权码|识别码|取件码|提货码|收货码|核销码|提取码|一次性(?:密码|口令)|短信口令"
        r"|[收发来到念报][了过个一]{0,3}[个串条]?码(?![头率表字])|[那这]个?码(?![头率表字])|码.{0,3}(?:念|报|告诉)"
        rf"|验证短信|短信(?=[^。?]{{0,14}}(?:{_DIGIT}{{3}}|念|报给|报一|告诉|[四五六4-6][位个]|[一这那]串|数字|码))"
        rf"|{_FEW}位(?:数(?!据|的)字?|码)|{_FEW}位(?:的)?(?:数字?|码)?(?=[^。?]{{0,8}}(?:念|报(?![失警销名修案])|告诉|发(?:给)?我|说|读))"
        rf"|看(?:一[眼下]|下|看)?.{{0,3}}短信|几个数字|{_FEW}个数[字儿]?(?!据)|[那这一]一?[串组个]数字|数字.{{0,4}}(?:念|报|读|告诉|给我)",
    ),
    (
        "password",
        rf"[密蜜秘][码马]|口令|开机码|门锁码|pin码?(?![a-z])|设(?:了?一?个|成|为|置成|的是)(?=[,\\s]{{0,2}}(?:[a-z]|{_DIGIT}{{3}}))",
    ),
    (
        "account",
        r"用户名|登[录陆](?:名|号|账号|帐号)|户号|客户号|缴费号|微信号?(?=[^,。?]{0,6}?(?:是|多少|叫|:|[a-z0-9_]|留|说))|微信号|(?:加|留)[^,。?]{0,4}(?:微信|扣扣|企鹅)|微信(?=[是:,吧\s]{1,3}[a-z])|扣扣号?|企鹅号|q\s?q号?(?!群)"
        r"|(?:抖音|快手|小红书|微博|支付宝|淘宝|游戏|宽带|资金|基金|公积金|社保|医保|学籍|旺旺)(?:卡|的)?(?:账号|帐号|户号|号码?|id)|[账帐](?:号|户[名号])"
        r"|就诊卡号?|诊疗卡号?|医保卡号?|社保卡号?|病历号|病案号|住院号|门诊号|税号|信用代码|车架号|串号|imei",
    ),
    (
        "bank_card",
        rf"(?:银行卡|信用卡|储蓄卡|借记卡|工资卡|绑定的?卡|您的卡|我的卡|这张卡|那张卡|卡片)(?=[^,。?]{{0,10}}?{_NUMBER_WORD})"
        r"|[卡账帐](?:的)?(?:号|好(?=[是?？:。,]|$)|后[四六]位|尾号|末[四4]位|后[四4])|尾号|安全码|卡背面|cvv|有效期(?=呢|是多少)|拿(?:着)?卡(?=[念报读])",
    ),
    (
        "resident_id",
        rf"身[份分](?:[证正政症]件?)(?=[^,。?]{{0,10}}?{_NUMBER_WORD})|证件号|证号|身[份分][证正政]号|身[份分][证正政](?=[是:,\s]{{0,2}}{_DIGIT})"
        rf"|身[份分][证正政][啊呢吧哈]?{_AND}|(?<![带拿凭刷])身[份分]证(?=[^。?]{{0,10}}?(?:念|报一|报给|说一))|证件(?:上|号)?(?:的)?(?=[^,。?]{{0,4}}?(?:{_PART}|{_DIGIT}{{3}}))"
        r"|(?:核|验|对|确认)(?:实|对|验)?一?下?(?:您|你)?(?:的|本人)?身份(?![证正政])",
    ),
    (
        "mobile",
        rf"(?<![^,。?\s])号码(?=(?:呢|是|多少)?[。?,]?$)|(?:手机(?!型|壳|银行|应用|卡)|电话|联系|来电|预留|绑定的?)(?:的)?(?:号|好码|号码|方式|好吗(?=是))|(?:手机(?!型|壳|银行|应用|app|软件|卡)|电话)(?=.{{0,6}}?{_SAID})"
        rf"|留.{{0,4}}(?:电话|手机|号码|联系方式)|(?:电话|手机|(?<=[港的我你他她个这])号码)(?=[,:是系\s]{{0,2}}{_DIGIT})|(?:联系|打|拨)(?:给?我|他|她)?的?(?=\s?(?:1[3-9]|[幺一][三四五六七八九]))|(?:您|你|我|他|她|换|这)(?:的|个)?号码"
        rf"|(?:手机|电话){_AND}",
    ),
    ("fixed_phone", r"座机|固定?电话|固话|区号|家里?电话|办公室?电话|单位电话"),
    (
        "name",
        r"(?<!免)贵姓|怎么称呼|(?:姓名|名字|户名|收件人?|联系人|称呼|开户人|持卡人|机主|户主|就诊人|患者|投保人|学员)(?=.{0,6}?"
        rf"{_SAID})|(?:姓名|名字|名儿|户名){_AND}|(?:报|说|留|念|核对|记)(?:一?下|个)?[^,。?]{{0,6}}(?:姓名|名字)|(?:姓名|名字)(?=怎么|咋|拼音|写)|叫什么|叫啥|全名|大名|尊姓|姓什么|姓啥|[您你](?:是|那?边是)?哪位|称呼您|[您你]叫$"
        r"|(?:机主|户主|本人|收件人?|联系人)是(?:谁|哪)|写谁|拼音(?=.{0,3}(?:呢|怎么|是|$))|英文名",
    ),
    (
        "address",
        rf"(?:地址|住址|位置)(?=.{{0,8}}?(?:{_SAID}|哪|在))|(?:地址|住址){_AND}|住(?:在)?(?:哪|什么地方|几(?:号|栋|幢|楼|单元|零))|(?:寄|送|发|邮|装)(?:到|在|去|回)?(?:哪|什么地方)"
        r"|哪个小区|小区名|家在哪|门牌号?|房号|几零几|几[栋幢](?:楼|几)?|几号楼|几单元|几楼几|哪[一]?[栋幢]|(?:说|报|给)个地方|什么地方",
    ),
    (
        "email",
        r"邮箱|信箱|收件箱|邮件地址|电子邮件|e-?mail|邮件发到|(?:发|回|用|走|给)[^,。?]{0,3}邮件|伊妹儿|[前后]缀(?!名)",
    ),
    ("plate", r"车牌|[车绿蓝]牌|车排|牌照|(?:哪里|什么|补)的?牌|车号|[您你我]的?车是"),
    ("passport", r"护照|通行证|台胞证|回乡证"),
)
_TOPIC = re.compile("|".join(f"(?P<{topic}>{pattern})" for topic, pattern in _TOPICS))
_NOT_ASKED = re.compile(
    r"(?:不需要|不用|无需|不必|不要|请勿|切勿|别|不会|不能|没有(?!报|说|就)|没带|不方便|忘记?了|换了|改(?!成|为|我))[^,。?？!]{0,12}$|(?:任何人|泄露|透露)[^。?？!]{0,12}$"
)


@dataclass(frozen=True)
class Mention:
    """A topic in characters `start` to `end` of one text."""

    topic: AskedFor
    start: int
    end: int


def mentions(text: str) -> Iterator[Mention]:
    """Every topic of a folded text in order; a refusal to be told (不需要提供卡号) is none."""
    for match in _TOPIC.finditer(text):
        if _NOT_ASKED.search(text, max(0, match.start() - 16), match.start()):
            continue
        topic: AskedFor = next(name for name, _ in _TOPICS if match[name] is not None)
        yield Mention(topic, match.start(), match.end())


_SAY_ON = re.compile(
    rf"[\W_]*(?:(?:{BACK_CHANNEL_WORDS}|您?请?继续|您说|你说|请说|请讲|然后呢|还有呢|接着|后面呢)[\W_]*)*",
    re.IGNORECASE,
)
_CONTINUES = re.compile(
    r"继续|然后呢?|接着|后面|再说|再报|慢[一点些]|没听清|重复|对吗|对吧|是吗|是吧|核对|确认|稍等|等一下|等下|我找|我看|不着急|不急|记下|记一下|几位|少了|多了|听不清"
    r"|前面|最后|看不清|拿一下|找一下|方便"
)
_SUBSTANTIAL_LETTERS = 7
_LETTERS = re.compile(r"[^\W\d_]")


def only_listens(text: str) -> bool:
    """Whether a folded text says nothing, or only that one listens and wants to hear more: 嗯, 好的, 您继续."""
    return _SAY_ON.fullmatch(text) is not None


def moves_on(text: str) -> bool:
    """Whether a folded text is about something else than the number that is being read out."""
    return len(_LETTERS.findall(text)) >= _SUBSTANTIAL_LETTERS and _CONTINUES.search(text) is None
