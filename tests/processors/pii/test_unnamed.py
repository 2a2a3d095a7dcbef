"""What nobody has named, secret answers, what is spelled: hidden; and what is something else, which stays."""

import pytest

from processors.pii.masking import MaskSettings, mask
from schemas.messages.call_ended import Role
from tests.processors.transcripts import said

Line = tuple[Role, str]


def masked(*lines: Line) -> list[str]:
    return [one.text for one in mask(said(*lines).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        ([("customer", "那天她让我念给她听，我就念了四八零九三七")], "那天她让我念给她听，我就念了[验证码]"),
        ([("customer", "墙上贴着的是二七零九，我没动过")], "墙上贴着的是[号码]，我没动过"),
        (
            [("agent", "您的订单尾号七七三二已经发出了"), ("customer", "柜子上写的是六零四四八一零二")],
            "柜子上写的是[验证码]",
        ),
        (
            [("customer", "我工号三零二四，他要我念短信，我念了五五九零三八")],
            "我工号三零二四，他要我念短信，我念了[验证码]",
        ),
        ([("agent", "您记一下"), ("customer", "两洞勾拐")], "[号码]"),
        ([("customer", "用户编号九个八，帮我查一下")], "用户编号[账号]，帮我查一下"),
        ([("agent", "请报卡号"), ("customer", "六二二八 双零 四八三 零九")], "[银行卡]"),
        (
            [("agent", "请报银行卡号"), ("customer", "六百二十一 七百七十 零三十三 一百二十一 零五")],
            "[银行卡]",
        ),
    ],
)
def test_digits_that_nobody_has_named_are_hidden(lines: list[Line], last: str) -> None:
    assert masked(*lines)[-1] == last


@pytest.mark.parametrize(
    "text",
    [
        "退款十三天了还没到，我要12315投诉",
        "我要幺二三幺五投诉",
        "那我要一二三四五反映",
        "我要95588转账",
        "我需要12315帮忙",
        "我要不要12315",
    ],
)
def test_who_wants_a_hotline_names_no_code(text: str) -> None:
    assert masked(("customer", text)) == [text]
    assert masked(("agent", "验证码您收到了吗"), ("customer", text))[-1] == text


def test_a_number_whose_first_digit_was_heard_as_wanting_is_hidden() -> None:
    assert masked(("customer", "手机号要三八零零幺三四五六七八")) == ["手机号[手机号]"]


@pytest.mark.parametrize(
    "text",
    [
        "我数到一二三四五六都没人理我",
        "去年花了四八零零，今年涨到五一零零",
        "您的订单号是二零二六零三一七",
        "分机七零三一，有事找我",
        "我打幺零零八六问的",
        "航班CA一五零二晚点了",
        "一共两千三百四十五块",
        "我工号三零二四，很高兴为您服务",
    ],
)
def test_what_words_say_is_something_else_stays(text: str) -> None:
    assert masked(("agent", text)) == [text]


@pytest.mark.parametrize(
    ("question", "answer", "hidden"),
    [
        ("您预留的口令是什么？", "春暖花开吧", "[密码]吧"),
        ("安全问题是您第一只宠物叫什么", "嗯，煤球，不对，应该是汤圆", "嗯，[密码]，不对，应该是[密码]"),
        ("您的口令是什么？", "我不记得了", "我不记得了"),
        ("您想办什么业务？", "春暖花开吧", "春暖花开吧"),
    ],
)
def test_answers_to_secret_questions_are_hidden(question: str, answer: str, hidden: str) -> None:
    assert masked(("agent", question), ("customer", answer))[-1] == hidden


def test_what_is_spelled_in_capitals_is_hidden_unless_it_is_sold() -> None:
    assert masked(("customer", "师傅写的是大写的K小写的lm二零二五"))[0] == "师傅写的是[密码]"
    text = "我买的是型号大写K二零的那种"
    assert masked(("customer", text)) == [text]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("我姓李，木子李", "我姓李，[姓名]"),
        ("叫王思默，沉默寡言那个默", "叫[姓名]，[姓名]"),
        ("耳东陈还是禾呈程啊", "[姓名]还是[姓名]啊"),
    ],
)
def test_how_letters_of_a_name_are_told_is_hidden(text: str, hidden: str) -> None:
    assert masked(("customer", text)) == [hidden]


@pytest.mark.parametrize("heard", ["薄本保溪", "薄本保锡", "宝本保息", "闻赚不赔"])
@pytest.mark.parametrize("carrier", ["您好，这款{}", "我们{}您放心", "{}，您放心买"])
def test_words_of_rules_are_no_names_however_they_were_heard(heard: str, carrier: str) -> None:
    text = carrier.format(heard)
    assert masked(("customer", "这款会不会亏"), ("agent", text))[-1] == text
