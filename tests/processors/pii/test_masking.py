"""What leaves the stage: placeholders in text and words, and where they stand."""

import pytest
from pydantic import ValidationError

from processors.pii.masking import Masked, MaskSettings, mask, mask_text
from schemas.messages.pii import PiiSpan
from schemas.messages.transcript import Rejected, Segment, Word
from tests.processors.transcripts import Line, said, segment
from tests.support.growth import takes_time_in_proportion

NOTHING_KEPT = MaskSettings()


def masked(*lines: Line, settings: MaskSettings = NOTHING_KEPT) -> Masked:
    return mask(said(*lines).segments, settings)


def texts(*lines: Line, settings: MaskSettings = NOTHING_KEPT) -> list[str]:
    return [one.text for one in masked(*lines, settings=settings).segments]


def test_what_the_recogniser_left_of_a_card_and_a_telephone_is_masked() -> None:
    assert texts(
        ("agent", "好的,请您提供一下银行卡号。"),
        ("customer", "62220803567890"),
        ("agent", "请问您的手机号码是?"),
        ("customer", "只要3800要38000"),
        ("agent", "好的已经为您办理挂势,请您尽快到往点补办新卡。"),
    ) == [
        "好的,请您提供一下银行卡号。",
        "[银行卡]",
        "请问您的手机号码是?",
        "只[手机号]",
        "好的已经为您办理挂势,请您尽快到往点补办新卡。",
    ]


def test_a_card_over_several_turns_is_masked_to_its_last_group_and_when_it_is_repeated() -> None:
    assert texts(
        ("agent", "请您提供一下银行卡号"),
        ("customer", "六二二二"),
        ("agent", "嗯"),
        ("customer", "零二幺二"),
        ("agent", "好的,您继续"),
        ("customer", "呃零八零零"),
        ("agent", "嗯"),
        ("customer", "九零"),
        ("agent", "好的,尾号0090的卡对吗"),
    ) == [
        "请您提供一下银行卡号",
        "[银行卡]",
        "嗯",
        "[银行卡]",
        "好的,您继续",
        "呃[银行卡]",
        "嗯",
        "[银行卡]",
        "好的,尾号[银行卡]的卡对吗",
    ]


@pytest.mark.parametrize(
    ("ask", "answer", "expected"),
    [
        pytest.param("您说", "13800138000", "[手机号]", id="nobody_asked_but_the_shape_tells"),
        pytest.param("手机号多少", "１３８００１３８０００", "[手机号]", id="full_width"),
        pytest.param("手机号多少", "一三八零零一三八三个零", "[手机号]", id="zeros_counted"),
        pytest.param("手机号多少", "138不对是13900139000", "[手机号]不对是[手机号]", id="corrected"),
        pytest.param("卡号多少", "六二二二零二吧零零三五", "[银行卡]", id="a_digit_by_its_sound"),
        pytest.param("身份证号报一下", "110105194912310 02叉", "[身份证]", id="x_is_said_as_cha"),
        pytest.param("身份证号报一下", "三七零七零三,两千年零五幺九,四六二七", "[身份证]", id="an_id_with_its_year"),
        pytest.param(
            "手机号多少", "这个月三百六的话费怎么回事", "这个月三百六的话费怎么回事", id="an_amount_with_one_unit"
        ),
        pytest.param("验证码多少", "八三六二九四", "[验证码]", id="a_code"),
        pytest.param("账号密码给我讲一下", "密码是miao大写M,六六幺九", "密码是[密码]", id="a_password"),
        pytest.param("登录用的账号是什么", "miaomiao下划线零七幺九", "[账号]", id="an_account"),
        pytest.param("座机多少", "021-58881234转8001", "[固定电话]", id="with_an_extension"),
        pytest.param("卡号多少", "我上次刷了3800", "我上次刷了3800", id="an_amount_after_the_question"),
        pytest.param("卡号多少", "3月2号办的", "3月2号办的", id="a_date_after_the_question"),
        pytest.param("订单号是多少", "6222021208003567890", "6222021208003567890", id="an_order_like_a_card"),
        pytest.param("订单号的后四位", "后四为十二七八一", "后四为十二七八一", id="the_end_of_an_order"),
        pytest.param("手机号多少", "我要打12315", "我要打12315", id="a_service_number"),
        pytest.param("好的", "电话400-820-8820", "电话400-820-8820", id="a_shared_service_number"),
    ],
)
def test_numbers_are_masked_by_what_they_are(ask: str, answer: str, expected: str) -> None:
    assert texts(("agent", ask), ("customer", answer))[1] == expected


def test_an_expectation_ends_when_the_call_moves_on() -> None:
    assert (
        texts(
            ("agent", "请问您的手机号码是"),
            ("customer", "13800138000"),
            ("agent", "好的已经为您登记完成了请您放心"),
            ("customer", "那我编的数是3456"),
        )[-1]
        == "那我编的数是3456"
    )


def test_an_expectation_ends_after_two_minutes() -> None:
    late = (
        segment(0, "agent", 0, 2_000, "请问您的手机号码是"),
        segment(1, "customer", 200_000, 202_000, "数是3456"),
    )
    assert mask(late, NOTHING_KEPT).segments[1].text == "数是3456"


def test_on_a_recording_of_unknown_speakers_everything_is_masked_as_well() -> None:
    assert texts(
        ("unknown", "请问您的姓名是"), ("unknown", "张伟"), ("unknown", "卡号报一下"), ("unknown", "6222 0212")
    ) == [
        "请问您的姓名是",
        "[姓名]",
        "卡号报一下",
        "[银行卡]",
    ]


def test_a_name_is_masked_wherever_it_comes_again() -> None:
    assert texts(("agent", "张伟您好"), ("agent", "请问您的姓名是"), ("customer", "张伟"), ("agent", "好的张先生")) == [
        "[姓名]您好",
        "请问您的姓名是",
        "[姓名]",
        "好的张先生",
    ]


def test_policy_may_keep_the_last_digits_of_a_whole_number_only() -> None:
    settings = MaskSettings(keep_last={"bank_card": 4})
    assert texts(("agent", "卡号多少"), ("customer", "6222021208003567890"), settings=settings)[1] == "[银行卡:7890]"
    assert texts(("agent", "卡号多少"), ("customer", "62220212"), settings=settings)[1] == "[银行卡]"
    assert texts(("agent", "手机号多少"), ("customer", "13800138000"), settings=settings)[1] == "[手机号]"


@pytest.mark.parametrize(
    "keep_last", [pytest.param({"name": 1}, id="a_name_has_no_digits"), pytest.param({"mobile": 5}, id="too_many")]
)
def test_a_policy_that_keeps_too_much_is_refused(keep_last: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="keep_last"):
        MaskSettings(keep_last=keep_last)  # type: ignore[arg-type]  # as it may come from a file


def test_words_still_put_together_to_the_text_and_spans_lie_in_both() -> None:
    result = masked(("agent", "卡号多少"), ("customer", "嗯是6222 0212 08的,张伟先生"))
    for one in result.segments:
        assert "".join(word.text for word in one.words) == one.text
    for span in result.spans:
        text = result.segments[span.segment_id].text
        assert text[span.start_char : span.end_char] == span.placeholder
    assert [span.kind for span in result.spans] == ["bank_card", "name"]


def _word(text: str, start_ms: int, end_ms: int) -> Word:
    return Word(text=text, start_ms=start_ms, end_ms=end_ms, confidence=0.8)


def test_words_of_a_number_become_one_with_its_times() -> None:
    words = (
        _word("是", 0, 100),
        _word("138", 150, 400),
        _word("00138", 500, 900),
        _word("000,", 950, 1_200),
        _word("好", 1_300, 1_400),
    )
    one = segment(0, "customer", 0, 1_400, "是13800138000,好", words)
    result = mask((one,), NOTHING_KEPT)

    assert [(w.text, w.start_ms, w.end_ms) for w in result.segments[0].words] == [
        ("是", 0, 100),
        ("[手机号],", 150, 1_200),
        ("好", 1_300, 1_400),
    ]
    (span,) = result.spans
    assert (span.start_ms, span.end_ms) == (150, 1_200)


def test_a_password_says_what_it_is_beside_the_kind_that_earlier_releases_know() -> None:
    (span,) = masked(("agent", "您的支付密码"), ("customer", "六六零三幺九")).spans
    assert (span.kind, span.secret, span.placeholder) == ("bank_card", "password", "[密码]")


def test_policy_keeps_no_digit_of_a_password() -> None:
    settings = MaskSettings(keep_last={"bank_card": 4})
    assert (
        texts(("agent", "密码多少"), ("customer", "六六零三幺九六六零三幺九六六零"), settings=settings)[1] == "[密码]"
    )


@pytest.mark.parametrize(
    "unit",
    [
        "一",
        "a@",
        "1 ",
        "密码是",
        "a的",
        "弓长",
        "岛屿的屿",
        "三个",
        "零一,",
        "路",
        "栋单元",
        "阿·",
        "那个",
        "验证码12,",
    ],
)
def test_the_time_grows_with_the_length(unit: str) -> None:
    assert takes_time_in_proportion(
        lambda count: texts(("agent", "姓名地址身份证手机邮箱密码"), ("customer", unit * count))
    )


def test_without_words_times_are_taken_from_the_share_of_the_text() -> None:
    one = segment(0, "customer", 1_000, 3_000, "我的号13800138000谢谢你啊啊啊")
    (span,) = mask((one,), NOTHING_KEPT).spans
    assert (span.start_ms, span.end_ms) == (1_200, 2_500)


def test_words_that_do_not_give_the_text_are_left_out_where_something_is_masked() -> None:
    odd = segment(0, "customer", 0, 1_000, "13800138000", (_word("138001", 0, 500), _word("3800", 500, 1_000)))
    assert mask((odd,), NOTHING_KEPT).segments[0].words == ()


def test_a_call_without_anything_personal_is_returned_as_it_is() -> None:
    segments = said(("agent", "您好,请问有什么可以帮您"), ("customer", "物流三天没有更新了")).segments
    assert mask(segments, NOTHING_KEPT) == Masked(segments, ())


def test_masking_again_finds_nothing() -> None:
    once = masked(("agent", "卡号多少"), ("customer", "6222021208003567890,我叫张伟"))
    assert mask(once.segments, NOTHING_KEPT) == Masked(once.segments, ())


def test_rejected_texts_lose_every_row_of_digits_and_the_names_of_the_call() -> None:
    rejected = Rejected(start_ms=0, end_ms=1, channel=0, role="customer", text="6222 张伟 500块", reason="repetition")
    result = mask(said(("customer", "我叫张伟")).segments, NOTHING_KEPT, [rejected])
    assert [piece.text for piece in result.rejected] == ["[号码] [姓名] 500块"]


def test_a_text_alone_is_masked_broadly() -> None:
    assert mask_text("嗯6222,3月2号", NOTHING_KEPT) == "嗯[号码],3月2号"
    assert mask_text("手机号13800138000", NOTHING_KEPT) == "手机号[手机号]"
    assert mask_text("", NOTHING_KEPT) == ""


def test_nothing_to_mask_in_an_empty_call() -> None:
    assert mask((), NOTHING_KEPT) == Masked((), ())


def _span(**changes: object) -> dict[str, object]:
    right: dict[str, object] = {
        "kind": "mobile",
        "segment_id": 0,
        "role": "customer",
        "start_ms": 0,
        "end_ms": 10,
        "start_char": 1,
        "end_char": 6,
        "confidence": 0.9,
        "placeholder": "[手机号]",
    }
    return right | changes


def test_a_span_encloses_its_placeholder_and_has_no_room_for_what_was_said() -> None:
    assert PiiSpan.model_validate(_span()).kind == "mobile"
    for changes in ({"end_char": 7}, {"end_ms": -1}, {"start_ms": 11}, {"text": "13800138000"}):
        with pytest.raises(ValidationError):
            PiiSpan.model_validate(_span(**changes))


def test_a_segment_keeps_everything_but_text_and_words() -> None:
    (before,) = said(("customer", "我叫张伟")).segments
    (after,) = masked(("customer", "我叫张伟")).segments
    assert isinstance(after, Segment)
    assert after.model_copy(update={"text": "", "words": ()}) == before.model_copy(update={"text": "", "words": ()})


@pytest.mark.parametrize(
    ("text", "heard_text"),
    [
        pytest.param("我叫李伟，电话是多少", "我叫里维，电话是多少", id="only the text has a name"),
        pytest.param("我叫里维，电话是多少", "我叫李伟，电话是多少", id="only what was heard has one"),
    ],
)
def test_what_is_a_name_in_the_text_or_in_what_was_heard_is_masked_in_both(text: str, heard_text: str) -> None:
    line = segment(0, "customer", 0, 2_000, text)
    words = tuple(Word(start_ms=0, end_ms=2_000, text=letter, confidence=1) for letter in text)
    found = mask([line.model_copy(update={"heard_text": heard_text, "words": words})], NOTHING_KEPT)
    (one,) = found.segments
    assert (one.text, one.heard_text) == ("我叫[姓名]，电话是多少", None), "what is left is the same"
    assert "".join(word.text for word in one.words) == one.text
    assert len(found.spans) == 1


def test_what_was_heard_stays_beside_the_text_where_it_differs_outside_of_what_is_masked() -> None:
    line = segment(0, "customer", 0, 2_000, "我叫李伟，优惠券怎么领")
    (one,) = mask([line.model_copy(update={"heard_text": "我叫里维，优惠圈怎么领"})], NOTHING_KEPT).segments
    assert (one.text, one.heard_text) == ("我叫[姓名]，优惠券怎么领", "我叫[姓名]，优惠圈怎么领")
