"""Answers to questions that only the customer can answer: 您预留的口令是什么 – 海阔天空."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.conversation import PATIENCE_MS, Line
from processors.pii.match import PiiMatch

_ASKS = re.compile(
    r"口令|暗[语号]|密[保语]|提示语|密码提示|验证短语|声音密码|自定义问题|(?:安全|提示|保密|预留的?|验证)(?:问题|答案)|预留信息|语音密码"
    r"|(?:注册|当时|开户)[^。?]{0,10}填[了的过][^。?]{0,2}(?:问题|答案)|(?:填|写|问|答)[的了]?(?:是|一个)?[^。?]{0,4}最(?:喜欢|爱)的|第[一二]个?[^。?]{0,4}(?:中学|小学|学校)|母亲的出生地|答案[是两几三四]|第一[只个位所条](?:宠物|老师|学校|小学|手机|车)|出生的?(?:医院|城市|地方)|小学(?:叫|名|是哪)|(?:妈妈?|母亲|爸爸?|父亲|班主任|外婆|奶奶|配偶)的?(?:名字|姓名|全名|叫什么)"
)
_ANSWER = re.compile(
    r"(?:^|[,。!])\s?(?:(?:暗[语号](?:是|就是)?|口令(?:是|就是)?|那就?|嗯+|啊|哦|噢|哎哟?|呃|那个|我想想|我?记得|好像|可能|也许|或者|要么|要不|不然|不对|应该|[我那]?当时|就|我?那会儿)?[,\s]?){0,4}"
    r"(?:(?:我?就?[填写设留][的了过]?)?[是叫]?(?:个)?)(?P<answer>[一-鿿]{2,8}?|[一-鿿]{2,4}\s[一-鿿]{2,4})\s?(?:[两二三四五六]个字)?\s?(?:[吧啊呀哦噢呗嘛]|应该是)?(?=[,。?!]|$)"
)
_NO_ANSWER = re.compile(
    r"[什怎哪谁几吗没忘记知道等好行对是可以问您你我他她它这那有在给说看想要会了过得着就都还也再先后前年日号位数字字母密码口令答案]|(?<=[一二三四五六七八九十个上下这几本\d])月"
    r"|不(?![一-鿿]{3})|^.?的|的.?$|^(?:老师|宠物|学校|小学|中学)$"
)
_LATER = re.compile(r"(?:应该是|改成|不对,?是|是)(?P<answer>[一-鿿]{2,4})(?=[,。?!吧]|$)")
_N = (
    r"(?:[一二三四五六七八九两](?:千[零一二三四五六七八九]?)?百[零〇]?[一二三四五六七八九十]{0,3}"
    r"|[一二三四五六七八九]?十[一二三四五六七八九]?)"
)
_AS_AMOUNTS = re.compile(rf"(?<![一-鿿]){_N}(?:[,、\s]{{1,2}}(?:然后是?|再来个?|和)?{_N}){{1,4}}(?![一-鿿])")
"""Digits of a code said as amounts: 二十三,九十八,一十五."""
_ASKS_FOR_DIGITS = re.compile(r"码(?![头率表])|数字|念|短信|核销|口令|[几四五六]位|屏幕")
_OF_AMOUNTS = re.compile(r"多少钱|价|费|金额|几[个点件斤米]|尺寸|血压|体重|身高")
_ASKS_FOR_A_DAY = re.compile(r"(?:密码|密保|答题|安全问题|验证问题)[^?]{0,24}(?:生日|日期|纪念日|哪一?天)")
_DAY = re.compile(r"(?:[一二三四五六七八九十\d]{1,3}月[初]?[零一二三四五六七八九十\d]{1,3}(?:[号日](?!码))?)")
_CERTAINTY = 0.6
_TURNS = re.compile(
    r"(?:(?:[左右]|[顺逆]时针)(?:边|转|拧|拨)?(?:[一二两三四五六\d]圈)?(?:转?到)?[0-9零一二三四五六七八九十]{1,3}(?!次|分|秒|度)[,、\s]{0,2}(?:再|然后|接着)?[往向]?){2,}"
)
"""How the lock of a safe is turned: 右三十二左十四右五十."""


def find_secret_answers(lines: Sequence[Line]) -> list[list[PiiMatch]]:
    """What the customer answers in each line, where the line before asks such a question, and how a safe is opened."""
    found = [[PiiMatch("password", *one.span(), _CERTAINTY) for one in _TURNS.finditer(line.text)] for line in lines]
    for number in range(1, len(lines)):
        question, line = lines[number - 1], lines[number]
        asked = question.role == "agent" and line.role == "customer" and _ASKS.search(question.text) is not None
        is_other = question.role != line.role and _OF_AMOUNTS.search(question.text + line.text) is None
        if is_other and _ASKS_FOR_DIGITS.search(question.text):
            found[number].extend(PiiMatch("code", *one.span(), _CERTAINTY) for one in _AS_AMOUNTS.finditer(line.text))
        is_soon = line.start_ms - question.end_ms <= PATIENCE_MS
        if question.role == "agent" and line.role == "customer" and is_soon and _ASKS_FOR_A_DAY.search(question.text):
            found[number].extend(PiiMatch("password", *one.span(), _CERTAINTY) for one in _DAY.finditer(line.text))
        if asked and is_soon:
            found[number].extend(_answers(line.text))
    return found


def _answers(text: str) -> Iterator[PiiMatch]:
    for pattern in (_ANSWER, _LATER):
        for match in pattern.finditer(text):
            if _NO_ANSWER.search(match["answer"]) is None:
                yield PiiMatch("password", match.start("answer"), match.end("answer"), _CERTAINTY)
