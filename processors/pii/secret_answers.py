"""Answers to questions that only the customer can answer: 您预留的口令是什么 – 海阔天空."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.conversation import PATIENCE_MS, Line
from processors.pii.match import PiiMatch

_ASKS = re.compile(
    r"口令|暗号|密保|(?:安全|提示|保密|预留的?|验证)(?:问题|答案)|预留信息|语音密码"
    r"|第一[只个位所条](?:宠物|老师|学校|小学|手机|车)|出生的?(?:医院|城市|地方)|小学(?:叫|名|是哪)|(?:妈妈?|母亲|爸爸?|父亲|班主任|外婆|奶奶|配偶)的?(?:名字|姓名|全名|叫什么)"
)
_ANSWER = re.compile(
    r"(?:^|[,。!])\s?(?:(?:嗯+|啊|哦|噢|哎哟?|呃|那个|我想想|我?记得|好像|应该|当时|就)?[,\s]?){0,3}"
    r"(?:(?:我?[填写设留]的?)?[是叫]?(?:个)?)(?P<answer>[一-鿿]{2,6}?)(?:[吧啊呀哦噢呗嘛]|应该是)?(?=[,。?!]|$)"
)
_NO_ANSWER = re.compile(
    r"[什怎哪谁几吗没不忘记知道等好行对是可以问您你我他她它这那有在给说看想要能会了过的得着就都还也再先后前年月日号位数字字母密码口令答案宠物老师学校]"
)
_LATER = re.compile(r"(?:应该是|改成|不对,?是|是)(?P<answer>[一-鿿]{2,4})(?=[,。?!吧]|$)")
_CERTAINTY = 0.6


def find_secret_answers(lines: Sequence[Line]) -> list[list[PiiMatch]]:
    """What the customer answers in each line, where the line before asks such a question."""
    found: list[list[PiiMatch]] = [[] for _ in lines]
    for number in range(1, len(lines)):
        question, line = lines[number - 1], lines[number]
        asked = question.role == "agent" and line.role == "customer" and _ASKS.search(question.text) is not None
        if asked and line.start_ms - question.end_ms <= PATIENCE_MS:
            found[number].extend(_answers(line.text))
    return found


def _answers(text: str) -> Iterator[PiiMatch]:
    for pattern in (_ANSWER, _LATER):
        for match in pattern.finditer(text):
            if _NO_ANSWER.search(match["answer"]) is None:
                yield PiiMatch("password", match.start("answer"), match.end("answer"), _CERTAINTY)
