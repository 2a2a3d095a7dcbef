"""`judge`: text and intervals to findings, measures, score, risk and alerts."""

import gc
from collections.abc import Callable, Mapping, Sequence

from processors.alerts.raising import alerts_of
from processors.custody.ports import Tombstones
from processors.judging.call_context import CallContext
from processors.judging.pipeline import Judge
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.finding import Severity
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import ALERTS_RAISED, CALLS_ANALYZED, CALLS_TRANSCRIBED, RULES_PUBLISHED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.history import ClickHouseHistory
from streams.adapters.kafka.client import TopicReader
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.register.register import Register
from streams.analysis import judge_settings
from streams.ports import Clock, History, NoHistory
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.loop import Loop
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.rule_signatures import read_public_keys
from streams.runtime.rules_feed import LiveJudge, follow, packs_at_hand
from streams.runtime.stage import Stage
from streams.runtime.worker_context import WorkerContext
from streams.wiring import buried_calls, require_register, require_topics


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and takes over the rules in force; raises `RulePackError` and the like for files of one's own."""
    settings = worker.settings
    live = LiveJudge(
        judge_settings(settings), packs_at_hand(settings.rules_folder), read_public_keys(settings.rules_public_keys)
    )
    worker.wait_for(lambda: require_register(Register.of(settings)))
    stage = judge_stage(
        lambda: live.current,
        worker.clock,
        ClickHouseHistory.of(settings),
        settings.alert_min_severity,
        buried_calls(settings),
        lambda analysis, alerts: count_judged(worker.metrics, analysis, alerts),
    )
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(
        lambda: follow(
            live, lambda: TopicReader(settings, RULES_PUBLISHED.name), worker.stop, settings.retry_max_wait_s
        )
    )
    # Rules stay for good: without them, the collector has a tenth of the time of a call less to do.
    gc.freeze()
    return worker.loop_of(stage, FaustSource(settings, stage.name, stage.source.name, worker.stop))


def judge_stage(
    judge: Callable[[], Judge],
    clock: Clock,
    history: History | None = None,
    alert_min_severity: Severity = "high",
    tombstones: Tombstones = NO_TOMBSTONES,
    judged: Callable[[CallAnalysis, int], None] = lambda _analysis, _alerts: None,
) -> Stage[Transcript, CallContext, CallAnalysis]:
    """calls.transcribed.v1 → detectors → calls.analyzed.v1, alerts.raised.v1. Text and intervals, and what is known of
    other calls.

    `judge` gives the judge with the rules in force, for each message anew. `judged` is told of each judgement, and how
    many alerts follow from it.
    """
    background = (history or NoHistory()).background

    def side_outputs(analysis: CallAnalysis) -> Sequence[ProducerRecord]:
        outputs = alert_outputs(analysis, judge().category_names(analysis), alert_min_severity)
        judged(analysis, len(outputs))
        return outputs

    return Stage(
        "judge",
        CALLS_TRANSCRIBED,
        load=lambda transcript: CallContext(transcript, background(transcript.call)),
        step=lambda context: judge().judge(context.transcript, clock.now(), context.background),
        save=lambda _context, _analysis: None,
        target=CALLS_ANALYZED,
        clock=clock,
        side_outputs=side_outputs,
        tombstones=tombstones,
    )


def count_judged(metrics: WorkerMetrics, analysis: CallAnalysis, alerts: int) -> None:
    """Into the metrics."""
    metrics.outcome(analysis.outcome)
    metrics.alerts("raised", alerts)


def alert_outputs(
    analysis: CallAnalysis, category_names: Mapping[str, str], min_severity: Severity
) -> list[ProducerRecord]:
    """The alerts that follow from a judgement; titles name categories as the packs in force do."""
    return [ALERTS_RAISED.record(alert) for alert in alerts_of(analysis, category_names, min_severity)]
