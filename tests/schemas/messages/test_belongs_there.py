"""Each kind of error that a bound makes is told with that bound, of a model as of a parameter."""

import pytest
from pydantic import BaseModel, Field

from schemas.messages.belongs_there import problem_of_parameter, with_what_belongs_there


class Bounds(BaseModel):
    """One field for each bound."""

    name: str = Field(min_length=2, max_length=5)
    parts: list[int] = Field(min_length=1, max_length=3)
    share: float = Field(ge=0, lt=1)


@pytest.mark.parametrize(
    ("problem", "belongs"),
    [
        ("name: string_too_short", "at least 2 character(s)"),
        ("name: string_too_long", "at most 5 character(s)"),
        ("parts: too_short", "at least 1 of them"),
        ("parts: too_long", "at most 3 of them"),
        ("share: greater_than_equal", "a number of 0 or more"),
        ("share: less_than", "a number below 1"),
        ("other: extra_forbidden", "there is no such field: leave it out"),
    ],
)
def test_a_bound_is_told(problem: str, belongs: str) -> None:
    assert with_what_belongs_there(Bounds, problem) == f"{problem} ({belongs})"


def test_a_kind_that_nothing_is_known_of_stays_as_it_is() -> None:
    assert with_what_belongs_there(Bounds, "name: of_another_kind") == "name: of_another_kind"


@pytest.mark.parametrize(
    ("kind", "bounds", "told"),
    [
        ("less_than_equal", {"le": 500}, "limit: less_than_equal (a number of 500 or less)"),
        ("string_too_short", {"min_length": 1}, "limit: string_too_short (at least 1 character(s))"),
        ("literal_error", {"expected": "'a' or 'b'"}, "limit: literal_error ('a' or 'b')"),
        ("int_parsing", {}, "limit: int_parsing (a whole number)"),
        ("value_error", {"error": "whatever"}, "limit: value_error"),
    ],
)
def test_of_a_parameter_the_bounds_of_the_error_are_told(kind: str, bounds: dict[str, object], told: str) -> None:
    assert problem_of_parameter(["limit"], kind, bounds) == told
