"""What comes before or after: times, overlaps, the order of words, who said it; against a count written otherwise."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from processors.clickhouse.search_sql import SearchQuery
from processors.clickhouse.search_steps import FINDING_COLUMNS, HeardCall, SpokenSegment

ANCHOR = {"text": "12315", "role": "customer"}
SORRY = {"text": "抱歉", "alternatives": ["对不起"], "role": "agent"}


def spoken(*told: tuple[str, int, int, str]) -> list[SpokenSegment]:
    return [(number, *each) for number, each in enumerate(told)]


def quotes(segments: list[SpokenSegment], *steps: dict[str, Any], **conditions: Any) -> list[str]:
    query = SearchQuery.model_validate({"tenants": ["acme"], "phrases": [ANCHOR], "steps": steps, **conditions})
    return [quote.text for quote in HeardCall(segments, {}).anchor_quotes(query)]


def holds(segments: list[SpokenSegment], **step: Any) -> bool:
    return bool(quotes(segments, {"said": SORRY, **step}))


THREAT = ("customer", 10_000, 12_000, "我打12315")


@pytest.mark.parametrize(
    ("other", "within_ms", "follows", "precedes"),
    [
        pytest.param(("agent", 42_000, 43_000, "抱歉"), 30_000, True, False, id="exactly 30 s after its end"),
        pytest.param(("agent", 42_001, 43_000, "抱歉"), 30_000, False, False, id="a millisecond later"),
        pytest.param(("agent", 99_000, 99_500, "对不起"), None, True, False, id="however late, by another word"),
        pytest.param(("agent", 8_000, 9_000, "抱歉"), 30_000, False, True, id="before"),
        pytest.param(("agent", 11_000, 13_000, "抱歉"), 1, True, True, id="while it is said"),
        pytest.param(("agent", 9_000, 13_000, "抱歉"), 1, True, True, id="around it"),
        pytest.param(("agent", 5_000, 10_000, "抱歉"), 1, False, True, id="ends as it begins"),
        pytest.param(("customer", 13_000, 14_000, "抱歉"), 30_000, False, False, id="by the customer"),
        pytest.param(("unknown", 13_000, 14_000, "抱歉"), 30_000, False, False, id="by nobody knows whom"),
        pytest.param(("agent", 13_000, 14_000, "抱 歉"), 30_000, False, False, id="not in these characters"),
    ],
)
def test_what_follows_and_what_precedes(
    other: tuple[str, int, int, str], within_ms: int | None, follows: bool, precedes: bool
) -> None:
    segments = spoken(*sorted((THREAT, other), key=lambda each: each[1]))
    assert holds(segments, within_ms=within_ms) == follows
    assert holds(segments, within_ms=within_ms, side="before") == precedes


def test_what_an_unknown_voice_said_proves_neither_that_it_was_said_nor_that_it_was_not() -> None:
    segments = spoken(THREAT, ("unknown", 13_000, 14_000, "抱歉"))
    assert not holds(segments)
    assert not holds(segments, absent=True)


def test_within_one_segment_the_order_of_the_words_counts() -> None:
    segments = spoken(("customer", 0, 9_000, "退款不退我打12315，再不退就投诉"))
    for text, side, there in (("投诉", "after", True), ("投诉", "before", False), ("退款", "before", True)):
        assert bool(quotes(segments, {"said": {"text": text}, "side": side})) == there, (text, side)


def test_a_place_that_fulfils_all_steps_is_enough_and_is_what_is_shown() -> None:
    segments = spoken(
        THREAT,
        ("agent", 13_000, 14_000, "抱歉"),
        ("customer", 60_000, 61_000, "幺二三幺五"),
        ("agent", 62_000, 63_000, "随便您"),
    )
    within = {"within_ms": 30_000}
    assert quotes(segments, {"said": SORRY, **within}) == ["我打12315", "抱歉"]
    assert quotes(segments, {"said": SORRY, "absent": True, **within}) == ["幺二三幺五"]
    rude = {"said": {"text": "随便您", "role": "agent"}, **within}
    assert quotes(segments, {"said": SORRY, "absent": True, **within}, rude) == ["幺二三幺五", "随便您"]
    assert quotes(segments, {"said": SORRY, **within}, rude) == []


def test_words_as_heard_can_be_a_step() -> None:
    segments = spoken(THREAT, ("agent", 13_000, 14_000, "宝歉"))
    assert holds(segments, said={"text": "抱歉", "role": "agent", "as_heard": True})


def test_a_finding_can_be_what_the_search_is_about_or_what_follows() -> None:
    found: dict[str, list[Any]] = dict(
        zip(
            FINDING_COLUMNS,
            [
                *(["rules", "sensitive_words"], ["threat", "insult"], ["投诉你", "笨"], ["customer", "agent"]),
                *([10_000, 20_000], [12_000, 21_000], ["我投诉你", "您真笨"]),
            ],
            strict=True,
        )
    )
    call = HeardCall(spoken(("agent", 15_000, 16_000, "抱歉")), found)

    def shown(step: dict[str, Any], **conditions: Any) -> list[tuple[str, str]]:
        query = SearchQuery.model_validate({"tenants": ["acme"], "steps": [step], **conditions})
        return [(quote.kind, quote.text) for quote in call.anchor_quotes(query)]

    assert shown({"said": SORRY}, rules=["threat"]) == [("finding", "我投诉你"), ("phrase", "抱歉")]
    assert shown({"said": SORRY}, rules=["insult"]) == []
    assert shown({"said": SORRY, "side": "before"}, words=["笨"]) == [("phrase", "抱歉"), ("finding", "您真笨")]
    assert shown({"rule": "insult", "within_ms": 5_000}, phrases=[SORRY]) == [("phrase", "抱歉"), ("finding", "您真笨")]
    assert shown({"rule": "insult", "within_ms": 5_000, "absent": True}, phrases=[SORRY]) == []


@pytest.mark.parametrize("seed", range(3))
def test_calls_at_random_are_found_as_a_count_of_pairs_finds_them(seed: int) -> None:
    """The count sees characters and times alone, each segment one word."""
    chance = random.Random(seed)
    seen = set()
    for _ in range(300):
        segments: list[SpokenSegment] = []
        for number in range(chance.randint(0, 6)):
            start = chance.randint(0, 60)
            role = chance.choice(["agent", "customer", "unknown"])
            segments.append(
                (number, role, start, start + chance.randint(0, 20), chance.choice(["12315", "抱歉", "嗯"]))
            )
        within, side, absent = (
            chance.choice([None, 1, 10, 30]),
            chance.choice(["after", "before"]),
            chance.random() < 0.5,
        )
        wanted = False
        for _, who, a0, a1, words in segments:
            if (who, words) != ("customer", "12315"):
                continue
            near = []
            for _, other, b0, b1, said in segments:
                if said == "抱歉" and (other == "agent" or (absent and other == "unknown")):
                    there, gap = (b1 > a0, b0 - a1) if side == "after" else (a1 > b0, a0 - b1)
                    near.append(there and (within is None or gap <= within))
            wanted = wanted or any(near) != absent
        assert holds(segments, within_ms=within, side=side, absent=absent) == wanted
        seen.add((wanted, absent))
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        pytest.param({"steps": [{"said": SORRY}]}, "before or after what", id="of nothing"),
        pytest.param({"phrases": [ANCHOR, SORRY], "steps": [{"said": SORRY}]}, "one phrase", id="of two phrases"),
        pytest.param({"phrases": [ANCHOR], "steps": [{}]}, "either a phrase or a rule", id="nothing"),
        pytest.param({"phrases": [ANCHOR], "steps": [{"said": SORRY, "rule": "x"}]}, "either a phrase", id="both"),
        pytest.param({"phrases": [ANCHOR], "steps": [{"said": SORRY, "within_ms": 0}]}, "greater than 0", id="no time"),
        pytest.param({"not_phrases": [{"text": "抱歉", "as_heard": True}]}, "told as written", id="not as heard"),
        pytest.param({"not_phrases": [{"text": "抱\n歉"}]}, "one line", id="not of two lines"),
        pytest.param({"phrases": [{**SORRY, "as_heard": True}]}, "as written", id="alternatives by sound"),
        pytest.param({"measures": [{"name": "reading_upset", "least": 0.5}]}, "no measure", id="a suspicion"),
        pytest.param({"measures": [{"name": "turns"}]}, "lower or an upper", id="a range without bounds"),
        pytest.param({"measures": [{"name": "turns", "least": 2, "most": 1}]}, "range of turns", id="an empty range"),
        pytest.param({"directions": ["sideways"]}, "inbound", id="another direction"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_why(told: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        SearchQuery.model_validate({"tenants": ["acme"], **told})


def test_a_search_has_as_many_conditions_as_the_log_of_access_can_name() -> None:
    few = {name: ["x"] for name in ("call_ids", "agents", "teams", "queues", "inquiry_types", "order_ids", "topics")}
    few |= {name: ["x"] for name in ("tags", "value_tiers", "order_statuses", "newest_order_statuses", "rules")}
    few |= {name: ["x"] for name in ("not_rules", "words")} | {"risks": ["low"], "directions": ["inbound"]}
    few |= {"outcomes": ["refused"], "triggers": ["safety"], "selected": True, "sensitive": True}  # type: ignore[dict-item]
    ranges = {f"{name}_{bound}": 1 for name in ("score", "agitation") for bound in ("min", "max")}
    times = {
        "duration_min_ms": 1,
        "duration_max_ms": 1,
        "since": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z",
    }
    phrases = {"phrases": [ANCHOR], "not_phrases": [SORRY], "steps": [{"said": SORRY}]}
    query = SearchQuery.model_validate({"tenants": ["acme"], **few, **ranges, **times, **phrases})
    assert len(query.model_dump(exclude_defaults=True)) == 32
    with pytest.raises(ValidationError, match="at most 32 conditions"):
        SearchQuery.model_validate({**query.model_dump(), "measures": [{"name": "turns", "least": 1}]})
