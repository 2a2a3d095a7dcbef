"""Judged calls in memory: `History` and `TopicCounts` for tests, by the same contract as ClickHouse."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from processors.clickhouse.rows import version_of_analysis
from processors.judging.baselines import baseline_of, group_of, moment_of
from processors.judging.call_context import Background, DurationBaseline
from processors.judging.earlier_contacts import contacts_before
from processors.kpi import surges
from processors.kpi.surges import BucketCount
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded


class MemoryCalls:
    """Holds the newest analysis of each call, however often and in whatever order it is added."""

    def __init__(self, baseline_window_days: int = 28) -> None:
        self._window = timedelta(days=baseline_window_days)
        self._analyses: dict[tuple[str, str], CallAnalysis] = {}

    def add(self, *analyses: CallAnalysis) -> None:
        """One delivery."""
        for analysis in analyses:
            key = (analysis.tenant_id, analysis.call_id)
            known = self._analyses.get(key)
            if known is None or version_of_analysis(known) <= version_of_analysis(analysis):
                self._analyses[key] = analysis

    def background(self, call: CallEnded) -> Background:
        """`streams.ports.History`."""
        return Background(self._baseline(call), contacts_before(call, self._analyses.values()))

    def _baseline(self, call: CallEnded) -> DurationBaseline | None:
        until = moment_of(call.ended_at)
        durations_ms = [
            int(duration_ms)
            for analysis in self._ended(until - self._window, until)
            if analysis.outcome == "analyzed"
            and group_of(analysis.call) == group_of(call)
            and (duration_ms := analysis.measures.get("duration_ms"))
        ]
        return baseline_of(durations_ms) if durations_ms else None

    def buckets(self, start: datetime, end: datetime) -> Sequence[BucketCount]:
        """`streams.ports.TopicCounts`."""
        grouped: dict[tuple[str, datetime], list[CallAnalysis]] = {}
        for analysis in self._ended(start, end):
            step = surges.last_step(analysis.call.ended_at)
            grouped.setdefault((analysis.tenant_id, step), []).append(analysis)
        found = [_bucket(tenant_id, step, grouped[tenant_id, step]) for tenant_id, step in sorted(grouped)]
        return [bucket for bucket in found if bucket.calls]

    def calls_about(self, tenant_id: str, topic_id: str, start: datetime, end: datetime, most: int) -> tuple[str, ...]:
        """`streams.ports.TopicCounts`."""
        found = [
            (analysis.call.ended_at, analysis.call_id)
            for analysis in self._ended(start, end)
            if analysis.tenant_id == tenant_id and topic_id in {topic.topic_id for topic in analysis.topics}
        ]
        return tuple(call_id for _, call_id in sorted(found, reverse=True)[:most])

    def _ended(self, start: datetime, end: datetime) -> Iterator[CallAnalysis]:
        return (analysis for analysis in self._analyses.values() if start <= analysis.call.ended_at < end)


def _bucket(tenant_id: str, start: datetime, analyses: Sequence[CallAnalysis]) -> BucketCount:
    topics: dict[str, int] = {}
    names: dict[str, str] = {}
    for analysis in analyses:
        own = {topic.topic_id: topic.name for topic in analysis.topics}
        for topic_id in own:
            topics[topic_id] = topics.get(topic_id, 0) + 1
        names |= own
    calls = sum(analysis.outcome == "analyzed" for analysis in analyses)
    return BucketCount(tenant_id, start, calls, topics, names)
