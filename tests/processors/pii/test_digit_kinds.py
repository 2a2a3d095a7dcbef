"""What a row of digits is taken for, by shape and by what was asked."""

import pytest

from processors.pii.digit_kinds import (
    is_service_number,
    kind_asked,
    kind_unasked,
    passes_luhn,
    passes_resident_checksum,
)
from processors.pii.match import FoundKind


def test_the_card_checksum_is_that_of_the_standard() -> None:
    assert passes_luhn("4111111111111111")
    assert not passes_luhn("4111111111111112")


def test_the_checksum_of_a_resident_id_is_that_of_the_standard() -> None:
    assert passes_resident_checksum("11010519491231002X")
    assert not passes_resident_checksum("110105194912310021")
    assert not passes_resident_checksum("11010519491231002")


@pytest.mark.parametrize(
    ("digits", "kind"),
    [
        pytest.param("13800138000", "mobile", id="a_mobile_number"),
        pytest.param("8613800138000", "mobile", id="with_the_country"),
        pytest.param("1380013800", "mobile", id="a_digit_was_dropped"),
        pytest.param("12800138000", None, id="no_mobile_begins_so"),
        pytest.param("02158881234", "fixed_phone", id="a_fixed_line"),
        pytest.param("057188812345", "fixed_phone", id="a_long_area_code"),
        pytest.param("11010519491231002X", "resident_id", id="an_id_with_x"),
        pytest.param("110105194913310021", None, id="no_such_month_of_birth_and_no_card_begins_with_1"),
        pytest.param("4111111111111111", "bank_card", id="a_card_with_checksum"),
        pytest.param("6222021208003567890", "bank_card", id="a_card_without_checksum"),
        pytest.param("20260302123456", None, id="a_dated_order_number"),
        pytest.param("2026030212345678", None, id="a_long_dated_order_number"),
        pytest.param("8888", None, id="four_digits"),
    ],
)
def test_digits_that_nobody_asked_for_are_known_by_their_shape(digits: str, kind: FoundKind | None) -> None:
    found = kind_unasked(digits, other_number_asked=False)

    assert (found.kind if found else None) == kind


def test_after_an_order_number_was_asked_for_a_card_stays_and_a_mobile_does_not() -> None:
    assert kind_unasked("6222021208003567890", other_number_asked=True) is None
    assert kind_unasked("110105194912310021", other_number_asked=True) is None
    mobile = kind_unasked("13800138000", other_number_asked=True)
    assert mobile is not None
    assert mobile.kind == "mobile"


@pytest.mark.parametrize(
    ("digits", "asked", "kind"),
    [
        pytest.param("62220803567890", {"bank_card"}, "bank_card", id="a_card_that_lost_digits"),
        pytest.param("0308", {"resident_id"}, "resident_id", id="the_last_four"),
        pytest.param("13800138000", {"bank_card"}, "mobile", id="another_number_than_asked_for"),
        pytest.param("02158881234", {"mobile"}, "fixed_phone", id="a_fixed_line_is_a_telephone_too"),
        pytest.param("58881234", {"mobile"}, "fixed_phone", id="a_fixed_line_without_area_code"),
        pytest.param("110105491231002", {"resident_id", "mobile"}, "resident_id", id="an_old_id"),
        pytest.param("1380013800", {"bank_card", "mobile"}, "mobile", id="the_nearest_of_two"),
        pytest.param("123456", {"plate"}, "plate", id="a_kind_of_letters_and_digits"),
        pytest.param("836294", {"code"}, "code", id="a_code"),
        pytest.param("836294", {"bank_card", "code"}, "code", id="a_code_rather_than_a_card"),
        pytest.param("13800138000", {"password"}, "mobile", id="a_telephone_for_a_password"),
        pytest.param("0613779025", {"account"}, "account", id="an_account"),
    ],
)
def test_digits_that_were_asked_for_are_what_was_asked_for(digits: str, asked: set[FoundKind], kind: FoundKind) -> None:
    found = kind_asked(digits, asked)
    assert found is not None
    assert found.kind == kind


def test_a_checksum_raises_the_confidence() -> None:
    right = kind_asked("4111111111111111", {"bank_card"})
    wrong = kind_asked("4111111111111112", {"bank_card"})
    assert right is not None
    assert wrong is not None
    assert right.kind == wrong.kind
    assert right.confidence > wrong.confidence


@pytest.mark.parametrize("digits", ["12315", "95588", "10086", "110", "4008208820"])
def test_numbers_that_belong_to_nobody_are_service_numbers(digits: str) -> None:
    assert is_service_number(digits)
