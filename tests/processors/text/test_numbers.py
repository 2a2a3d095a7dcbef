"""Spoken numbers in digits, and the way back."""

import cn2an
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.text.numbers import cardinal, in_digits


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        pytest.param("幺三八零零幺三八零零零", "13800138000", id="a_telephone_number"),
        pytest.param("工号五零零六为您服务", "工号5006为您服务", id="digits_one_by_one"),
        pytest.param("我要打一二三一五", "我要打12315", id="a_service_number"),
        pytest.param("幺洞拐", "107", id="call_signs_led_by_yao"),
        pytest.param("山洞拐弯", "山洞拐弯", id="call_signs_alone_are_words"),
        pytest.param("幺三洞拐二勾", "130729", id="call_signs_among_digits"),
        pytest.param("一千二百三十四块五", "1234.5元", id="money_with_a_tail"),
        pytest.param("三块五毛二", "3.52元", id="money_to_the_cent"),
        pytest.param("五毛钱", "0.5元", id="small_money"),
        pytest.param("一百块一个", "100元一个", id="a_price_each_has_no_tail"),
        pytest.param("三块蛋糕", "三块蛋糕", id="pieces_are_no_money"),
        pytest.param("九块九", "9.9元", id="the_price_of_everything"),
        pytest.param("起购金额是一万元", "起购金额是10000元", id="written_currency"),
        pytest.param("三百五", "350", id="colloquial_hundreds"),
        pytest.param("两万三", "23000", id="colloquial_ten_thousands"),
        pytest.param("一千二", "1200", id="colloquial_thousands"),
        pytest.param("三百零五", "305", id="zero_in_the_middle"),
        pytest.param("一亿零五十", "100000050", id="zero_after_a_large_group"),
        pytest.param("五百二十万零三百", "5200300", id="both_groups"),
        pytest.param("一万两千", "12000", id="two_as_liang"),
        pytest.param("十五", "15", id="a_bare_ten"),
        pytest.param("百分之六", "6%", id="percent"),
        pytest.param("百分之三点五", "3.5%", id="decimal_percent"),
        pytest.param("百分百", "100%", id="wholly"),
        pytest.param("千分之三", "3‰", id="per_mille"),
        pytest.param("三分之一", "1/3", id="fraction"),
        pytest.param("三点五", "3.5", id="decimal"),
        pytest.param("三点五万", "35000", id="decimal_of_ten_thousands"),
        pytest.param("1.5万", "15000", id="a_written_decimal_of_ten_thousands"),
        pytest.param("二零二六年三月二号", "2026年3月2日", id="a_date"),
        pytest.param("二〇二六年", "2026年", id="a_year"),
        pytest.param("九月三十号", "9月30日", id="a_day"),
        pytest.param("十三月五号", "十三月五号", id="no_such_month"),
        pytest.param("下午三点半", "下午3点半", id="half_past"),
        pytest.param("下午两点五十", "下午2点50", id="time_after_a_part_of_the_day_is_no_decimal"),
        pytest.param("三点零五分", "3点05分", id="minutes_below_ten"),
        pytest.param("两个半小时", "2.5小时", id="a_half"),
        pytest.param("八五折", "8.5折", id="a_discount"),
        pytest.param("一到三个工作日", "1到3个工作日", id="a_range"),
        pytest.param("满三百减五十", "满300减50", id="two_amounts"),
        pytest.param("3百50", "350", id="mixed_as_recognisers_write"),
        pytest.param("13八", "138", id="a_digit_among_written_ones"),
        pytest.param("1万5", "15000", id="mixed_colloquial"),
        pytest.param("7天", "7天", id="written_already"),
        pytest.param("007", "007", id="leading_zeros_stay"),
        pytest.param("12.50", "12.50", id="a_written_decimal_stays"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_spoken_number_is_written_in_digits(spoken: str, written: str) -> None:
    assert in_digits(spoken).text == written


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("请稍等一下", id="a_moment"),
        pytest.param("一个", id="one_as_an_article"),
        pytest.param("一些", id="some"),
        pytest.param("有一点问题", id="a_bit"),
        pytest.param("万一坏了呢", id="in_case"),
        pytest.param("十分满意", id="very"),
        pytest.param("三番五次打电话", id="again_and_again"),
        pytest.param("千万别买", id="by_all_means"),
        pytest.param("第二十三条", id="an_ordinal"),
        pytest.param("两三天", id="two_or_three"),
        pytest.param("三四百", id="three_or_four_hundred"),
        pytest.param("十几个", id="ten_and_some"),
        pytest.param("几百块", id="some_hundreds"),
        pytest.param("星期一", id="a_weekday"),
        pytest.param("周五", id="a_short_weekday"),
        pytest.param("双十一", id="a_festival"),
        pytest.param("五险一金", id="a_set_phrase"),
        pytest.param("[银行卡]", id="a_placeholder"),
    ],
)
def test_what_is_no_number_stays(text: str) -> None:
    assert in_digits(text).text == text


def test_every_written_character_knows_where_it_was_spoken() -> None:
    spoken = "一共一千二百三十四块五，下午三点半"
    normalized = in_digits(spoken)

    assert normalized.text == "一共1234.5元，下午3点半"
    assert len(normalized.offsets) == len(normalized.text) + 1
    start, end = normalized.source_span(2, 9)
    assert spoken[start:end] == "一千二百三十四块五"
    start, end = normalized.source_span(4, 5)
    assert spoken[start:end] == "一千二百三十四块五", "a number that is cut is taken whole"
    start, end = normalized.source_span(12, 13)
    assert spoken[start:end] == "下午三点半", "a time is one number with its part of the day"


def test_the_way_back_is_the_identity_where_nothing_changed() -> None:
    assert tuple(in_digits("您好").offsets) == (0, 1, 2)
    assert in_digits("您好").source_span(1, 1) == (1, 1)


@pytest.mark.parametrize(
    ("spoken", "value"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("三四百", None, id="rough"),
        pytest.param("百", None, id="a_unit_alone"),
        pytest.param("一百一千", None, id="units_in_the_wrong_order"),
        pytest.param("九" * 5_000, None, id="longer_than_any_number"),
        pytest.param("两", 2, id="liang"),
    ],
)
def test_a_cardinal_is_a_grammatical_number_or_none(spoken: str, value: int | None) -> None:
    assert cardinal(spoken) == value


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        pytest.param(
            "不管三七二十一都要", "不管三七二十一都要", id="a_set_phrase_begins_two_letters_before_its_numerals"
        ),
        pytest.param("礼拜三下午三点半", "礼拜三下午3点半", id="so_do_days_and_times_of_day"),
        pytest.param("他说一不二，给我三十块", "他说一不二，给我30元", id="what_follows_a_set_phrase_is_looked_for"),
    ],
)
def test_what_begins_before_its_first_numeral_is_found(spoken: str, expected: str) -> None:
    assert in_digits(spoken).text == expected


whole_numbers = st.integers(0, 10**12 - 1)
"""As large as speech goes in one breath: below 一万亿."""


class TestAgainstCn2an:
    """Numbers as another library writes them in Chinese are read back."""

    @given(whole_numbers)
    def test_a_whole_number_is_read_in_everyday_and_in_banking_characters(self, number: int) -> None:
        assert cardinal(cn2an.an2cn(number, "low")) == number
        assert cardinal(cn2an.an2cn(number, "up")) == number

    @given(whole_numbers.filter(lambda number: number >= 10))
    def test_a_whole_number_is_written_in_digits_in_the_middle_of_a_sentence(self, number: int) -> None:
        assert in_digits(f"一共是{cn2an.an2cn(number, 'low')}元，对吗").text == f"一共是{number}元，对吗"

    @given(whole_numbers, st.from_regex(r"[0-9]{1,4}", fullmatch=True))
    def test_a_decimal_is_written_digit_by_digit_after_its_point(self, whole: int, decimals: str) -> None:
        spoken = f"{cn2an.an2cn(whole, 'low')}点{cn2an.an2cn(decimals, 'direct')}"

        assert in_digits(f"百分之{spoken}").text == f"{whole}.{decimals}%"
