"""`judge` as it is wired: one analysis of a transcript, and the alerts that follow."""

from datetime import UTC, datetime

from schemas.messages.alert import Alert
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.finding import Severity
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import ALERTS_RAISED, CALLS_ANALYZED, CALLS_TRANSCRIBED, key_of_alert
from streams.stages.judge import judge_stage
from tests.processors.transcripts import said
from tests.support.alerts import an_alert
from tests.support.shipped_rules import shipped_judge

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
JUDGE = shipped_judge()


class FixedClock:
    def now(self) -> datetime:
        return NOW


def test_judge_makes_an_analysis_of_a_transcript_under_the_key_of_its_call() -> None:
    heard = said(("agent", "您好"), ("customer", "我想查一下订单"))
    stage = judge_stage(lambda: JUDGE, FixedClock())
    output, *alerts = stage.handle(ConsumerRecord(CALLS_TRANSCRIBED.name, 0, 0, b"whatever", heard.encode()))
    assert (output.topic, output.key) == (CALLS_ANALYZED.name, b"acme/c-1")
    analysis = CallAnalysis.decode(output.value)
    assert (analysis.call, analysis.outcome, analysis.analyzed_at) == (heard.call, "analyzed", NOW)
    assert [Alert.decode(alert.value).triggers for alert in alerts] == [("duration_anomaly",)], "of a second of speech"


def test_what_judge_finds_grave_enough_is_an_alert_beside_the_analysis_under_the_same_key() -> None:
    transcript = said(("agent", "这款产品绝对不会亏损"), industry="finance")
    raw = ConsumerRecord(CALLS_TRANSCRIBED.name, 0, 0, b"whatever", transcript.encode())
    analysis, *alerts = judge_stage(lambda: JUDGE, FixedClock()).handle(raw)
    assert analysis.topic == CALLS_ANALYZED.name
    assert {(alert.topic, alert.key) for alert in alerts} == {(ALERTS_RAISED.name, analysis.key)}
    grave = [f.rule_id for f in CallAnalysis.decode(analysis.value).findings if f.severity in ("high", "critical")]
    raised = [Alert.decode(alert.value).rule_id for alert in alerts]
    assert "finance.no_loss" in raised
    assert set(grave) <= set(raised)


def test_judge_raises_what_the_setting_says() -> None:
    transcript = said(("agent", "只剩最后一个名额了"), industry="finance")
    raw = ConsumerRecord(CALLS_TRANSCRIBED.name, 0, 0, b"whatever", transcript.encode())
    severities: tuple[Severity, ...] = ("medium", "high")
    counts = {
        severity: len(judge_stage(lambda: JUDGE, FixedClock(), alert_min_severity=severity).handle(raw)) - 1
        for severity in severities
    }
    assert counts["medium"] > counts["high"]


def test_an_alert_of_no_call_has_its_own_id_in_its_key() -> None:
    surge = an_alert(kind="surge", call_id=None, topic_id="refund", calls_count=40)
    assert key_of_alert(surge) == f"acme/{surge.alert_id}".encode()
