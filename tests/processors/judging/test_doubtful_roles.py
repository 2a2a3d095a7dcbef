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
    assert sum(finding.detector == "sensitive_words" for finding in analysis.findings) == 3
    assert analysis.measures["sensitive_words"] == (None if doubtful else 3)
    assert (analysis.risk.level == "high") is not doubtful
    assert ("sensitive_word" in analysis.risk.unmeasured) is doubtful
    assert bool(alerts_of(analysis, {})) is not doubtful


def test_what_the_customer_side_says_still_counts() -> None:
    analysis = judged(True, ("agent", "您好"), ("customer", "我要投诉你们"))
    assert [alert.rule_id for alert in alerts_of(analysis, {})] == ["general.complaint", "selected"]


THREAT_OF_THE_OTHER: list[Line] = [
    ("customer", "您好，这里是售后客服，请问有什么可以帮您"),
    ("agent", "我的订单还没有到，你们怎么回事，再不处理我就去12315投诉你们"),
    ("customer", "非常抱歉，我帮您查询一下，请稍等"),
    ("agent", "好的，谢谢"),
]


def test_what_is_measured_of_a_side_is_null_with_the_reason() -> None:
    analysis = judged(False, *THREAT_OF_THE_OTHER)
    reasons = {one.measure: one.reason for one in analysis.skipped_analysis}
    of_sides = {
        *("complaint_threat", "greeting", "recording_notice", "mandatory_scripts_kept", "sensitive_words"),
        *("agent_talk_share", "customer_speech_rate_cpm", "response_delay_median_ms", "unexcused_silences"),
        *("agent_turns", "customer_interruptions", "reading_upset", "reading_threat", "reading_suspicions"),
    }
    assert {measure: analysis.measures[measure] for measure in of_sides} == dict.fromkeys(of_sides)
    assert {reasons[measure] for measure in of_sides} == {"roles_doubtful"}
    assert not analysis.response_delays_ms
    assert analysis.measures["topics"] is not None
    assert analysis.measures["reading_select"] is not None


def test_a_threat_of_whom_nobody_knows_is_shown_and_not_counted() -> None:
    analysis = judged(True, ("agent", "您好"), ("customer", "我要投诉你们"))
    assert "general.complaint" in [finding.rule_id for finding in analysis.findings]
    assert analysis.measures["complaint_threat"] is None


def test_what_the_event_shows_needs_no_roles() -> None:
    transcript = said(*THREAT_OF_THE_OTHER)
    call = transcript.call.model_copy(update={"recording_notice_played": True})
    analysis = shipped_judge().judge(transcript.model_copy(update={"call": call}), NOW)
    assert analysis.measures["recording_notice"] is True


def test_a_call_whose_roles_are_doubtful_has_no_score() -> None:
    analysis = judged(True, *lines())
    assert analysis.scorecard is not None
    assert analysis.scorecard.score is None
