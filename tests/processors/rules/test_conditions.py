from typing import Any

import pytest

from processors.judging.call_context import CallContext
from schemas.config.rule_pack import RulePackError
from schemas.messages.call_ended import Role
from tests.processors.rules.rule_packs import Line, book_of, called, looked_for, pack_of, rule

GREETING: Line = ("agent", "您好，请问有什么可以帮您")
QUESTION: Line = ("customer", "我想退款")
ANSWER: Line = ("agent", "请提供一下订单号")
FAREWELL: Line = ("agent", "感谢您的来电，再见")
CALL = (GREETING, QUESTION, ANSWER, FAREWELL)
"""The turns begin at 0.3, 4.2, 6.5, 9.6 s; the call ends at 11.4 s."""


@pytest.mark.parametrize(
    ("find", "holds"),
    [
        pytest.param("请提供", True, id="a text alone is one phrase"),
        pytest.param(["请出示", "请提供"], True, id="a list alone is any of its parts"),
        pytest.param({"say": ["请…订单号"]}, True, id="a gap in a phrase"),
        pytest.param({"say": ["退款"]}, False, id="rules are about the agent unless they say otherwise"),
        pytest.param({"say": ["退款"], "by": "customer"}, True, id="said by the customer"),
        pytest.param({"say": ["退款"], "by": "anyone"}, True, id="said by anyone"),
        pytest.param({"say": ["请提供"], "by": "customer"}, False, id="said by the other side"),
        pytest.param({"all_of": ["请提供", "再见"]}, True, id="all of two"),
        pytest.param({"all_of": ["请提供", "抱歉"]}, False, id="not all of two"),
        pytest.param({"n_of": ["请提供", "抱歉", "再见"], "n": 2}, True, id="two of three"),
        pytest.param({"n_of": ["请提供", "抱歉", "理解"], "n": 2}, False, id="only one of three"),
        pytest.param({"none_of": ["抱歉", "理解"]}, True, id="none of two"),
        pytest.param({"none_of": ["抱歉", "再见"]}, False, id="one of two that must not be there"),
        pytest.param({"any_of": [{"say": ["退款"]}], "by": "customer"}, True, id="a group hands its speaker down"),
        pytest.param(
            {"any_of": [{"say": ["请提供"], "by": "agent"}], "by": "customer"},
            True,
            id="what says otherwise keeps its own",
        ),
        pytest.param({"regex": "有什么.{0,3}帮"}, True, id="a regular expression"),
        pytest.param({"regex": "退款"}, False, id="a regular expression looks at the wanted speaker only"),
        pytest.param({"say": ["您好"], "first_s": 3}, True, id="in the first seconds"),
        pytest.param({"say": ["请提供"], "first_s": 3}, False, id="later than the first seconds"),
        pytest.param({"say": ["再见"], "last_s": 3}, True, id="in the last seconds"),
        pytest.param({"say": ["您好"], "last_s": 3}, False, id="earlier than the last seconds"),
        pytest.param({"say": ["您好"], "first_percent": 10}, True, id="in the first part"),
        pytest.param({"say": ["请提供"], "first_percent": 10}, False, id="after the first part"),
        pytest.param({"say": ["再见"], "last_percent": 20}, True, id="in the last part"),
        pytest.param({"say": ["请提供"], "last_percent": 20}, False, id="before the last part"),
        pytest.param({"say": ["请提供"], "after": {"of": "退款"}}, True, id="after what the other side said"),
        pytest.param({"say": ["您好"], "after": {"of": "退款"}}, False, id="not after it"),
        pytest.param({"say": ["您好"], "before": {"of": "退款"}}, True, id="before it"),
        pytest.param({"say": ["再见"], "before": {"of": "退款"}}, False, id="not before it"),
        pytest.param({"say": ["再见"], "near": {"of": "退款", "within_turns": 2}}, True, id="two turns away"),
        pytest.param({"say": ["再见"], "near": {"of": "退款", "within_turns": 1}}, False, id="more than one turn away"),
        pytest.param({"say": ["请提供"], "after": {"of": "退款", "within_s": 2}}, True, id="within two seconds"),
        pytest.param({"say": ["再见"], "after": {"of": "退款", "within_s": 2}}, False, id="later than two seconds"),
        pytest.param({"say": ["订单号"], "near": {"of": "提供", "within_letters": 2}}, True, id="within two letters"),
        pytest.param(
            {"say": ["订单号"], "near": {"of": "提供", "within_letters": 1}}, False, id="further than a letter"
        ),
        pytest.param({"say": ["再见"], "after": {"of": "抱歉"}}, False, id="what never came is before nothing"),
        pytest.param(
            {"say": ["再见"], "after": {"of": "抱歉", "if_absent": "holds"}}, True, id="unless the rule says so"
        ),
        pytest.param({"say": ["您"], "at_least": 3}, True, id="three times"),
        pytest.param({"say": ["您"], "at_least": 4}, False, id="not four times"),
        pytest.param({"say": ["请"], "unless": ["请问", "请提供"]}, False, id="only inside harmless phrases"),
    ],
)
def test_a_condition_holds_where_it_should(find: Any, holds: bool) -> None:
    assert looked_for(find, *CALL).holds is holds


def test_hits_are_in_order_of_time_and_say_where_they_stand() -> None:
    found = looked_for({"any_of": ["再见", "请提供"]}, *CALL)
    assert [(hit.passage.number, hit.matched) for hit in found.hits] == [(2, "请提供"), (3, "再见")]
    assert [hit.passage.utterance.text[slice(*hit.span)] for hit in found.hits] == ["请提供", "再见"]
    assert found.hits[0].time_ms[0] < found.hits[1].time_ms[0]


@pytest.mark.parametrize(
    ("nth", "holds"),
    [
        pytest.param(1, False, id="before the first"),
        pytest.param(2, True, id="before the second"),
        pytest.param(-1, True, id="before the last"),
        pytest.param(3, False, id="before a third that is not there"),
        pytest.param(None, True, id="before any"),
    ],
)
def test_an_anchor_can_be_a_certain_hit(nth: int | None, holds: bool) -> None:
    lines: tuple[Line, ...] = (("customer", "余额多少"), ("agent", "先核实身份"), ("customer", "余额多少"))
    find = {"say": ["核实身份"], "before": {"of": "余额", "nth": nth}}
    assert looked_for(find, *lines).holds is holds


@pytest.mark.parametrize(
    ("text", "stance", "holds"),
    [
        pytest.param("我们不承诺保本", "claimed", False, id="negated is not claimed"),
        pytest.param("我们不承诺保本", "not_negated", False, id="negated"),
        pytest.param("我们不承诺保本", "any", True, id="negated, whatever the stance"),
        pytest.param("客户说他们保本", "claimed", False, id="quoted is not claimed"),
        pytest.param("客户说他们保本", "not_negated", True, id="quoted is not negated"),
        pytest.param("这款是保本的", "claimed", True, id="claimed"),
        pytest.param("是不是保本", "claimed", False, id="asked is not claimed"),
        pytest.param("是不是保本", "not_negated", True, id="asked is not negated"),
    ],
)
def test_the_stance_of_the_speaker_decides(text: str, stance: str, holds: bool) -> None:
    assert looked_for({"say": ["保本"], "stance": stance}, ("agent", text)).holds is holds


@pytest.mark.parametrize(
    ("text", "sound", "holds"),
    [
        pytest.param("何时无误", "strict", True, id="half as written"),
        pytest.param("和是无物", "strict", False, id="less than half as written"),
        pytest.param("和是无物", "loose", True, id="wholly by sound but for a negation"),
        pytest.param("合适舞雾", "loose", False, id="a negation in the phrase is never found by sound"),
        pytest.param("何时无误", "off", False, id="only as written"),
        pytest.param("合时一下", "loose", True, id="half by sound"),
        pytest.param("贺式舞雾", "loose", False, id="舞 is not 无"),
    ],
)
def test_phrases_are_found_by_sound_as_far_as_the_rule_allows(text: str, sound: str, holds: bool) -> None:
    assert looked_for({"say": ["核实无误", "核实一下"], "sound": sound}, ("agent", text)).holds is holds


def test_numbers_in_a_regular_expression_are_in_digits() -> None:
    found = looked_for({"regex": r"年化.{0,4}6%"}, ("agent", "年化收益百分之六，很高"))
    (hit,) = found.hits
    assert hit.passage.utterance.text[slice(*hit.span)] == "年化收益百分之六"


@pytest.mark.parametrize(
    ("test", "measures", "holds"),
    [
        pytest.param({"name": "longest_silence_ms", "above": 5_000}, {"longest_silence_ms": 6_000}, True, id="above"),
        pytest.param(
            {"name": "longest_silence_ms", "above": 5_000}, {"longest_silence_ms": 4_000}, False, id="not above"
        ),
        pytest.param({"name": "agent_talk_share", "below": 0.5}, {"agent_talk_share": 0.4}, True, id="below"),
        pytest.param({"name": "emotion_coping", "equals": False}, {"emotion_coping": False}, True, id="false"),
        pytest.param({"name": "emotion_coping", "equals": False}, {"emotion_coping": None}, False, id="not measured"),
        pytest.param({"name": "emotion_coping", "equals": False}, {}, False, id="no such measure"),
    ],
)
def test_a_measure_can_be_asked(test: dict[str, Any], measures: dict[str, Any], holds: bool) -> None:
    assert looked_for({"measure": test}, *CALL, measures=measures).holds is holds


@pytest.mark.parametrize(
    ("test", "facts", "holds"),
    [
        pytest.param(
            {"field": "recording_notice_played", "equals": True}, {"recording_notice_played": True}, True, id="true"
        ),
        pytest.param({"field": "recording_notice_played", "equals": True}, {}, False, id="unknown is not true"),
        pytest.param({"field": "inquiry_type", "one_of": ["退费"]}, {"inquiry_type": "退费"}, True, id="one of"),
        pytest.param({"field": "inquiry_type", "one_of": ["退费"]}, {"inquiry_type": "咨询"}, False, id="none of"),
    ],
)
def test_the_event_can_be_asked(test: dict[str, Any], facts: dict[str, Any], holds: bool) -> None:
    found = looked_for({"event": test}, *CALL, **facts)
    assert (found.holds, found.by_event) == (holds, holds)


PLAYED: dict[str, Any] = {"event": {"field": "recording_notice_played", "equals": True}}
IN_TIME: dict[str, Any] = {"say": ["您好"], "after": {"of": "退款", "within_s": 3}}


@pytest.mark.parametrize(
    ("find", "needs_times", "by_event"),
    [
        pytest.param("您好", False, False, id="words alone"),
        pytest.param({"say": ["您好"], "first_percent": 10}, False, False, id="parts of the call are no seconds"),
        pytest.param({"say": ["再见"], "near": {"of": "退款", "within_turns": 2}}, False, False, id="nor are turns"),
        pytest.param({"say": ["您好"], "first_s": 3}, False, False, id="the first seconds are known well enough"),
        pytest.param({"regex": "您好", "last_s": 3}, False, False, id="so are the last, of an expression"),
        pytest.param(
            {"say": ["再见"], "after": {"of": "退款", "within_s": 9}}, True, False, id="seconds from an anchor"
        ),
        pytest.param({"say": ["再见"], "after": {"of": IN_TIME}}, True, False, id="an anchor of an anchor"),
        pytest.param(
            {"any_of": ["您好"], "after": {"of": "退款", "within_s": 3}}, True, False, id="a group hands them down"
        ),
        pytest.param(
            {"say": ["您"], "after": {"of": "退款", "within_s": 30}, "at_least": 2}, True, False, id="counted hits"
        ),
        pytest.param(PLAYED, False, True, id="the event alone"),
        pytest.param({"any_of": [PLAYED, IN_TIME]}, True, True, id="the event or words in time"),
        pytest.param({"all_of": [PLAYED, IN_TIME]}, True, False, id="the event and words in time"),
        pytest.param({"none_of": [IN_TIME]}, True, False, id="not in time"),
        pytest.param({"measure": {"name": "topics", "above": 0}}, False, False, id="a measure"),
    ],
)
def test_a_condition_knows_whether_it_counts_seconds_and_whether_the_event_shows_it(
    find: Any, needs_times: bool, by_event: bool
) -> None:
    book = book_of(pack_of(rules=[rule(find)]))
    (compiled,) = book.rules
    hearing = book.hearing(CallContext(called(*CALL, recording_notice_played=True)))
    assert compiled.needs_times is needs_times
    assert compiled.nodes["find"].is_shown_by_event(hearing) is by_event


def test_named_conditions_are_used_by_name_and_inherit_where_they_stand() -> None:
    conditions = {"wants_refund": {"say": ["退款"]}}
    assert looked_for({"ref": "wants_refund", "by": "customer"}, *CALL, conditions=conditions).holds
    assert not looked_for({"ref": "wants_refund"}, *CALL, conditions=conditions).holds


def test_a_pack_uses_named_conditions_of_general() -> None:
    general = pack_of(conditions={"greets": "您好"})
    own = pack_of(pack="shop", industry="ecommerce", rules=[rule({"ref": "greets"})])
    assert len(book_of(general, own, industry="ecommerce").rules) == 1


@pytest.mark.parametrize(
    ("conditions", "find", "says"),
    [
        pytest.param({}, {"ref": "nowhere"}, "rules one: there is no condition nowhere", id="unknown name"),
        pytest.param({"a": {"ref": "a"}}, "甲", "condition a: condition a → a refers to itself", id="itself"),
        pytest.param(
            {"a": {"say": ["甲"], "before": {"of": {"ref": "b"}}}, "b": {"say": ["乙"], "after": {"of": {"ref": "a"}}}},
            {"ref": "a"},
            "rules one: condition a → b → a refers to itself",
            id="a circle of anchors",
        ),
    ],
)
def test_conditions_that_do_not_hold_together_are_refused(conditions: dict[str, Any], find: Any, says: str) -> None:
    with pytest.raises(RulePackError) as caught:
        book_of(pack_of(conditions=conditions, rules=[rule(find)]))
    assert f"own@1: {says}" in caught.value.problems


@pytest.mark.parametrize(
    ("find", "says"),
    [
        pytest.param({}, "this one has none", id="nothing"),
        pytest.param({"say": ["甲"], "regex": "乙"}, "this one has say, regex", id="two kinds"),
        pytest.param({"say": ["甲"], "colour": "red"}, "Extra inputs", id="an unknown field"),
        pytest.param({"regex": "("}, "RE2 cannot read the regular expression (missing )", id="a bad expression"),
        pytest.param({"regex": "(?<=甲)乙"}, "RE2 cannot read", id="look-around"),
        pytest.param({"regex": "(a{1000}){1000}"}, "RE2 cannot read", id="an expression that would take all memory"),
        pytest.param({"regex": "甲*"}, "matches the empty text", id="an expression that is found everywhere"),
        pytest.param({"n_of": ["甲"], "n": 2}, "n_of has only 1", id="more than there are"),
        pytest.param({"n_of": ["甲"]}, "belong together", id="no number"),
        pytest.param({"measure": {"name": "x"}}, "needs above, below or equals", id="a measure without test"),
        pytest.param({"say": ["甲"], "before": {"of": "乙", "nth": 0}}, "counted from 1", id="the zeroth hit"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(find: Any, says: str) -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        pack_of(rules=[rule(find)])
    assert says in str(caught.value)


def test_conditions_nested_without_end_are_refused() -> None:
    find: Any = "甲"
    for _ in range(40):
        find = {"any_of": [find]}
    with pytest.raises(ValueError, match="nested deeper"):
        pack_of(rules=[rule(find)])


def test_an_expression_that_takes_others_forever_takes_no_time_here() -> None:
    """(a+)+$ is exponential for a backtracking engine: this test would not end."""
    assert not looked_for({"regex": "(a+)+乙"}, ("agent", "a" * 50_000)).holds


@pytest.mark.parametrize(
    ("by", "role", "holds"),
    [
        pytest.param("agent", "unknown", False, id="an unknown speaker is not taken for the wanted one"),
        pytest.param("customer", "unknown", False, id="nor for the other one"),
        pytest.param("anyone", "unknown", True, id="but is somebody"),
        pytest.param("not_customer", "unknown", True, id="and may be an announcement"),
        pytest.param("not_customer", "agent", True, id="as the agent may make one"),
        pytest.param("not_customer", "customer", False, id="which customers do not"),
    ],
)
def test_who_says_it(by: str, role: Role, holds: bool) -> None:
    assert looked_for({"say": ["请提供"], "by": by}, (role, "请提供一下")).holds is holds


@pytest.mark.parametrize(
    ("find", "asks", "silent"),
    [
        pytest.param({"say": ["甲"], "by": "anyone"}, False, False, id="anybody"),
        pytest.param({"say": ["甲"]}, True, False, id="one side, by the section"),
        pytest.param({"regex": "甲", "by": "customer"}, True, False, id="one side, by a regex"),
        pytest.param({"event": {"field": "direction", "one_of": ["inbound"]}}, False, False, id="a field of the event"),
        pytest.param({"none_of": ["甲"]}, True, True, id="silence of one side"),
        pytest.param({"none_of": ["甲"], "by": "anyone"}, False, False, id="silence of all"),
        pytest.param({"say": ["甲"], "by": "anyone", "at_least": 2}, False, False, id="anybody, twice"),
        pytest.param(
            {"say": ["甲"], "by": "anyone", "after": {"of": {"say": ["乙"], "by": "agent"}}},
            True,
            False,
            id="an anchor",
        ),
        pytest.param(
            {"say": ["甲"], "after": {"of": {"say": ["乙"], "by": "agent"}, "if_absent": "holds"}},
            True,
            True,
            id="an anchor that may be missing",
        ),
    ],
)
def test_whether_a_condition_asks_who_speaks(find: Any, asks: bool, silent: bool) -> None:
    (compiled,) = book_of(pack_of(rules=[rule(find)])).rules
    assert (compiled.asks_who_speaks, compiled.asks_who_is_silent) == (asks, silent)
