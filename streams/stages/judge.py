"""`judge`: text and intervals to findings, measures, score, risk and alerts."""

from collections.abc import Callable

from processors.alerts.raising import alerts_of
from processors.judging.call_context import CallContext
from processors.judging.pipeline import Judge
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.finding import Severity
from schemas.messages.topics import ALERTS_RAISED, CALLS_ANALYZED, CALLS_TRANSCRIBED, alert_key, message_key
from schemas.messages.transcript import Transcript
from streams.ports import Clock, History, NoHistory
from streams.runtime.stage import Output, Stage


def judge_stage(
    judge: Callable[[], Judge],
    clock: Clock,
    history: History | None = None,
    alert_min_severity: Severity = "high",
) -> Stage[Transcript, CallContext, CallAnalysis]:
    """calls.transcribed.v1 → detectors → calls.analyzed.v1, alerts.raised.v1. Text and intervals, and what is known of
    other calls.

    `judge` gives the judge with the rules in force, for each message anew.
    """
    background = (history or NoHistory()).background
    return Stage(
        "judge",
        CALLS_TRANSCRIBED,
        load=lambda transcript: CallContext(transcript, background(transcript.call)),
        step=lambda context: judge().judge(context.transcript, clock.now(), context.background),
        save=lambda _case, _analysis: None,
        key=lambda analysis: message_key(analysis.tenant_id, analysis.call_id),
        target=CALLS_ANALYZED,
        clock=clock,
        side_outputs=lambda analysis: alert_outputs(analysis, alert_min_severity),
    )


def alert_outputs(analysis: CallAnalysis, min_severity: Severity) -> list[Output]:
    """The alerts of a judgement, as messages."""
    return [Output(ALERTS_RAISED.name, alert_key(alert), alert.encode()) for alert in alerts_of(analysis, min_severity)]
