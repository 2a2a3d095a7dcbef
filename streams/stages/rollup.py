"""The stage `rollup`: makes the roll-ups of KPIs, and makes a day anew when something of it was stored; and adds up the
durations of calls by ten minutes, for baselines.

It reads no topic and keeps nothing that a restart would lose: what was stored when, and which day was made when, is in
ClickHouse. A second `rollup` does the same work again, and no harm.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from processors.clickhouse.time_buckets import SPAN, MadeBuckets, due_days_of_buckets, due_spans, start_of_day
from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.rollups import PACE, SETTLING, MadeDay, Pace, RollupDefinition, due_days, runs_of
from schemas.config.tenants import TenantDays
from streams.adapters.clickhouse.duration_buckets import ClickHouseDurationBuckets
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.runtime.loop import Loop, nothing
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.wiring import require_migrations

log = logging.getLogger(__name__)

DAYS_AT_ONCE = 7
"""As many days are read in one go at most: what bounds the memory of the database."""

ONE_GO = timedelta(minutes=5)
"""Days that take longer together are not read in one go: the database has to answer in time."""

TURN = timedelta(minutes=10)
"""After that the worker looks again what is due: today may be, while years of other days are left."""

LONGEST_ANSWER_S = 1_800
"""Some days of a large history take the database so long."""

LOOKED_BACK = timedelta(days=7)
"""A `rollup` that was down for so long still finds calls that came late for times that baselines reach no more."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)


class RollupStore(Protocol):
    """Where calls are stored and roll-ups are kept. All raise `RetryableError` when the database does not answer."""

    def now(self) -> datetime:
        """The time of the database, by whose clock rows are stored."""
        ...

    def touched(self, days: TenantDays, since: datetime) -> dict[date, datetime]: ...

    def made(self) -> dict[date, MadeDay]: ...

    def make(self, first: date, last: date, definition: RollupDefinition, as_of: datetime) -> None: ...

    def tidy(self, now: datetime) -> None: ...

    def close(self) -> None: ...


def build(worker: WorkerContext) -> Loop:
    """Waits for ClickHouse."""
    settings = worker.settings
    worker.wait_for(lambda: require_migrations(settings))
    rollups, durations = build_rollups(settings), build_durations(settings)

    def step() -> None:
        try:
            durations.step(worker.stop, loop.beat)
        finally:
            # What keeps durations from being added up keeps nobody from KPIs.
            rollups.step(worker.stop, loop.beat)

    def close() -> None:
        durations.close()
        rollups.close()

    loop = worker.loop(
        step,
        every_s=settings.rollup_every_s,
        recover=close,
        close=close,
        longest_step_s=LONGEST_ANSWER_S,
    )
    return loop


def build_rollups(settings: Settings, pace: Pace = PACE) -> "Rollups":
    """The roll-ups of these settings. Raises `KpiRegistryError` for KPIs of one's own that cannot be used."""
    return Rollups(
        ClickHouseRollups(settings.clickhouse_url.get_secret_value()),
        RollupDefinition(kpis_in_force(settings.kpis_file), settings.days, settings.first_contact_days),
        pace,
    )


def build_durations(settings: Settings) -> "Durations":
    """What adds up durations, by these settings."""
    return Durations(
        ClickHouseDurationBuckets(settings.clickhouse_url.get_secret_value()),
        timedelta(days=settings.baseline_window_days),
    )


class BucketStore(Protocol):
    """Where durations are added up. All raise `RetryableError` when the database does not answer."""

    def now(self) -> datetime:
        """The time of the database, by whose clock rows are stored."""
        ...

    def touched(self, since: datetime, oldest: datetime, until: datetime) -> dict[datetime, datetime]: ...

    def made(self, oldest: datetime, until: datetime) -> MadeBuckets: ...

    def make(self, starts: Sequence[datetime], as_of: datetime) -> None: ...

    def make_day(self, day: datetime, as_of: datetime) -> None: ...

    def close(self) -> None: ...


class Durations:
    """Adds up the durations of calls by ten minutes, and by day when it is over; again when a call came late."""

    def __init__(self, store: BucketStore, window: timedelta) -> None:
        """`window`: how far back baselines reach; what is older is made again where it was made, and not at first."""
        self._store = store
        self._window = window
        self._touched: dict[datetime, datetime] = {}
        self._looked_at = EVER

    def step(self, stop: threading.Event | None = None, beat: Callable[[], None] = nothing) -> list[datetime]:
        """Make what is due, the newest days first; returns the ten minutes that were made. Raises `RetryableError`:
        then the next call does what is left. `beat` is called before each of the database's long answers."""
        now = self._store.now()
        oldest = start_of_day(now - self._window)
        is_first = self._looked_at == EVER
        looks = ((EVER, oldest), (now - LOOKED_BACK, EVER)) if is_first else ((self._looked_at - SETTLING, EVER),)
        for since, ended_since in looks:
            beat()
            for start, stored_at in self._store.touched(since, ended_since, now).items():
                self._touched[start] = max(stored_at, self._touched.get(start, stored_at))
        self._looked_at = now
        made = self._store.made(start_of_day(min(self._touched, default=oldest)), now)
        due = due_spans(self._touched, made, oldest, now, SETTLING)
        done: list[datetime] = []
        for starts in due.values():
            if stop is not None and stop.is_set():
                return done
            beat()
            self._store.make(starts, self._store.now())
            done += starts
        left = {start for starts in due.values() for start in starts} - set(done)
        settled = now - 2 * SETTLING
        self._touched = {
            start: stored_at
            for start, stored_at in self._touched.items()
            if start in left or stored_at >= settled or start + SPAN > now
        }
        yesterday = start_of_day(now) - timedelta(days=1)
        first = start_of_day(min([oldest if is_first else yesterday, *done]))
        for day in due_days_of_buckets(self._store.made(first, now)):
            beat()
            self._store.make_day(day, self._store.now())
        return done

    def close(self) -> None:
        """Let go of the connection; the next step makes a new one."""
        self._store.close()


class Rollups:
    """Makes the days that are due.

    It remembers how long each day took, and forgets it when it ends; what it costs then is that days which were due
    only later are made once at once.
    """

    def __init__(self, store: RollupStore, definition: RollupDefinition, pace: Pace = PACE) -> None:
        self._store = store
        self._definition = definition
        self._pace = pace
        self._touched: dict[date, datetime] = {}
        self._took: dict[date, timedelta] = {}
        self._looked_at = EVER

    def refresh(
        self,
        stop: threading.Event | None = None,
        beat: Callable[[], None] = nothing,
        turn: timedelta = timedelta.max,
    ) -> list[date]:
        """Make what is due, the newest days first, and after `turn` no other; returns the days. Raises
        `RetryableError`; after that, and after a turn, the next call does what is left. `beat` is called before each of
        the database's long answers."""
        began = self._store.now()
        since = self._looked_at - SETTLING if self._looked_at > EVER else EVER
        for day, stored_at in self._store.touched(self._definition.days, since).items():
            self._touched[day] = max(stored_at, self._touched.get(day, stored_at))
        self._looked_at = now = began
        done: list[date] = []
        while now - began < turn and not (stop is not None and stop.is_set()):
            # Asked each time, because what one day took says when others are due.
            due = due_days(self._touched, self._store.made(), self._definition, began, took=self._took, pace=self._pace)
            due = [day for day in due if day not in done]
            if not due:
                break
            first, last = runs_of(due, self._days_at_once())[0]
            made = [day for day in due if first <= day <= last]
            beat()
            as_of = self._store.now()
            self._store.make(first, last, self._definition, as_of)
            now = self._store.now()
            self._took |= dict.fromkeys(made, (now - as_of) / len(made))
            done += made
        return done

    def _days_at_once(self) -> int:
        """One at first: nobody knows yet what days take."""
        if not self._took:
            return 1
        dearest = max(self._took.values())
        return DAYS_AT_ONCE if dearest * DAYS_AT_ONCE <= ONE_GO else max(1, ONE_GO // dearest)

    def step(self, stop: threading.Event, beat: Callable[[], None] = nothing) -> None:
        """Tidy up, and make what is due. Raises `RetryableError`."""
        self._store.tidy(self._store.now())
        days = self.refresh(stop, beat, TURN)
        if days:
            log.info("rollup: made %d day(s), the newest %s", len(days), days[0].isoformat())

    def close(self) -> None:
        """Let go of the connection; the next step makes a new one."""
        self._store.close()
