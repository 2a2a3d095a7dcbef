"""Pieces of passwords and codes that are spelled near where one is talked about, and what only looks like one."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def hidden(*lines: Line) -> str:
    return " ".join(one.text for one in mask(said(*lines).segments, MaskSettings()).segments)


@pytest.mark.parametrize(
    ("lines", "pieces"),
    [
        pytest.param((("agent", "密码第一位您看下"), ("customer", "大写R 后面都是数字")), ["R"], id="capital"),
        pytest.param((("agent", "登录密码您再念一遍"), ("customer", "Q大写，别的小写")), ["Q"], id="capital_after"),
        pytest.param((("agent", "兑换码第三位是"), ("customer", "妈妈的M")), ["M"], id="by_a_word"),
        pytest.param(
            (("agent", "激活码念一下"), ("customer", "T 三 Q 八 八"), ("agent", "T三Q八八是吧")),
            ["T 三", "T三Q"],
            id="row",
        ),
        pytest.param(
            (("customer", "密码改过"), ("agent", "还有别的吗"), ("customer", "加个井号")), ["井号"], id="sign"
        ),
        pytest.param((("agent", "初始密码是Xk加您学号后四位"),), ["Xk"], id="head"),
        pytest.param((("customer", "你从东门进，东门按三零五八"),), ["三零五八"], id="door"),
        pytest.param((("customer", "激活马七二零八八三"),), ["七二零八八三"], id="code_misheard"),
        pytest.param((("customer", "学号二零二三零四一七"),), ["二零二三零四一七"], id="student_number"),
    ],
)
def test_a_piece_of_a_secret_is_hidden(lines: tuple[Line, ...], pieces: list[str]) -> None:
    text = hidden(*lines)
    assert [piece for piece in pieces if piece in text] == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param(
            (
                ("agent", "安全问题是您最喜欢的颜色"),
                ("customer", "我应该写的墨绿还是翠绿来着"),
                ("agent", "墨绿是对的"),
            ),
            ["墨绿", "翠绿"],
            id="either",
        ),
        pytest.param(
            (("agent", "您留的暗语是什么"), ("customer", "暗语，春江花月夜")), ["春江花月夜"], id="named_again"
        ),
        pytest.param((("customer", "留个口令，取的人要说出白菜炖豆腐，你才给"),), ["白菜炖豆腐"], id="to_be_said"),
        pytest.param((("agent", "密码找回要答题，您父亲的生日是"), ("customer", "六月十九")), ["六月十九"], id="a_day"),
    ],
)
def test_a_secret_in_words_is_hidden(lines: tuple[Line, ...], words: list[str]) -> None:
    text = hidden(*lines)
    assert [word for word in words if word in text] == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((("agent", "密码不能有空格，字母数字和下划线都可以"),), id="what_is_allowed"),
        pytest.param((("agent", "输入密码以后按井号键"),), id="a_key"),
        pytest.param((("agent", "验证码收到了吗"), ("customer", "我买的是蓝色的L码")), id="a_size"),
        pytest.param((("agent", "密码不对"), ("customer", "是大写还是小写")), id="a_question"),
        pytest.param((("customer", "妈妈的M码裙子买小了"),), id="no_secret_near"),
    ],
)
def test_what_only_looks_like_a_piece_stays(lines: tuple[Line, ...]) -> None:
    assert hidden(*lines) == " ".join(text for _, text in lines)
