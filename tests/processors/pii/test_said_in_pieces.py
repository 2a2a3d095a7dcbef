"""Numbers that are told in pieces, by their ends, in amounts, and with letters apart from the digits."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def masked(*lines: Line) -> list[str]:
    return [segment.text for segment in mask(said(*lines).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        ("我那个号一百三十七，零六零六，八八二三", "一百三十七，零六零六，八八二三"),
        ("打一百五十九 四四三幺 二零零七 找他", "一百五十九 四四三幺 二零零七"),
        ("电话是么五八，三三零零，四么二六", "么五八，三三零零，四么二六"),
        ("电话是幺三六，双七零五，完了一个八，再俩零，三", "幺三六，双七零五，完了一个八，再俩零，三"),
        ("打座机吧，八三二零六六幺七转三零八", "八三二零六六幺七转三零八"),
    ],
)
def test_digits_said_as_amounts_pairs_and_single_ones_are_one_number(words: str, secret: str) -> None:
    (text,) = masked(("customer", words))
    assert secret[:3] not in text
    assert secret[-3:] not in text


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        ("您留的是幺五二开头的那个吗", "幺五二"),
        ("打那个尾巴是三六的", "三六"),
        ("我的是八二零四尾，不是别的", "八二零四"),
        ("主卡结尾 七幺 对吗", "七幺"),
    ],
)
def test_the_ends_of_a_number_are_masked(words: str, secret: str) -> None:
    (text,) = masked(("agent", words))
    assert secret not in text


@pytest.mark.parametrize(
    "words",
    [
        "快递单尾数三六七二到了吗",
        "九五开头的都是银行客服",
        "有没有尾数三个九的号，我想换一个好记的",
        "一百三十七块钱，二零二三年买的",
        "什么时候能好",
    ],
)
def test_ends_of_other_numbers_wishes_and_amounts_stay(words: str) -> None:
    assert masked(("customer", words)) == [words]


@pytest.mark.parametrize(
    "answer",
    ["E 打头，后面还有个 H，零三二，幺幺七五", "数字是六六零二幺八四，字母是E K", "一个G，然后幺二三四五六七八"],
)
def test_letters_of_a_passport_are_masked_apart_from_its_digits(answer: str) -> None:
    _, text = masked(("agent", "请报一下护照号码"), ("customer", answer))
    assert "[护照]" in text
    assert not any(letter.isascii() and letter.isalpha() for letter in text)


@pytest.mark.parametrize("answer", ["航班 ZH 九四六二 明天走", "坐的 T 二三六，靠窗的", "票号K三三零二七九"])
def test_numbers_of_journeys_are_no_passports(answer: str) -> None:
    assert masked(("agent", "请报一下护照号码"), ("customer", answer))[1] == answer
