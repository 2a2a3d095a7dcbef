"""Addresses of mail that are spelled over words, signs and notes between them."""

import pytest

from processors.pii.email_pieces import KnownEmails
from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def masked(*lines: Line) -> list[str]:
    return [segment.text for segment in mask(said(*lines).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    "answer",
    [
        "h u 胡，胡萝卜的胡，再来 下划线，七三",
        "k 再 j，中杠，三个零",
        "前头是 peach 桃子，大写P，后头九二",
        "圈儿a 一二六 点康姆",
        "点com点cn",
        "m 双 u 那个",
    ],
)
def test_whoever_asked_hears_letters_signs_and_endings_as_parts_of_the_address(answer: str) -> None:
    _, text = masked(("agent", "请说一下您的邮箱"), ("customer", answer))
    assert "[邮箱]" in text
    assert not any(letter.isascii() and letter.isalpha() for letter in text.replace("[邮箱]", ""))


@pytest.mark.parametrize(
    "words",
    [
        "发给我 lan 兰，tian 田，杠，零三，at 网易的 163 点com",
        "就寄 sunny 下横线 he，小老鼠，outlook",
        "你们传到 qiu 点 bo 艾特 我们单位的 gangtie 点 net 就行",
    ],
)
def test_an_at_sign_between_letters_and_a_host_tells_an_address_that_nobody_asked_for(words: str) -> None:
    (text,) = masked(("customer", words))
    assert "[邮箱]" in text
    assert not any(letter.isascii() and letter.isalpha() for letter in text.replace("[邮箱]", ""))


def test_letters_beside_an_address_belong_to_it_too() -> None:
    (text,) = masked(("customer", "先头那个不要了，叫 gugu 的那个不要了，改成 gugu杠妹 的，mei，at qq 点com"))
    assert "gugu" not in text
    assert "mei" not in text


def test_what_was_spelled_is_found_where_it_is_read_back_in_one_piece() -> None:
    texts = masked(
        ("customer", "邮箱是 l u 路，再加 ming，八八，艾特 新浪 点com"),
        ("agent", "好的"),
        ("customer", "订单什么时候到"),
        ("agent", "luming八八，我再给您发一遍"),
    )
    assert texts[3] == "[邮箱]，我再给您发一遍"


@pytest.mark.parametrize(
    "lines",
    [
        (("agent", "请说一下您的邮箱"), ("customer", "我没有邮箱，用app看行吗")),
        (("customer", "我在B站上看到的，你们app打不开"), ("agent", "您重启一下wifi试试")),
        (("customer", "他在群里艾特我，说快递到了"), ("agent", "好的")),
        (("agent", "方便留个邮箱吗"), ("customer", "等一下，我想一下")),
    ],
)
def test_daily_words_in_letters_are_no_address(lines: tuple[Line, ...]) -> None:
    assert masked(*lines) == [text for _, text in lines]


def test_a_row_that_is_too_long_for_an_address_is_not_looked_for_elsewhere() -> None:
    letters = "ab" * 40
    assert list(KnownEmails([f"{letters} 圈a qq点com"]).find(letters)) == []
    assert len(list(KnownEmails([f"{letters[:20]} 圈a qq点com"]).find(letters[:20]))) == 1
