"""Calls whose agent and customer may be exchanged: what is said of the agent there accuses nobody."""

import pytest

from processors.alerts.raising import alerts_of
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import Role
from tests.processors.transcripts import NOW, Line, said
from tests.support.shipped_rules import shipped_judge

AGENT = ["您好，这里是理财中心，请问有什么可以帮您", "这款产品保本保息，绝对不会亏损，内部有名额"]
CUSTOMER = ["我想问一下你们的理财产品", "好的，谢谢"]


def lines(*, exchanged: bool = False) -> list[Line]:
    """The conversation, under its roles or under those of the other side."""
    roles: list[Role] = ["customer", "agent"] if exchanged else ["agent", "customer"]
    return [(role, text) for pair in zip(AGENT, CUSTOMER, strict=True) for role, text in zip(roles, pair, strict=True)]


def judged(doubtful: bool, *said_lines: Line) -> CallAnalysis:
    transcript = said(*said_lines, industry="finance").model_copy(update={"roles_doubtful": doubtful})
    return shipped_judge().judge(transcript, NOW)


def test_the_doubt_of_the_transcript_stands_in_the_analysis() -> None:
    assert judged(True, *lines()).roles_doubtful
    assert not judged(False, *lines()).roles_doubtful


def test_words_that_contradict_the_roles_are_seen_in_any_transcript() -> None:
    assert judged(False, *lines(exchanged=True)).roles_doubtful


def test_traditional_characters_contradict_as_well() -> None:
    said_by_the_other: list[Line] = [
        ("agent", "我的訂單還沒有到，你們怎麼回事"),
        ("customer", "您好，請問有什麼可以幫您"),
    ]
    assert judged(False, *said_by_the_other).roles_doubtful


@pytest.mark.parametrize("doubtful", [True, False])
def test_what_is_found_is_shown_but_neither_alerts_nor_makes_the_risk_high(doubtful: bool) -> None:
    analysis = judged(doubtful, *lines())
    assert analysis.risk is not None
    assert analysis.measures["sensitive_words"] == 3
    assert (analysis.risk.level == "high") is not doubtful
    assert ("sensitive_word" in analysis.risk.unmeasured) is doubtful
    assert bool(alerts_of(analysis, {})) is not doubtful


def test_what_the_customer_side_says_still_counts() -> None:
    analysis = judged(True, ("agent", "您好"), ("customer", "我要投诉你们"))
    assert [alert.rule_id for alert in alerts_of(analysis, {})] == ["general.complaint", "selected"]
