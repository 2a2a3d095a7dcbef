"""Names said letter by letter, with a pause after each."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def hidden(*lines: Line) -> str:
    return " ".join(one.text for one in mask(said(*lines).segments, MaskSettings()).segments)


@pytest.mark.parametrize(
    ("lines", "letters"),
    [
        pytest.param((("agent", "请问户主是哪位"), ("customer", "户主 谌 建 军")), "谌建军", id="after_spaces"),
        pytest.param((("customer", "他叫 敬 强 胜 三个字"),), "敬强胜", id="unasked"),
        pytest.param((("customer", "胸牌上写着 实习 蔺 若 男"),), "蔺若男", id="read_out"),
        pytest.param((("agent", "您贵姓"), ("customer", "我叫，陈，颂，恩")), "陈颂恩", id="after_commas"),
    ],
)
def test_a_name_with_a_pause_after_each_letter_is_hidden_whole(lines: tuple[Line, ...], letters: str) -> None:
    text = hidden(*lines)
    assert [letter for letter in letters if letter in text] == []


@pytest.mark.parametrize(
    "text",
    ["好 那 就 这样吧", "行，我，我等你电话", "来 来 来 您先坐", "不 是 说了 三天 到 吗", "嗯 对 是 的 退款 到 了"],
)
def test_words_with_pauses_stay(text: str) -> None:
    assert hidden(("customer", text)) == text
