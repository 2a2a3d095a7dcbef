"""What answers, follows or reads back a request for something secret, whatever its shape; and what stays beside it."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def hidden(*lines: Line) -> str:
    return " ".join(one.text for one in mask(said(*lines).segments, MaskSettings()).segments)


@pytest.mark.parametrize(
    ("lines", "secrets"),
    [
        pytest.param((("agent", "取货码发您了，念给我"), ("customer", "嗯，七零二九")), ["七零二九"], id="any_code"),
        pytest.param((("customer", "入园码八零 四四 一七"),), ["八零 四四 一七"], id="a_code_volunteered"),
        pytest.param((("customer", "是三三零八二幺，刚发来的"),), ["三三零八二幺"], id="a_code_that_has_just_come"),
        pytest.param(
            (("agent", "先报前三位"), ("customer", "二零六"), ("agent", "后三位"), ("customer", "呃，九八五")),
            ["二零六", "九八五"],
            id="a_code_in_pieces",
        ),
        pytest.param(
            (("agent", "短信里的码是？"), ("customer", "不是七七零二，看错了，是七七四二")),
            ["七七零二", "七七四二"],
            id="a_code_corrected",
        ),
        pytest.param((("agent", "提货的码多少"), ("customer", "九杠三杠二零七六")), ["二零七六"], id="with_dashes"),
        pytest.param((("agent", "研证码报下"), ("customer", "留三二五吧七")), ["三二五吧七"], id="digits_by_sound"),
        pytest.param(
            (("agent", "您的口令，是四零九九二七对吧"),),
            ["四零九九二七"],
            id="read_back",
        ),
        pytest.param(
            (("agent", "燃气缴费的编号"), ("customer", "零三二七九九五幺四")), ["零三二七九九五"], id="account"
        ),
        pytest.param(
            (("customer", "借阅证号六零二九五五三幺，续一下"),), ["六零二九五五三幺"], id="account_volunteered"
        ),
        pytest.param(
            (("customer", "我妈护照，e三零四，二二七，八五"),), ["三零四，二二七，八五"], id="passport_in_groups"
        ),
        pytest.param(
            (("agent", "退款账户报一下"), ("customer", "六二一七妖零零三八二九零零四四三事二")),
            ["妖零零三八二九"],
            id="card_by_sound",
        ),
        pytest.param((("customer", "那车湘A，后头二九K零七"),), ["二九K零七"], id="plate_in_two_pieces"),
        pytest.param(
            (("customer", "撞我的是闽西七，香C七二九四五"),), ["七二九四五"], id="plate_with_a_province_by_sound"
        ),
        pytest.param((("agent", "锁屏的是数字吗"), ("customer", "是，二五八零四六")), ["二五八零四六"], id="password"),
        pytest.param(
            (("agent", "验证码多少"), ("customer", "四零八八二六"), ("agent", "四零八，八二六，通过了")),
            ["四零八，八二六"],
            id="said_again_with_a_pause",
        ),
    ],
)
def test_a_secret_is_hidden_whatever_its_shape(lines: tuple[Line, ...], secrets: list[str]) -> None:
    text = hidden(*lines)
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(
    ("lines", "stays"),
    [
        pytest.param((("agent", "订单号报一下"), ("customer", "七零二九五五三幺")), "七零二九五五三幺", id="an_order"),
        pytest.param((("agent", "验证码发了"), ("customer", "一共扣了我三百八十五块")), "三百八十五块", id="an_amount"),
        pytest.param((("agent", "打什么电话"), ("customer", "打12345了")), "12345", id="a_hotline"),
        pytest.param((("agent", "护照号"), ("customer", "三月九号走，CZ3102")), "CZ3102", id="a_flight"),
        pytest.param((("customer", "想换三十八码，三十七码挤脚"),), "三十八码", id="a_size"),
        pytest.param(
            (("agent", "请不要把密码告诉任何人"), ("customer", "那六二五的活动还有吗")), "六二五", id="a_warning"
        ),
        pytest.param((("customer", "坐七七八路到的"),), "七七八路", id="a_bus"),
    ],
)
def test_what_is_no_secret_stays(lines: tuple[Line, ...], stays: str) -> None:
    assert stays in hidden(*lines)
