"""What is not held against anybody where nobody knows who speaks: all shipped rules on recordings with one channel."""

import pytest

from processors.alerts.raising import alerts_of
from schemas.messages.call_analysis import CallAnalysis
from tests.processors.transcripts import NOW, Line, said
from tests.support.shipped_rules import shipped_judge


def judged(*lines: Line, industry: str = "general") -> CallAnalysis:
    return shipped_judge().judge(said(*lines, industry=industry), NOW)


def why_null(analysis: CallAnalysis, measure: str) -> str | None:
    """The reason of a measure that is null."""
    assert analysis.measures[measure] is None
    return next(one.reason for one in analysis.skipped_analysis if one.measure == measure)


def test_that_somebody_says_where_to_complain_threatens_nobody() -> None:
    analysis = judged(("unknown", "您好"), ("unknown", "您可以打投诉电话12315"), industry="ecommerce")
    assert why_null(analysis, "complaint_threat") == "speaker_unknown"
    assert analysis.risk is not None
    assert analysis.risk.level == "low"
    assert "complaint_threat" in analysis.risk.unmeasured
    assert [alert.rule_id for alert in alerts_of(analysis, {}) if not alert.triggers] == []
    assert analysis.selection is not None
    assert "complaint_threat" not in [trigger.name for trigger in analysis.selection.triggers]


@pytest.mark.parametrize(
    ("measure", "lines", "industry"),
    [
        pytest.param("recording_notice", ["你好", "请问你们这个电话会录音吗", "会的"], "general", id="a_question"),
        pytest.param("recording_notice", ["你们通话都会录音的吧，我要听录音"], "general", id="what_a_customer_says"),
        pytest.param("recording_notice", ["喂，你好", "我想查订单"], "general", id="nobody_said_it"),
        pytest.param("greeting", ["您好", "我想查订单"], "general", id="a_greeting_of_anybody"),
        pytest.param("closing", ["我想查订单", "再见"], "general", id="a_goodbye_of_anybody"),
        pytest.param("risk_warning", ["我想买理财产品", "理财有风险，投资需谨慎"], "finance", id="a_script"),
        pytest.param("refund_rules_told", ["我要退货", "七天无理由退货，运费您出"], "ecommerce", id="a_checklist"),
        pytest.param(
            "identity_verified_before_disclosure",
            ["帮我查一下余额", "请提供身份证后四位", "1234", "您的余额是五千元"],
            "finance",
            id="a_procedure",
        ),
        pytest.param("asked_if_more", ["还有其他可以帮您的吗"], "general", id="a_rule_about_the_agent"),
        pytest.param("soothed_upset_customer", ["你们什么态度", "非常抱歉"], "general", id="what_one_side_asks_for"),
    ],
)
def test_words_of_an_unknown_speaker_prove_nothing(measure: str, lines: list[str], industry: str) -> None:
    analysis = judged(*(("unknown", line) for line in lines), industry=industry)
    assert why_null(analysis, measure) == "speaker_unknown"
    assert {finding.role for finding in analysis.findings} <= {"unknown"}


@pytest.mark.parametrize("section", ["mandatory_scripts", "required_disclosures"])
def test_how_many_scripts_were_kept_is_not_known_either_or_calls_would_count_only_when_they_are_good(
    section: str,
) -> None:
    analysis = judged(("unknown", "您好，本次通话将录音"), ("unknown", "再见"))
    assert why_null(analysis, f"{section}_asked") == why_null(analysis, f"{section}_kept") == "speaker_unknown"


@pytest.mark.parametrize(
    "line",
    [
        "您好，本次通话将录音，请问有什么可以帮您？",
        "你好,本次通话加入音,请问有什么可以帮您。",
        "为保障服务质量，您的来电将被录音",
    ],
)
def test_an_announcement_is_one_whoever_is_heard(line: str) -> None:
    assert judged(("unknown", line), ("unknown", "我要查订单")).measures["recording_notice"] is True


def test_an_announcement_of_the_customer_is_none() -> None:
    analysis = judged(("agent", "您好"), ("customer", "我告诉你，本次通话将录音"), ("agent", "好的，再见"))
    assert analysis.measures["recording_notice"] is False


def test_what_telephony_played_needs_nobody_to_say_it() -> None:
    transcript = said(("unknown", "我要查订单"))
    call = transcript.call.model_copy(update={"recording_notice_played": True})
    analysis = shipped_judge().judge(transcript.model_copy(update={"call": call}), NOW)
    assert analysis.measures["recording_notice"] is True


def test_what_a_known_speaker_says_counts_beside_an_unknown_one() -> None:
    analysis = judged(("agent", "您好"), ("customer", "我要投诉你们"), ("unknown", "再见"))
    assert analysis.measures["complaint_threat"] is True
    assert analysis.measures["greeting"] is True
    assert why_null(analysis, "closing") == "speaker_unknown"


def test_claims_are_not_counted_where_an_unknown_speaker_may_have_made_more() -> None:
    analysis = judged(("agent", "您好"), ("unknown", "年化收益百分之六"), industry="finance")
    assert why_null(analysis, "claims_checked") == "speaker_unknown"
