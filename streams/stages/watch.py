"""The stage `watch`: looks for topic surges once a minute, and raises an alert of each.

It reads no topic: what it needs of calls is in ClickHouse, where each counts once. It keeps nothing: an alert that is
raised again, by another process or after a restart, has the same id.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from processors.kpi.surges import (
    STEP,
    WINDOW,
    RaisedSurges,
    SurgeAssessment,
    SurgeSettings,
    alert_of,
    assess_all,
    last_step,
    same_hours,
    topic_windows,
)
from schemas.messages.alert import MAX_CALLS_OF_SURGE, Alert
from schemas.messages.topics import ALERTS_RAISED
from streams.adapters.clickhouse.topic_counts import ClickHouseTopicCounts
from streams.ports import Clock, PublisherPort, TopicCounts
from streams.runtime.loop import Loop, nothing
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.wiring import require_migrations, require_topics

log = logging.getLogger(__name__)

LOOK_BACK = timedelta(hours=6)
"""Windows that ended so long ago are still looked at: calls are judged late, and the watch may have been down."""


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and ClickHouse."""
    settings = worker.settings
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_migrations(settings))
    watch = Watch(build_surges(settings), worker.publisher(), worker.clock, lambda: worker.metrics.alerts("raised"))
    return worker.loop(watch.look, every_s=settings.surge_every_s)


def build_surges(settings: Settings) -> "Surges":
    """Surges as the settings define them, counted by ClickHouse."""
    return Surges(
        ClickHouseTopicCounts(settings.clickhouse_url.get_secret_value()),
        SurgeSettings(settings.days, settings.surge_weeks, settings.surge_min_count, settings.surge_ratio),
    )


@dataclass(frozen=True)
class Surges:
    """Assesses windows."""

    counts: TopicCounts
    settings: SurgeSettings

    def assessments(self, first_end: datetime, last_end: datetime) -> list[SurgeAssessment]:
        """Of every topic in every window that ends at a step in [first_end, last_end], in the order of time.

        Raises `RetryableError` when the database does not answer.
        """
        ends = [first_end + step * STEP for step in range((last_end - first_end) // STEP + 1)]
        starts = [end - WINDOW for end in ends]
        ranges = [(starts[0], ends[-1])]
        for zone in self.settings.days.zones:
            for week in zip(*(same_hours(start, self.settings, zone) for start in starts), strict=True):
                ranges.append((min(week), max(week) + WINDOW))
        # Each bucket once, also where two ranges touch.
        buckets = {(b.tenant_id, b.start): b for start, end in ranges for b in self.counts.buckets(start, end)}
        return assess_all(topic_windows(buckets.values(), starts, self.settings), self.settings)

    def alert(self, surge: SurgeAssessment, now: datetime) -> Alert:
        """With the calls behind it. Raises `RetryableError`."""
        window = surge.window
        calls = self.counts.calls_about(window.tenant_id, window.topic_id, window.start, window.end, MAX_CALLS_OF_SURGE)
        return alert_of(surge, calls, now)


class Watch:
    """Raises an alert of every surge that is news."""

    def __init__(
        self, surges: Surges, publisher: PublisherPort, clock: Clock, raised: Callable[[], None] = nothing
    ) -> None:
        """`raised` is called for each alert that is durable."""
        self._surges = surges
        self._publisher = publisher
        self._clock = clock
        self._count_raised = raised
        self._raised = RaisedSurges(surges.settings.ratio)

    def look(self) -> list[Alert]:
        """Raise what is news; returns it. Raises `RetryableError`; then the next look finds the same again."""
        now = self._clock.now()
        end = last_step(now)
        alerts = []
        for assessment in self._surges.assessments(end - LOOK_BACK, end):
            if assessment.verdict == "surge" and self._raised.is_news(assessment.window):
                alert = self._surges.alert(assessment, now)
                self._publisher.publish([ALERTS_RAISED.record(alert)])
                self._count_raised()
                self._raised.remember(assessment.window)
                log.warning(
                    "watch: surge of %s/%s, %d calls in the hour to %s",
                    alert.tenant_id,
                    alert.topic_id,
                    assessment.window.count,
                    alert.happened_at.isoformat(),
                )
                alerts.append(alert)
        return alerts


def surges_table(assessments: Sequence[SurgeAssessment], end: datetime) -> Table:
    """For people: the most unlikely first."""
    title = f"topics of the hour to {end:%Y-%m-%d %H:%M} UTC"
    table = Table("tenant", "topic", "name", "calls", "past weeks", "expected", "chance", "q", "verdict", title=title)
    for one in sorted(assessments, key=lambda one: (1.0 if one.chance is None else one.chance, -one.window.count)):
        table.add_row(
            one.window.tenant_id,
            Text(one.window.topic_id),
            Text(one.window.name),
            str(one.window.count),
            " ".join(map(str, one.window.past)),
            "" if one.expected is None else f"{one.expected:g}",
            "" if one.chance is None else f"{one.chance:.2g}",
            "" if one.q_value is None else f"{one.q_value:.2g}",
            one.verdict,
        )
    return table


def as_json(assessments: Sequence[SurgeAssessment]) -> list[dict[str, Any]]:
    """For programs; times in ISO 8601."""
    return [
        {
            "tenant_id": assessment.window.tenant_id,
            "topic_id": assessment.window.topic_id,
            "name": assessment.window.name,
            "window_start": assessment.window.start.isoformat(),
            "window_end": assessment.window.end.isoformat(),
            "calls": assessment.window.count,
            "past_weeks": list(assessment.window.past),
            "expected": assessment.expected,
            "chance": assessment.chance,
            "q_value": assessment.q_value,
            "comparisons": assessment.comparisons,
            "verdict": assessment.verdict,
        }
        for assessment in assessments
    ]
