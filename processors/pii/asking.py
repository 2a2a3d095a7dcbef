"""What is talked about: "请您提供一下银行卡号", "我的手机号是", but also "订单号是多少", after which digits stay."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from processors.text.back_channel import BACK_CHANNEL_WORDS
from schemas.messages.pii import PiiKind

OTHER_NUMBER: Literal["other_number"] = "other_number"
"""A number that is no personal one: an order, a parcel, an employee, a policy, a product."""

AskedFor = PiiKind | Literal["other_number"]

_NUMBER_WORD = (
    r"(?:号码?|好码|后[四6六]?[位为维]|[后末尾][四4]|尾号|末[四4]位|后几位|前[几四六]位|多少|报(?![失警销名修案])|念|提供"
    r"|说一下|告诉|输入|核[实对])"
)
_SAID = r"(?:[是:为事]|多少|报(?![失警销名修案])|念|提供|留|说|告诉|填|写|发|给我|核[实对]|输入|[?？]|$)"

_TOPICS: tuple[tuple[AskedFor, str], ...] = (
    (
        OTHER_NUMBER,
        r"(?:订单|定单|运单|快递单|物流单|包裹单|单据|保单|合同|发票|流水|交易|工单|受理|案件|客诉|投诉|回执|取件|提货|产品|商品|货|型|序列|批|座位"
        r"|航班|车次|房间|课程|学|考|准考证|报名|会员卡?|积分卡?|礼品卡|购物卡|优惠券|兑换|邀请|激活|验证|工|公|坐席|分机|门店|柜台|排队|备案|条形|条|邮政|邮)"
        r"(?:编?号码?|编码|单号|码|的?后[四六]?[位为维]|的?尾号)|单号|编号|订单(?=[是:的后])|运单(?=[是:的后])|(?<!区)邮编|代码|型号",
    ),
    (
        "bank_card",
        rf"(?:银行卡?|信用卡|储蓄卡|借记卡|工资卡|绑定的?卡|您的卡|我的卡|这张卡|那张卡|卡片).{{0,10}}?{_NUMBER_WORD}"
        r"|[卡账帐](?:的)?(?:号|好(?=[是?？:。,]|$)|后[四六]位|尾号|末[四4]位|后[四4])|尾号|安全码|卡背面|cvv",
    ),
    (
        "resident_id",
        rf"身[份分](?:[证正政症]件?).{{0,10}}?{_NUMBER_WORD}|证件号|身[份分][证正政]号|身[份分][证正政](?=[是:0-9])",
    ),
    (
        "mobile",
        rf"(?:手机(?!型|壳|银行|应用|卡)|电话|联系|来电|预留|绑定的?)(?:的)?(?:号|好码|号码|方式|好吗(?=是))|(?:手机(?!型|壳|银行|应用|app|软件|卡)|电话).{{0,6}}?{_SAID}"
        r"|留.{0,4}(?:电话|手机|号码|联系方式)|(?:电话|手机)(?=[0-9一幺])|(?:您|你|我|他|她|换|这)(?:的|个)?号码",
    ),
    ("fixed_phone", r"座机|固定?电话|固话|区号|家里?电话|办公室?电话|单位电话|分机"),
    (
        "name",
        rf"(?<!免)贵姓|怎么称呼|姓名(?=[,、和跟及])|(?:姓名|名字|户名|收件人|联系人|称呼|开户人|持卡人).{{0,6}}?{_SAID}|叫什么|全名|尊姓|姓什么|[您你]是哪位|称呼您",
    ),
    (
        "address",
        rf"(?:地址|住址|位置).{{0,8}}?(?:{_SAID}|哪|在)|(?:地址|住址)(?=[,、和跟及])|住(?:在)?(?:哪|什么地方)|(?:寄|送|发|邮)到(?:哪|什么)|哪个小区|住哪|家在哪|门牌号",
    ),
    ("email", r"邮箱|邮件地址|电子邮件|e-?mail|邮件发到|伊妹儿"),
    ("plate", r"车牌|车号|[您你我]的?车是"),
    ("passport", r"护照|通行证|台胞证|回乡证"),
)
_TOPIC = re.compile("|".join(f"(?P<{topic}>{pattern})" for topic, pattern in _TOPICS))
_NOT_ASKED = re.compile(
    r"(?:不需要|不用|无需|不必|不要|请勿|切勿|别|不会|不能|没有|没带|不方便|忘记?了|换了|改)[^,。?？!]{0,12}$|(?:任何人|泄露|透露)[^。?？!]{0,12}$"
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
