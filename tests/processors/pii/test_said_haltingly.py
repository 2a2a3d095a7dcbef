"""Plates in pieces, keys of doors, safes, codes said as amounts, and what is sold or only a number of a case."""

import pytest

from processors.pii.masking import MaskSettings, mask
from schemas.messages.call_ended import Role
from tests.processors.transcripts import said
from tests.support.growth import takes_time_in_proportion

Line = tuple[Role, str]


def masked(*lines: Line) -> list[str]:
    return [one.text for one in mask(said(*lines).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("前面好像鲁Q还是鲁L", "前面好像[车牌]还是[车牌]"),
        ("豫A，七七七，八B，不对，是B八，合起来豫A七七七B八", "[车牌]，不对，是[车牌]，合起来[车牌]"),
        ("撞我的车是滇C后面九四", "撞我的车是[车牌]后面[车牌]"),
        ("我买的特斯拉Model Y，京A一二三四五", "我买的特斯拉Model Y，[车牌]"),
        ("渝A牌照多少钱能买", "渝A牌照多少钱能买"),
        ("京A是什么意思啊", "京A是什么意思啊"),
        ("门禁是井号二五八零井号", "门禁是[密码]"),
        ("保险柜是左三圈到十八，右两圈到六十六", "保险柜是[密码]"),
        ("我改的 Aa 幺二三 艾特 井号，记一下", "我改的 [密码]，记一下"),
        ("手机是华为Mate六零对吧", "手机是华为Mate六零对吧"),
        ("您是格力的KFR三五那款对吧", "您是格力的KFR三五那款对吧"),
        ("这边给您立案，案号二零九六三", "这边给您立案，案号二零九六三"),
        ("帮我取消车票，C二八零五，五点那趟", "帮我取消车票，C二八零五，五点那趟"),
    ],
)
def test_what_is_said_without_being_asked(text: str, hidden: str) -> None:
    assert masked(("customer", text)) == [hidden]


@pytest.mark.parametrize(
    ("question", "answer", "hidden"),
    [
        ("您的车牌是多少", "湘A，呃，湘A七Q八二六", "[车牌]，呃，[车牌]"),
        ("请把手机上的数字念给我", "二十三，九十八，一十五", "[验证码]"),
        ("这几个数字是多少钱", "二十三，九十八，一十五", "二十三，九十八，一十五"),
        ("密码提示问题，您最喜欢的球队", "山东鲁能，应该就写的鲁能泰山四个字", "[密码]，应该就写的[密码]四个字"),
        ("密保问题，您父亲的籍贯", "湖北，或者我当时就写了黄冈", "[密码]，或者我当时就写了[密码]"),
        ("兑换码刮开看得到", "K七W二 九九X四 M三零六", "[验证码]"),
    ],
)
def test_what_is_asked_for(question: str, answer: str, hidden: str) -> None:
    assert masked(("agent", question), ("customer", answer))[-1] == hidden


@pytest.mark.parametrize("piece", ["京A", "京A，后面", "井号一", "左三十二", "二十三，", "一百", "a一井号", "不是，b"])
def test_long_texts_of_pieces_take_time_in_proportion(piece: str) -> None:
    assert takes_time_in_proportion(
        lambda count: masked(("agent", "您的车牌和密码是多少"), ("customer", "我的车是" + piece * count))
    )
