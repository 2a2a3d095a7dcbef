"""`rollup` in its loop, on roll-ups in memory; of what a day is made, tests/integration/test_rollups.py knows."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from processors.kpi.rollups import BY_HAND, MadeDay, RollupDefinition
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from schemas.errors import RetryableError
from streams.runtime.loop import Loop
from streams.stages.rollup import Rollups

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
DEFINITION = RollupDefinition(read_kpis(), TenantDays(), 7)


class MemoryRollups:
    """`RollupStore` in memory: days that were touched, and days that were made, each of which takes a while."""

    def __init__(self, *days: date, day_takes: timedelta = timedelta()) -> None:
        self.touched_days = dict.fromkeys(days, NOW - timedelta(hours=1))
        self.made_days: list[tuple[date, date]] = []
        self.began: list[datetime] = []
        self.clock = NOW
        self.day_takes = day_takes
        self.as_of: dict[date, MadeDay] = {}
        self.failures = 0
        self.closed = 0
        self.after_make: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        if self.failures:
            self.failures -= 1
            raise RetryableError("ClickHouse does not answer")
        return self.clock

    def touched(self, days: TenantDays, since: datetime) -> dict[date, datetime]:  # noqa: ARG002 - one time zone here
        return {day: at for day, at in self.touched_days.items() if at >= since}

    def made(self) -> dict[date, MadeDay]:
        return dict(self.as_of)

    def make(self, first: date, last: date, definition: RollupDefinition, as_of: datetime) -> None:
        self.made_days.append((first, last))
        self.began.append(self.clock)
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        self.clock += self.day_takes * len(days)
        self.as_of |= dict.fromkeys(days, MadeDay(as_of, definition.digest))
        self.after_make()

    def tidy(self, now: datetime) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def run(store: MemoryRollups) -> None:
    """The loop as the worker runs it, until something was made."""
    stop = threading.Event()
    store.after_make = stop.set
    rollups = Rollups(store, DEFINITION)
    Loop("rollup", lambda: rollups.step(stop), stop, 0.01, recover=rollups.close, close=rollups.close).run()


def test_days_that_were_touched_are_made() -> None:
    store = MemoryRollups(date(2026, 3, 1))
    run(store)
    assert store.made_days == [(date(2026, 3, 1), date(2026, 3, 1))]


TODAY = NOW.date()


def test_the_newest_day_tells_what_a_day_takes_and_cheap_ones_are_made_together() -> None:
    days = [TODAY - timedelta(days=number) for number in range(10)]
    store = MemoryRollups(*days, day_takes=timedelta(seconds=1))
    assert Rollups(store, DEFINITION).refresh() == days
    assert store.made_days == [(days[0], days[0]), (days[7], days[1]), (days[9], days[8])]


def test_dear_days_are_made_one_by_one() -> None:
    days = [TODAY - timedelta(days=number) for number in range(3)]
    store = MemoryRollups(*days, day_takes=timedelta(minutes=4))
    assert Rollups(store, DEFINITION).refresh() == days
    assert store.made_days == [(day, day) for day in days]


def test_a_day_that_takes_long_takes_a_tenth_of_the_time_while_calls_come_and_is_whole_when_none_come_any_more() -> (
    None
):
    store = MemoryRollups(TODAY, day_takes=timedelta(minutes=10))
    rollups = Rollups(store, DEFINITION)
    came_last = NOW + timedelta(hours=10)
    while store.clock < NOW + timedelta(hours=13):
        store.touched_days[TODAY] = min(store.clock, came_last)
        rollups.refresh()
        store.clock += timedelta(minutes=1)
    pauses = [later - earlier for earlier, later in zip(store.began, store.began[1:], strict=False)]
    assert 6 <= len(pauses) <= 8
    assert min(pauses) >= timedelta(minutes=100)
    # Today may hold calls that are pending, for which it would be made again much later.
    assert came_last < store.as_of[TODAY].as_of <= came_last + timedelta(minutes=102)


def test_by_hand_all_days_that_were_touched_are_made_also_just_after_they_were() -> None:
    days = [TODAY - timedelta(days=number) for number in range(3)]
    store = MemoryRollups(*days, day_takes=timedelta(minutes=1))
    assert Rollups(store, DEFINITION, BY_HAND).refresh() == days
    store.touched_days.update(dict.fromkeys(days, store.clock))
    assert Rollups(store, DEFINITION).refresh() == days[:1], "what today took keeps the others waiting"
    store.touched_days.update(dict.fromkeys(days, store.clock))
    assert Rollups(store, DEFINITION, BY_HAND).refresh() == days


def test_while_years_are_left_today_is_made_again() -> None:
    days = [TODAY - timedelta(days=number) for number in range(300)]
    store = MemoryRollups(*days, day_takes=timedelta(minutes=10))
    rollups = Rollups(store, DEFINITION)
    for _ in range(30):
        store.touched_days[TODAY] = store.clock
        rollups.refresh(turn=timedelta(minutes=10))
    assert store.made_days.count((TODAY, TODAY)) == 3
    assert {first for first, _ in store.made_days} == set(days[:28])


def test_a_database_that_does_not_answer_is_asked_again_with_a_new_connection(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryRollups(date(2026, 3, 1))
    store.failures = 2
    run(store)
    assert store.made_days == [(date(2026, 3, 1), date(2026, 3, 1))]
    assert store.closed == 3, "after each failure, and at the end"
    assert caplog.text.count("rollup waits: ClickHouse does not answer") == 2
