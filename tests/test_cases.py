"""Cases in a loop: none is left out, and those that fail are named."""

from collections.abc import Callable

import pytest

from tests.support.cases import every_case


def try_each(check: Callable[[int], None], count: int) -> None:
    with every_case() as cases:
        for number in range(count):
            with cases.case("one", number):
                check(number)


def test_every_case_is_tried_and_those_that_fail_are_named() -> None:
    tried = []

    def check(number: int) -> None:
        tried.append(number)
        assert number % 2 == 0

    with pytest.raises(ExceptionGroup, match=r"2 of 4 cases: one, 1; one, 3") as raised:
        try_each(check, 4)
    assert tried == [0, 1, 2, 3]
    assert [error.__notes__ for error in raised.value.exceptions] == [["in the case: one, 1"], ["in the case: one, 3"]]


def test_what_should_have_been_raised_and_was_not_is_a_failure_like_others() -> None:
    def check(number: int) -> None:
        with pytest.raises(ZeroDivisionError):
            assert 1 / number

    with pytest.raises(ExceptionGroup, match=r"1 of 2 cases: one, 1"):
        try_each(check, 2)


def test_a_loop_without_a_case_fails() -> None:
    with pytest.raises(AssertionError, match="no case was tried"):
        try_each(lambda _: None, 0)


def test_a_loop_in_which_nothing_fails_passes() -> None:
    try_each(lambda _: None, 1)
