"""Completeness against the exchange's own list: what is missing, late or corrected; recounted by hand."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import (
    ALERTS,
    CALLS,
    EXCHANGE_CALLS,
    MISSING_RECORDINGS,
    OUTCOMES,
    rows_for_alert,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_listed,
)
from processors.kpi.sql import kpi_views
from schemas.clickhouse.views import load_views
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from schemas.messages.alert import Alert
from schemas.messages.call_listed import CallListed
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.missing_recordings import ClickHouseMissingRecordings
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.memory.broker import MemoryBroker
from streams.stages.reconcile import Reconcile, ReconcileSettings
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import FixedClock, an_event, judged

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 3, 23, 4, 0, tzinfo=UTC)
"""A Monday, twelve o'clock in Shanghai."""
MINUTE = timedelta(minutes=1)
DATABASE = "reconciliation"


@pytest.fixture(scope="module")
def url(engine: RunningEngine) -> str:
    url = engine.url(DATABASE)
    days = TenantDays("Asia/Shanghai", {"paris": "Europe/Paris"})
    migrate(url, views=load_views(days=days) | kpi_views(read_kpis(), days, 7))
    return url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with connect(url) as client:
        yield client
        for table in (EXCHANGE_CALLS, MISSING_RECORDINGS, OUTCOMES, ALERTS, CALLS, "purge_versions", "blocked_calls"):
            client.command(f"TRUNCATE TABLE {table}")


def listed(call_id: str, ended_at: datetime = NOON, tenant: str = "acme", **facts: Any) -> CallListed:
    usual: dict[str, Any] = {"recorded": True, "started_at": ended_at - 3 * MINUTE, "listed_at": ended_at + MINUTE}
    return CallListed.model_validate(
        {"tenant_id": tenant, "call_id": call_id, "ended_at": ended_at} | usual | facts,
    )


class World:
    """Lists, events and a worker that reconciles them, by a clock that stands until it is moved."""

    def __init__(self, url: str, client: Client) -> None:
        self.client = client
        self.sink = ClickHouseSink(client)
        self.broker = MemoryBroker()
        self.clock = FixedClock(NOON + timedelta(hours=1))
        self.stored_until: datetime | None = None
        self.url = url
        self.worker = self.new_worker()

    def new_worker(self) -> Reconcile:
        return Reconcile(
            ClickHouseMissingRecordings(self.url),
            self.broker,
            self.clock,
            ReconcileSettings(),
            lambda now: self.stored_until or now,
        )

    def lists(self, *calls: CallListed) -> None:
        for call in calls:
            self.sink.write(rows_for_call_listed(call))

    def receives(self, call_id: str, ended_at: datetime = NOON, tenant: str = "acme") -> None:
        event = an_event(call_id, ended_at, tenant_id=tenant)
        self.sink.write(rows_for_call_ended(event, self.clock.now()))

    def look(self) -> Sequence[Alert]:
        alerts = self.worker.look()
        for alert in alerts:
            self.sink.write(rows_for_alert(alert))
        return alerts

    def outcomes(self) -> Mapping[str, tuple[str, str]]:
        rows = self.client.query("SELECT call_id, outcome, reason FROM outcomes").result_rows
        assert len({row[0] for row in rows}) == len(rows), "each call stands there once"
        return {call_id: (outcome, reason) for call_id, outcome, reason in rows}


@pytest.fixture
def world(url: str, client: Client) -> World:
    return World(url, client)


MISSING = ("not_received", "no_event")
PENDING = ("pending", "")


def test_a_call_that_the_exchange_has_and_we_have_not_is_not_received(world: World) -> None:
    world.lists(listed("c1"), listed("c2"), listed("unanswered", recorded=False))
    world.receives("c1")
    world.look()
    assert world.outcomes() == {"c1": PENDING, "c2": MISSING}


def test_a_call_is_not_missed_before_its_grace_is_over(world: World) -> None:
    world.clock.moment = NOON + 14 * MINUTE
    world.lists(listed("c1"))
    world.look()
    assert world.outcomes() == {}
    world.clock.moment = NOON + 16 * MINUTE
    world.look()
    assert world.outcomes() == {"c1": MISSING}


def test_a_recording_that_comes_late_takes_the_outcome_away_at_once_and_ends_the_alarm(world: World) -> None:
    world.lists(listed("c1"))
    (alarm,) = world.look()
    world.receives("c1")
    assert world.outcomes() == {"c1": PENDING}, "before anybody has looked again"
    world.clock.moment += 5 * MINUTE
    (end,) = world.look()
    assert (alarm.rule_id, end.rule_id) == ("not_received", "not_received.over")
    assert (alarm.severity, end.severity) == ("high", "high"), "whom the alarm has reached"
    assert world.look() == []
    assert world.outcomes() == {"c1": PENDING}


def test_an_event_that_came_before_the_list_is_not_missed(world: World) -> None:
    world.receives("c1")
    world.look()
    world.lists(listed("c1"))
    world.look()
    assert world.outcomes() == {"c1": PENDING}


def test_a_list_that_comes_a_day_late_is_reconciled_too(world: World) -> None:
    world.look()
    world.clock.moment += timedelta(days=1)
    world.lists(listed("c1"))
    world.look()
    assert world.outcomes() == {"c1": MISSING}


@pytest.mark.parametrize("state", ["blocked", "purging", "purged"])
def test_a_call_that_has_a_tombstone_is_not_missed(world: World, state: str) -> None:
    world.lists(listed("c1"), listed("c2"))
    tell_purge(world, state, "c1")
    world.look()
    assert world.outcomes() == {"c2": MISSING}
    tell_purge(world, state, "c2")
    world.clock.moment += MINUTE
    world.look()
    assert world.outcomes() == {}


def test_a_purged_call_that_the_exchange_lists_again_stays_purged(world: World) -> None:
    purge = ClickHousePurge(world.url, 7)
    world.receives("c1")
    purge.destroy("acme", ["c1"], world.clock.now(), of_a_person=False)
    tell_purge(world, "purged", "c1")
    world.lists(listed("c1"))
    world.look()
    assert world.outcomes() == {"c1": ("purged", "purged")}
    purge.close()


def tell_purge(world: World, state: str, call_id: str) -> None:
    purge = ClickHousePurge(world.url, 7)
    purge.tell("acme", [call_id], state, reason="request", policy="", purge_id="p1", at=world.clock.now())
    purge.close()


def test_the_same_list_again_changes_nothing(world: World) -> None:
    world.lists(listed("c1"), listed("c2"))
    first = world.look()
    world.clock.moment += timedelta(hours=2)
    world.lists(listed("c1"), listed("c2"), listed("c1"))
    assert world.look() == []
    assert len(first) == 1
    assert world.client.query("SELECT count() FROM exchange_calls").result_rows == [(2,)]
    assert world.outcomes() == {"c1": MISSING, "c2": MISSING}


@pytest.mark.parametrize("correction_first", [False, True], ids=["as written", "the correction is delivered first"])
def test_a_corrected_list_says_that_no_recording_was_due(world: World, correction_first: bool) -> None:
    wrong, right = listed("c1"), listed("c1", recorded=False, listed_at=NOON + 30 * MINUTE)
    world.lists(*((right, wrong) if correction_first else (wrong,)))
    alarms = world.look()
    assert len(alarms) == (0 if correction_first else 1)
    world.clock.moment += 5 * MINUTE
    world.lists(right)
    ends = world.look()
    assert [alert.rule_id for alert in ends] == ([] if correction_first else ["not_received.over"])
    assert world.outcomes() == {}


def test_of_the_rows_of_one_call_in_one_list_one_that_is_recorded_counts(world: World) -> None:
    attempts = [listed("c1", recorded=False), listed("c1"), listed("c1", recorded=False, agent_id="a2")]
    for order in (attempts, attempts[::-1]):
        world.lists(*order)
        assert world.client.query("SELECT recorded FROM exchange_calls").result_rows == [(True,)]


def test_who_is_on_call_is_told_once_and_again_when_twice_as_many_are_missing(world: World) -> None:
    world.lists(*(listed(f"c{n}", NOON - n * MINUTE) for n in range(3)))
    (first,) = world.look()
    assert (first.kind, first.calls_count, first.calls) == ("missing", 3, ("c2", "c1", "c0"))
    world.lists(listed("c3"))
    (second,) = world.look()
    world.lists(listed("c4"), listed("c5"))
    assert world.look() == [], "six are not twice as many as four"
    world.lists(*(listed(f"d{n:04}") for n in range(100)))
    (third,) = world.look()
    assert (second.calls_count, third.calls_count, len(third.calls)) == (4, 106, 50)


def test_a_worker_that_was_started_again_does_not_tell_the_same_again(world: World) -> None:
    world.lists(listed("c1"))
    world.look()
    world.worker = world.new_worker()
    assert world.look() == []
    world.receives("c1")
    world.worker = world.new_worker()
    (end,) = world.look()
    assert end.rule_id == "not_received.over"


def test_nothing_is_missed_while_the_store_is_behind(world: World) -> None:
    world.lists(listed("c1"), listed("old", NOON - 40 * MINUTE))
    world.stored_until = NOON - 5 * MINUTE
    world.look()
    assert world.outcomes() == {"old": MISSING}
    world.stored_until = None
    world.look()
    assert world.outcomes() == {"old": MISSING, "c1": MISSING}


def test_tenants_are_told_apart(world: World) -> None:
    world.lists(listed("c1"), listed("c1", tenant="other"))
    world.receives("c1", tenant="other")
    (alert,) = world.look()
    assert alert.tenant_id == "acme"
    rows = world.client.query("SELECT tenant_id, outcome FROM outcomes ORDER BY tenant_id").result_rows
    assert rows == [("acme", "not_received"), ("other", "pending")]


def test_a_call_over_midnight_is_missed_on_the_day_of_the_tenant_on_which_it_ended(world: World) -> None:
    midnight = datetime(2026, 3, 22, 16, 0, tzinfo=UTC)
    world.lists(
        listed("shanghai", midnight + MINUTE),
        listed("paris", midnight + MINUTE, tenant="paris"),
    )
    world.look()
    rows = world.client.query("SELECT call_id, day FROM outcomes ORDER BY call_id").result_rows
    assert rows == [("paris", date(2026, 3, 22)), ("shanghai", date(2026, 3, 23))]


def test_completeness_is_what_came_out_of_the_list_and_out_of_events(world: World) -> None:
    """Ten calls that must be recorded, of which three came; one that need not be; one event that no list has."""
    world.lists(*(listed(f"c{n}") for n in range(10)), listed("unanswered", recorded=False))
    held = [*(f"c{n}" for n in range(3)), "of no list"]
    analyses = [judged(an_event(call_id.replace(" ", "-"), NOON)) for call_id in held]
    for analysis in analyses:
        world.sink.write(rows_for_analysis(analysis))
    world.look()
    day = date(2026, 3, 23)
    query = (
        "SELECT n, numerator, denominator, value FROM kpi_recording_completeness(first = '2026-03-23', "
        "last = '2026-03-23') WHERE tenant_id = 'acme'"
    )
    ((n, numerator, denominator, value),) = world.client.query(query).result_rows
    assert (n, numerator, denominator) == (11, 4, 11), day
    assert value == pytest.approx(4 / 11)
