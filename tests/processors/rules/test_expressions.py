"""What the expressions of a pack may cost in every call."""

import pytest

from processors.rules.expressions import (
    expressions_of,
    problems_with_expressions,
)
from schemas.config.rule_pack import MAX_EXPRESSIONS, RULE_PACK_FOLDER, RulePack, load_rule_packs
from tests.processors.rules.rule_packs import pack_of, rule

SLOW = "(?s)[一-乿].{0,600}[一-乿].{0,600}龥"


def pack_with(*expressions: str) -> RulePack:
    return pack_of(rules=[rule({"any_of": [{"regex": each} for each in expressions]}, match=["苹果"], no_match=["梨"])])


def test_expressions_are_found_wherever_they_stand() -> None:
    within = {"all_of": [{"say": ["苹果"], "after": {"of": {"regex": "香.?蕉"}}}, {"none_of": [{"regex": "樱.?桃"}]}]}
    pack = pack_of(
        conditions={"named": {"regex": "葡.?萄"}}, rules=[rule(within, match=["香蕉，苹果"], no_match=["别的"])]
    )
    assert set(expressions_of(pack)) == {"香.?蕉", "樱.?桃", "葡.?萄"}


@pytest.mark.parametrize("pack", load_rule_packs((RULE_PACK_FOLDER,)), ids=lambda pack: pack.label)
def test_the_packs_that_are_shipped_cost_little(pack: RulePack) -> None:
    assert problems_with_expressions(pack) == ()


@pytest.mark.parametrize(
    ("expressions", "says"),
    [
        pytest.param([f"苹果{number}" for number in range(MAX_EXPRESSIONS + 1)], "201 regular expressions", id="many"),
        pytest.param(
            [f"{SLOW}{number}" for number in range(MAX_EXPRESSIONS)], "take more than 2 s", id="slow together"
        ),
    ],
)
def test_a_pack_that_would_hold_up_every_call_is_refused(expressions: list[str], says: str) -> None:
    (problem,) = problems_with_expressions(pack_with(*expressions))
    assert says in problem
    assert len(problem) < 300


def test_as_many_as_are_allowed_are_taken_when_they_are_quick() -> None:
    assert problems_with_expressions(pack_with(*(f"苹果{number}" for number in range(MAX_EXPRESSIONS)))) == ()
