"""Names with no surname that a list holds, and letters that are spelled; and words in their place that stay."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def hidden(*lines: Line) -> str:
    return " ".join(one.text for one in mask(said(*lines).segments, MaskSettings()).segments)


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        pytest.param((("agent", "旅客姓名"), ("customer", "玉罕香")), ["玉罕香"], id="no_surname"),
        pytest.param((("agent", "您怎么称呼"), ("customer", "嗯，高峰")), ["高峰"], id="a_common_word"),
        pytest.param((("agent", "请问机主"), ("customer", "哦，达瓦卓嘎，我爱人")), ["达瓦卓嘎"], id="four_letters"),
        pytest.param((("agent", "入住人"), ("customer", "清风和贺立民")), ["清风", "贺立民"], id="two_of_them"),
        pytest.param(
            (("agent", "麻烦您说一下全名和证件号码"), ("customer", "我教神力群身份证是一幺零")),
            ["神力群"],
            id="叫_heard_as_教",
        ),
        pytest.param((("agent", "请报全名"), ("customer", "我较申力群")), ["申力群"], id="叫_heard_as_较"),
        pytest.param((("customer", "退到那张卡，户名冬青"),), ["冬青"], id="an_account_holder"),
        pytest.param((("agent", "给您登记的是仝晓舟对吗"),), ["仝晓舟"], id="read_back_by_the_agent"),
        pytest.param(
            (("agent", "麻烦您拆一下字"), ("customer", "禾火秋，呃，天空的天，明亮的明")),
            ["禾火秋", "天空的天", "明亮的明"],
            id="letters_that_are_told",
        ),
        pytest.param((("customer", "头一个字高山的高，后头的海洋的洋"),), ["高山的高", "海洋的洋"], id="nobody_asked"),
        pytest.param((("customer", "复姓慕容，单名洁"),), ["慕容"], id="a_compound_surname"),
        pytest.param((("agent", "您名字有点长，再说一遍"), ("customer", "娜仁，后面托娅")), ["托娅"], id="the_rest"),
    ],
)
def test_a_name_is_hidden_by_what_asks_for_it(lines: tuple[Line, ...], names: list[str]) -> None:
    text = hidden(*lines)
    assert [name for name in names if name in text] == []


@pytest.mark.parametrize(
    ("lines", "stays"),
    [
        pytest.param((("agent", "您怎么称呼"), ("customer", "我姓王，叫我王女士")), "王女士", id="a_surname"),
        pytest.param((("agent", "您找谁"), ("customer", "我找马老师")), "马老师", id="a_title"),
        pytest.param((("agent", "请问全名"), ("customer", "我觉得不用说吧")), "我觉得不用说吧", id="我觉得"),
        pytest.param((("agent", "收件人姓名"), ("customer", "稍等我看一下")), "稍等我看一下", id="no_answer"),
        pytest.param((("customer", "司机绕路，多收钱"),), "司机绕路", id="a_word_after_司机"),
        pytest.param((("customer", "机主是您父亲本人"),), "机主是您父亲", id="kinship"),
    ],
)
def test_a_word_in_the_place_of_a_name_stays(lines: tuple[Line, ...], stays: str) -> None:
    assert stays in hidden(*lines)
