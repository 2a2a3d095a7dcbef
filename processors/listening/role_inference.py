"""Which of two speakers is the agent, judging by what they say, and whether that contradicts what was told."""

import re
from collections.abc import Sequence
from math import sqrt
from typing import Literal

from processors.listening.role_model import load_roles
from processors.text.normalized_text import normalize
from schemas.messages.call_ended import Role

CallDirection = Literal["inbound", "outbound"]

# What only one side says. Each pattern counts once for a speaker, however often it occurs.
_AGENT = (
    (3, r"(有什么|什么)(可以|能|需要)?(帮|帮到|帮助|协助)(到)?[您你]|很高兴为[您你]服务|为[您你]服务"),
    (3, r"通话.{0,6}录音|服务质量|工号"),
    (
        3,
        r"(这里|这边|我这边)是.{0,12}(中心|客服|公司|银行|平台|部门|热线|专员|顾问)|我是[您你]的.{0,8}(顾问|经理|专员|老师)",
    ),
    (3, r"还有(什么)?其他.{0,8}(帮|需要|问题)|感谢[您你]的?(来电|致电|接听)|祝[您你]"),
    (
        2,
        r"(请|麻烦)[您你]?(提供|稍等|核对|核实|保持)|帮[您你](查|处理|登记|申请|升级|催|联系|核实|转)|[您你]久等|(先生|女士)您好",
    ),
    (2, r"(给|为|向)[您你](推荐|介绍|办理|登记|升级|查询)|非常抱歉|给[您你]带来"),
    (2, r"(how (may|can) i help|thank you for calling|this call (is|may be) recorded)"),
)
_CUSTOMER = (
    (3, r"我(想|要)(问|咨询|了解|退|投诉|挂失|查|换|取消|改|报)|我要打(一二三一五|12315)"),
    (2, r"你们(的|家|公司|那|这|必须|今天|怎么|能不能|还|是不是)?"),
    (2, r"我的(订单|快递|银行卡|卡|包裹|账户|手机|电话|退款|钱|课)|我(下|买|报名|提交|收到)(了|的)"),
    (2, r"^\W*喂"),
    (1, r"谢谢(你|您)?[啊了]?\W*$"),
)


_POLITE = "您"
_MOST_POLITE = 5
"""Who says 您 more often is the agent: each time more counts 1, up to so many."""

OF_PATTERNS = 0.5
"""What a point of theirs counts, where no Chinese is said."""
ENOUGH_LETTERS = 120
"""So many Chinese letters of both speakers, and patterns count no more: of fewer the model is too sure."""
_CHINESE = re.compile("[\u4e00-\u9fff]")

UNSURE = 0.5
"""Below so much, as the logarithm of the odds, words do not tell who is the agent."""

LEAST_CONTRADICTION = 2.0
"""From so much on, what is said contradicts the roles (docs/accuracy.md)."""


def infer_roles(texts: Sequence[str], first_speaker: int | None, direction: CallDirection) -> tuple[Role, Role] | None:
    """The roles of two channels; None where nothing tells them apart.

    `texts` is all that was said on each; `first_speaker` the channel that spoke first, None unless both spoke. What is
    said decides; where it does not, who answers the call speaks first: the agent of an inbound call, the customer of an
    outbound one.
    """
    lead = lead_of_first(texts)
    if abs(lead) >= UNSURE:
        agent = 0 if lead > 0 else 1
    elif first_speaker is not None:
        agent = first_speaker if direction == "inbound" else 1 - first_speaker
    else:
        return None
    return ("agent", "customer") if agent == 0 else ("customer", "agent")


def lead_of_first(texts: Sequence[str]) -> float:
    """By how much the first of two speakers sounds more like the agent than the second, as the logarithm of the odds: 0
    where nothing tells. Exchanged, they have the opposite sign.

    `texts` is all that each of them said. The less Chinese was said, the more certain turns of phrase count beside the
    model, of English they alone.
    """
    first, second = texts
    share = min(1.0, sqrt(len(_CHINESE.findall(first + second)) / ENOUGH_LETTERS))
    by_patterns = _lead_by_patterns(first, second) if share < 1 else 0
    read = load_roles().lead_of_first(normalize(first).letters, normalize(second).letters) if share else 0.0
    return share * read + (1 - share) * OF_PATTERNS * by_patterns


def _lead_by_patterns(first: str, second: str) -> int:
    lead = (_score(_AGENT, first) - _score(_CUSTOMER, first)) - (_score(_AGENT, second) - _score(_CUSTOMER, second))
    more_polite = first.count(_POLITE) - second.count(_POLITE)
    return lead + max(-_MOST_POLITE, min(more_polite, _MOST_POLITE))


def _score(patterns: Sequence[tuple[int, str]], text: str) -> int:
    return sum(weight for weight, pattern in patterns if re.search(pattern, text, re.IGNORECASE))


def contradicts(agent: str, customer: str) -> bool:
    """Whether these words of the two sides are rather those of the other one."""
    return lead_of_first((agent, customer)) <= -LEAST_CONTRADICTION
