"""What is being asked for, as a recogniser writes it."""

import pytest

from processors.pii.asking import AskedFor, mentions, moves_on, only_listens


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        pytest.param("好的,请您提供一下银行卡号。", ["bank_card"], id="a_card"),
        pytest.param("卡的后四位是多少", ["bank_card"], id="the_end_of_a_card"),
        pytest.param("请问您的手机号码是?", ["mobile"], id="a_mobile"),
        pytest.param("留个电话吧", ["mobile"], id="a_telephone"),
        pytest.param("请您提供一下身份证号码的后四位。", ["resident_id"], id="the_end_of_an_id"),
        pytest.param("请问您的姓名事。", ["name"], id="a_name_misheard"),
        pytest.param("您贵姓", ["name"], id="a_surname"),
        pytest.param("免贵姓王", [], id="the_answer_is_no_question"),
        pytest.param("姓名、身份证号说一下", ["name", "resident_id"], id="the_second_is_not_swallowed_by_the_first"),
        pytest.param("收到的验证码念给我", ["code"], id="a_code"),
        pytest.param("您手机马上来个六位数,到了念给我", ["code"], id="a_code_that_is_not_named"),
        pytest.param("支付密码也说一下", ["password"], id="a_password"),
        pytest.param("您微信号多少", ["account"], id="an_account"),
        pytest.param("我分机是六零三", ["other_number"], id="an_extension_of_the_staff"),
        pytest.param("请提供姓名,身份证号和手机号", ["name", "resident_id", "mobile"], id="three_at_once"),
        pytest.param("请您提供一下订单号的后四位", ["other_number"], id="an_order"),
        pytest.param("会员卡号多少", ["other_number"], id="a_member_card_is_no_bank_card"),
        pytest.param("公号3015", ["other_number"], id="an_employee_misheard"),
        pytest.param("我的银行卡丢了", [], id="a_card_without_number"),
        pytest.param("您打开手机应用", [], id="an_app"),
        pytest.param("手机型号是多少", ["other_number"], id="a_model"),
        pytest.param("我们不需要您提供银行卡号", [], id="not_asked_for"),
        pytest.param("请勿向任何人透露您的卡号", [], id="a_warning"),
    ],
)
def test_what_is_asked_for_is_known(text: str, topics: list[AskedFor]) -> None:
    assert [mention.topic for mention in mentions(text)] == topics


def test_a_mention_tells_where_it_stands() -> None:
    (mention,) = mentions("我的卡号是6222")
    assert "我的卡号是6222"[mention.start : mention.end] == "我的卡"


@pytest.mark.parametrize("text", ["嗯", "好的。", "嗯,您继续", "对对", ""])
def test_listening_is_a_back_channel(text: str) -> None:
    assert only_listens(text)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        pytest.param("好的已经为您办理挂失请您尽快补办新卡", True, id="the_next_matter"),
        pytest.param("您稍等一下我找一下那张卡", False, id="looking_for_the_card"),
        pytest.param("好的", False, id="too_little"),
        pytest.param("6222021208003567890", False, id="digits_only"),
    ],
)
def test_a_turn_about_something_else_moves_on(text: str, moved: bool) -> None:
    assert moves_on(text) is moved
