"""The stage `reconcile`: calls that the exchange lists and of which no recording came are `not_received` (R39).

It reads no topic: what the exchange lists, and what has come, is in ClickHouse. It keeps nothing that a restart would
lose. What comes late takes the outcome away again, and an alert of an hour that is complete tells so.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from processors.telephony.missing import HourOfMissing, alert_of, news
from schemas.messages.alert import MAX_CALLS_OF_SURGE, Alert
from schemas.messages.topics import ALERTS_RAISED, LANE_OF
from streams.adapters.clickhouse.missing_recordings import ClickHouseMissingRecordings
from streams.adapters.kafka.client import lags, read_record
from streams.ports import Clock, PublisherPort
from streams.runtime.loop import Loop, nothing
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.wiring import require_migrations, require_topics

log = logging.getLogger(__name__)

STORE = "store"

ALARMS_FOR = timedelta(days=7)
"""So long after an hour its alert is told again when more is missing, or that all has come."""

MARGIN = timedelta(minutes=10)
"""Rows are stored by the clock of the database, and may be seen a little later than they were stored."""

LONGEST_LOOK_S = 1_800
"""The first look at a month of a large exchange takes the database so long."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)


class MissingRecordings(Protocol):
    """What the exchange lists, beside what came. All raise `RetryableError` when the database does not answer."""

    def find(self, *, now: datetime, oldest: datetime, due: datetime, looked: datetime, looked_due: datetime) -> None:
        """Note the calls that ended in [oldest, due), must have a recording and of which nothing is known.

        Of these only those whose row was stored since `looked`, or that ended since `looked_due`: the others were
        looked at before.
        """
        ...

    def let_go(self, now: datetime) -> None:
        """Note of those that were missing which are no more: their event came, or the list was corrected."""
        ...

    def hours(self, since: datetime) -> list[HourOfMissing]:
        """What was found missing since then, by the hour."""
        ...

    def first_calls(self, hour: HourOfMissing, most: int) -> tuple[str, ...]:
        """Of the calls of an hour that are still missing those that ended first."""
        ...

    def raised(self, since: datetime) -> frozenset[str]:
        """Ids of the alerts about missing recordings that are stored."""
        ...

    def close(self) -> None: ...


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and ClickHouse."""
    settings = worker.settings
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_migrations(settings))
    reconcile = Reconcile(
        ClickHouseMissingRecordings(settings.clickhouse_url.get_secret_value()),
        worker.publisher(),
        worker.clock,
        ReconcileSettings.of(settings),
        lambda now: stored_until(settings, now),
        lambda: worker.metrics.alerts("raised"),
    )
    return worker.loop(
        reconcile.look,
        every_s=settings.reconcile_every_s,
        recover=reconcile.close,
        close=reconcile.close,
        longest_step_s=LONGEST_LOOK_S,
    )


def stored_until(settings: Settings, now: datetime, topics: Collection[str] = tuple(LANE_OF)) -> datetime:
    """All messages that were written to the topics, events by default, before this moment are in ClickHouse.

    Raises `RetryableError` and `KafkaAccessError`.
    """
    behind = lags(settings, {STORE: tuple(topics)})
    waiting = [read_record(settings, lag.topic, *unread) for lag in behind for unread in lag.unread]
    return min([now, *(record.written_at for record in waiting if record is not None)])


@dataclass(frozen=True)
class ReconcileSettings:
    """A call is missing when nothing has come `grace` after its end; older ones than `oldest` are not looked for."""

    grace: timedelta = timedelta(minutes=15)
    oldest: timedelta = timedelta(days=31)

    @classmethod
    def of(cls, settings: Settings) -> "ReconcileSettings":
        """Those of the settings."""
        return cls(timedelta(minutes=settings.reconcile_grace_minutes), timedelta(days=settings.reconcile_days))


class Reconcile:
    """Looks for what is missing, and raises an alert of what is news."""

    def __init__(
        self,
        recordings: MissingRecordings,
        publisher: PublisherPort,
        clock: Clock,
        settings: ReconcileSettings,
        stored_until: Callable[[datetime], datetime],
        raised: Callable[[], None] = nothing,
    ) -> None:
        """`raised` is called for each alert that is durable."""
        self._recordings = recordings
        self._publisher = publisher
        self._clock = clock
        self._settings = settings
        self._stored_until = stored_until
        self._count_raised = raised
        self._looked = self._looked_due = EVER
        self._raised: set[str] = set()

    def look(self) -> Sequence[Alert]:
        """The alerts that were raised. Raises `RetryableError`; then the next look finds the same again.

        While `store` is behind, calls whose events it has not read yet are not missing: they are looked for later.
        """
        now = self._clock.now()
        due = min(now, self._stored_until(now)) - self._settings.grace
        oldest = now - self._settings.oldest
        self._recordings.find(now=now, oldest=oldest, due=due, looked=self._looked, looked_due=self._looked_due)
        self._looked, self._looked_due = now - MARGIN, max(self._looked_due, due - MARGIN)
        self._recordings.let_go(self._clock.now() + timedelta(milliseconds=1))
        return self._tell(now)

    def _tell(self, now: datetime) -> list[Alert]:
        since = now - ALARMS_FOR
        hours = self._recordings.hours(since)
        if not hours:
            return []
        raised = self._recordings.raised(since) | self._raised
        alerts = []
        for hour in news(hours, raised):
            alert = alert_of(hour, self._recordings.first_calls(hour, MAX_CALLS_OF_SURGE), now)
            self._publisher.publish([ALERTS_RAISED.record(alert)])
            self._count_raised()
            self._raised.add(alert.alert_id)
            log.warning(
                "reconcile: %s has %d call(s) without a recording, of %d found in the hour from %s",
                hour.tenant_id,
                hour.missing,
                hour.ever,
                hour.hour.isoformat(),
            )
            alerts.append(alert)
        return alerts

    def close(self) -> None:
        """Lets go of the connection."""
        self._recordings.close()
