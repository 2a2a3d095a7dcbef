"""`rollup` in its loop, on roll-ups in memory; of what a day is made, tests/integration/test_rollups.py knows."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from processors.kpi.rollups import MadeDay, RollupDefinition
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from schemas.errors import RetryableError
from streams.runtime.loop import Loop
from streams.stages.rollup import Rollups

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
DEFINITION = RollupDefinition(read_kpis(), TenantDays(), 7)


class MemoryRollups:
    """`RollupStore` in memory: days that were touched, and days that were made."""

    def __init__(self, *days: date) -> None:
        self.touched_days = dict.fromkeys(days, NOW - timedelta(hours=1))
        self.made_days: list[tuple[date, date]] = []
        self.failures = 0
        self.closed = 0
        self.after_make: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        if self.failures:
            self.failures -= 1
            raise RetryableError("ClickHouse does not answer")
        return NOW

    def touched(self, days: TenantDays, since: datetime) -> dict[date, datetime]:  # noqa: ARG002 - one time zone here
        return {day: at for day, at in self.touched_days.items() if at >= since}

    def made(self) -> dict[date, MadeDay]:
        return {}

    def make(self, first: date, last: date, definition: RollupDefinition, as_of: datetime) -> None:  # noqa: ARG002
        self.made_days.append((first, last))
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
    store = MemoryRollups(date(2026, 3, 1), date(2026, 2, 28))
    run(store)
    assert store.made_days == [(date(2026, 2, 28), date(2026, 3, 1))]


def test_a_database_that_does_not_answer_is_asked_again_with_a_new_connection(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryRollups(date(2026, 3, 1))
    store.failures = 2
    run(store)
    assert store.made_days == [(date(2026, 3, 1), date(2026, 3, 1))]
    assert store.closed == 3, "after each failure, and at the end"
    assert caplog.text.count("rollup waits: ClickHouse does not answer") == 2
