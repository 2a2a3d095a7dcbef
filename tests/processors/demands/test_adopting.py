"""A group of calls as a topic of a pack."""

from datetime import UTC, datetime

import pytest

from processors.demands.adopting import (
    NOT_IT,
    examples_that_hold,
    new_pack,
    suggested_id,
    topic_entry,
    with_topic,
)
from processors.demands.unknown import DemandQuote, UnknownDemand
from processors.kpi.statistics import Estimate
from processors.rules.examples import check_examples
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import parse_rule_pack

AT = datetime(2026, 3, 31, tzinfo=UTC)
ENTRY = topic_entry("gift", "藏品转赠", ["藏品转赠"], ["数字藏品转赠要多久"], ["我要查话费"])
HEAD = "# ours\npack: own\nversion: 7  # raise it\nindustry: telecom\ntenant: acme\nowner: us\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param(HEAD, "# ours", id="without topics"),
        pytest.param(
            HEAD + "topics:\n  # first\n  - {id: a, name: 甲, phrases: [甲乙], match: [甲乙], no_match: [丙]}\n",
            "  # first\n",
            id="indented, with a comment",
        ),
        pytest.param(
            HEAD + "topics:  # all\n- {id: a, name: 甲, phrases: [甲乙], match: [甲乙], no_match: [丙]}\nrules: []\n",
            "rules: []\n",
            id="not indented, with a section after it",
        ),
        pytest.param(new_pack("own", "acme", "telecom", "us"), "owner: us", id="new"),
    ],
)
def test_it_is_added_and_all_else_stays(text: str, kept: str) -> None:
    changed = with_topic(text, ENTRY)
    pack, before = parse_rule_pack("changed", changed), parse_rule_pack("before", with_version(text))
    assert [one.id for one in pack.topics] == ["gift", *(one.id for one in before.topics)]
    assert kept in changed
    assert pack.version == int(text.split("version: ")[1][0]) + 1


def with_version(text: str) -> str:
    return text.replace("version: 0", "version: 1")


def a_demand(*quotes: str) -> UnknownDemand:
    shown = tuple(DemandQuote(f"c{number}", AT, 0, 1, text) for number, text in enumerate(quotes))
    return UnknownDemand("x", 3, Estimate(9), 0, None, "new", (), ("藏品转赠",), shown, ())


def test_only_quotes_that_hold_become_examples() -> None:
    demand = a_demand("藏品转赠要多久", "我不要藏品转赠", "那个东西送不出去")
    match, no_match = examples_that_hold(
        demand, ["查话费", "藏品转赠失败"], demand.phrases, lambda pack: not check_examples(Rulebooks([pack]))
    )
    assert match == ["藏品转赠要多久"], "a negated one is none, nor one without the phrase"
    assert no_match == ["查话费"]


def test_without_any_quote_that_holds_the_phrase_is_the_example() -> None:
    demand = a_demand("那个东西送不出去")
    match, no_match = examples_that_hold(demand, [], demand.phrases, lambda pack: not check_examples(Rulebooks([pack])))
    assert (match, no_match) == (["藏品转赠"], [NOT_IT])


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        pytest.param("积分清零", "ji_fen_qing_ling", id="Chinese"),
        pytest.param("5G套餐", "demand_5_g_tao_can", id="begins with a digit"),
        pytest.param("？", "demand", id="nothing that can be written"),
    ],
)
def test_a_name_in_letters_that_an_id_may_have(name: str, slug: str) -> None:
    assert suggested_id(name) == slug
