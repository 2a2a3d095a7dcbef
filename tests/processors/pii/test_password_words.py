"""Words that are passwords, and words beside a password that are none."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def hidden(*lines: Line) -> str:
    return " ".join(one.text for one in mask(said(*lines).segments, MaskSettings()).segments)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param((("customer", "密码是小猪佩奇，后面加零三"),), ["小猪佩奇"], id="told"),
        pytest.param(
            (("agent", "您的登录密码还记得吗"), ("customer", "老鼠爱大米拼音的首字母再加幺幺")),
            ["老鼠爱大米"],
            id="spelled_in_letters",
        ),
        pytest.param(
            (("agent", "您登网银时输的是什么"), ("customer", "我家狗叫豆包嘛，豆包两个字的拼音后头跟个二零幺九")),
            ["豆包"],
            id="a_pet_and_said_again",
        ),
        pytest.param(
            (("customer", "我那个wifi密码改成大橘加八八八"), ("agent", "大橘加三个八是吧")), ["大橘"], id="read_back"
        ),
        pytest.param((("agent", "您预留的取款暗语是什么"), ("customer", "天上掉馅饼")), ["天上掉馅饼"], id="asked"),
        pytest.param((("agent", "您的密保问题是您的小学"), ("customer", "红旗路 小学部")), ["红旗路"], id="in_two"),
    ],
)
def test_a_word_that_a_password_consists_of_is_hidden(lines: tuple[Line, ...], words: list[str]) -> None:
    text = hidden(*lines)
    assert [word for word in words if word in text] == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((("agent", "密码是您自己设的，我们看不到"),), id="whose"),
        pytest.param((("customer", "密码是错误的，登录不了"),), id="wrong"),
        pytest.param((("agent", "资金密码和交易密码是两个"),), id="two"),
        pytest.param((("agent", "密码忘了可以在手机上改"), ("customer", "我家猫把路由器碰掉了")), id="a_cat"),
        pytest.param((("customer", "有人问密码就是骗子"),), id="a_warning"),
        pytest.param((("agent", "光猫型号是华为的，密码在背面"),), id="a_make"),
    ],
)
def test_other_words_beside_a_password_stay(lines: tuple[Line, ...]) -> None:
    assert hidden(*lines) == " ".join(text for _, text in lines)
