"""Examples of rules are run in the company of all rules."""

from typing import Any

import pytest

from processors.rules.examples import check_examples
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RulePack
from tests.processors.rules.rule_packs import pack_of


def words(word: str, example: str, other: str = "今天天气不错") -> RulePack:
    rule: dict[str, Any] = {
        "id": "one",
        "category": "sensitive_word",
        "severity": "high",
        "score_delta": -5,
        "advice": "不说",
    }
    return pack_of(sensitive_words=[rule | {"words": [word], "match": [example], "no_match": [other]}])


def test_an_example_that_shows_nothing_is_told_of_with_its_place() -> None:
    (problem,) = check_examples(Rulebooks([words("包赚不赔", "保证赚钱")]))
    assert "sensitive_words" in problem
    assert "保证赚钱" in problem


def test_an_example_of_what_is_not_meant_is_told_of_where_it_is_found() -> None:
    (problem,) = check_examples(Rulebooks([words("包赚不赔", "包赚不赔的", "这个包赚不赔")]))
    assert "no_match" in problem


@pytest.mark.parametrize("names", [("aaa", "zzz"), ("zzz", "aaa")])
def test_two_packs_may_have_the_same_word(names: tuple[str, str]) -> None:
    packs = [words("包赚不赔", "包赚不赔的").model_copy(update={"pack": name}) for name in names]
    assert not check_examples(Rulebooks(packs))


def test_a_pack_whose_longer_word_takes_the_place_of_another_is_told_of() -> None:
    shipped, own = words("包赚不赔", "一定包赚不赔的"), words("一定包赚不赔的", "一定包赚不赔的")
    problems = check_examples(Rulebooks([shipped, own.model_copy(update={"pack": "longer"})]))
    assert len(problems) == 1
