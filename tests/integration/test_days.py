"""A day is the tenant's: at its borders, in zones that change their clocks, in everything that counts by day."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import TableRows, rows_for_analysis, rows_for_call_ended
from processors.kpi.reports import Period
from processors.kpi.rollups import BY_HAND, RollupDefinition
from processors.kpi.sql import kpi_views
from schemas.clickhouse.views import load_views
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.kpis import ClickHouseKpis
from streams.adapters.clickhouse.migrate import make_views, migrate
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.stages.rollup import Rollups
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import an_event, judged

pytestmark = pytest.mark.embedded

USUAL = {"york": "America/New_York", "london": "Europe/London", "delhi": "Asia/Kolkata"}
ODD = {
    "line": "Pacific/Kiritimati",  # UTC+14, where a day begins first
    "baker": "Etc/GMT+12",  # UTC-12, where it begins last
    "howe": "Australia/Lord_Howe",  # puts its clocks back by half an hour
    "santiago": "America/Santiago",  # puts them forward at midnight: the day begins at one o'clock
}
DAYS = TenantDays("Asia/Shanghai", USUAL | ODD)
TENANTS = ("acme", *USUAL)
BORDERS = (
    date(2026, 3, 1),
    date(2026, 3, 8),  # New York puts its clocks forward
    date(2026, 3, 29),  # London does
    date(2025, 10, 26),  # London puts them back
    date(2025, 11, 2),  # New York does
)
ODD_DAYS = {
    "line": date(2024, 2, 29),
    "baker": date(2024, 2, 29),
    "howe": date(2026, 4, 5),
    "santiago": date(2025, 9, 7),
}
REGISTRY = read_kpis()
COVERAGE = REGISTRY.kpi("ai_coverage")
COMPLETENESS = REGISTRY.kpi("recording_completeness")
Counts = dict[tuple[str, date], int]


def ends() -> Iterator[tuple[str, datetime]]:
    """Of each tenant the last and the first moment of days, and those around a change of its clocks."""
    for tenant, day in (*product(TENANTS, BORDERS), *ODD_DAYS.items()):
        zone = DAYS.zone_of(tenant)
        for each in (day, day + timedelta(days=1)):
            midnight = datetime.combine(each, time(), zone).astimezone(UTC)
            yield from ((tenant, midnight - timedelta(milliseconds=1)), (tenant, midnight))
        early = datetime.combine(day, time(0, 30), zone).astimezone(UTC)
        yield from ((tenant, early + timedelta(hours=hours)) for hours in range(5))


ENDS = sorted(set(ends()))
BY_DAY: Counts = {
    key: sum((tenant, DAYS.day_of(moment, tenant)) == key for tenant, moment in ENDS)
    for key in {(tenant, DAYS.day_of(moment, tenant)) for tenant, moment in ENDS}
}
"""How many calls ended on each day of each tenant, by the clock of Python."""


@dataclass(frozen=True)
class Store:
    url: str
    client: Client

    def counts(self, query: str, **parameters: object) -> Counts:
        """Tenant, day, number."""
        return {(tenant, day): int(n) for tenant, day, n in self.client.query(query, parameters=parameters).result_rows}


@pytest.fixture(scope="module")
def store(engine: RunningEngine) -> Iterator[Store]:
    url = engine.url(f"days_{uuid4().hex}")
    migrate(url, views=load_views(days=DAYS) | kpi_views(REGISTRY, DAYS, 7))
    client = connect(url)
    rows: TableRows = defaultdict(list)
    for number, (tenant, ended_at) in enumerate(ENDS):
        call = an_event(f"call-{number}", ended_at, tenant_id=tenant)
        for made in (rows_for_call_ended(call, ended_at), rows_for_analysis(judged(call, topics=["refund"]))):
            for table, table_rows in made.items():
                rows[table] += table_rows
    ClickHouseSink(client).write(rows)
    Rollups(ClickHouseRollups(url), RollupDefinition(REGISTRY, DAYS, 7), BY_HAND).refresh()
    yield Store(url, client)
    client.close()


@pytest.mark.parametrize("view", ["calls", "topics", "outcomes"])
def test_a_view_says_on_which_day_of_the_tenant_a_call_ended(view: str, store: Store) -> None:
    query = f"SELECT tenant_id, day, count() FROM {view} GROUP BY tenant_id, day"  # noqa: S608 - names of views
    assert store.counts(query) == BY_DAY


def test_the_time_is_that_of_the_clock_of_the_tenant(store: Store) -> None:
    found = store.client.query("SELECT tenant_id, ended_at, ended_local FROM calls").result_rows
    expected = {(tenant, at): f"{at.astimezone(DAYS.zone_of(tenant)):%Y-%m-%d %H:%M}" for tenant, at in ENDS}
    assert {(tenant, at): local for tenant, at, local in found} == expected


def test_roll_ups_count_a_call_on_the_day_of_its_tenant(store: Store) -> None:
    assert store.counts("SELECT tenant_id, day, n FROM kpi_daily WHERE kpi = 'ai_coverage'") == BY_DAY
    hours = store.client.query(
        "SELECT tenant_id, day, hour, hour_start, n FROM kpi_hourly WHERE kpi = 'ai_coverage'"
    ).result_rows
    by_hour: dict[tuple[str, datetime], int] = defaultdict(int)
    for tenant, moment in ENDS:
        local = moment.astimezone(DAYS.zone_of(tenant))
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        by_hour[tenant, moment - past] += 1
    assert {(tenant, begun): n for tenant, _, _, begun, n in hours} == by_hour
    for tenant, day, hour, begun, _ in hours:
        local = begun.astimezone(DAYS.zone_of(tenant))
        assert (local.date(), local.hour) == (day, hour), (tenant, begun)


def test_the_start_of_a_period_is_where_the_day_of_the_tenant_begins(store: Store) -> None:
    found = store.client.query(
        "SELECT DISTINCT tenant_id, day, period FROM kpi_rollup WHERE grain = 'day' AND dimension = 'tenant'"
    ).result_rows
    assert {(tenant, day) for tenant, day, _ in found} == set(BY_DAY)
    for tenant, day, period in found:
        assert period == datetime.combine(day, time(), DAYS.zone_of(tenant)).astimezone(UTC)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_a_period_of_days_holds_each_tenants_own_wherever_it_is_asked_from(zone: str, store: Store) -> None:
    assert COVERAGE is not None
    assert COMPLETENESS is not None
    kpis = ClickHouseKpis(store.client, 7, DAYS)
    for day in BORDERS:
        expected = {tenant: n for (tenant, on), n in BY_DAY.items() if on == day}
        period = Period.days(day, day, ZoneInfo(zone))
        for kpi in (COVERAGE, COMPLETENESS):
            sums = kpis.sums([kpi], "tenant", period.grain, period.start, period.end)
            assert {tenant: each.n for (tenant, _, _), each in sums.items()} == expected, (kpi.id, day)
        demands = kpis.demands(period.grain, period.start, period.end)
        assert {each.tenant_id: each.calls for each in demands} == expected, day
        analyzed = kpis.analyzed_calls(period.grain, period.start, period.end)
        assert {tenant: n for (tenant, _), n in analyzed.items()} == expected, day


@pytest.mark.parametrize(
    ("view", "number"),
    [("kpi_recording_completeness", "n"), ("kpi_alerts", "n"), ("demands", "calls"), ("kpi_between", "n")],
)
def test_views_with_parameters_take_days_of_the_tenant(view: str, number: str, store: Store) -> None:
    more, chosen = ("dimension = 'tenant', ", "WHERE kpi = 'ai_coverage'") if view == "kpi_between" else ("", "")
    for day in BORDERS:
        found = store.counts(
            f"SELECT tenant_id, {{first:Date32}}, {number} "  # noqa: S608 - names of views
            f"FROM {view}({more}first = {{first:String}}, last = {{first:String}}) {chosen}",
            first=day.isoformat(),
        )
        assert found == {key: n for key, n in BY_DAY.items() if key[1] == day}, (view, day)


def test_hours_are_the_same_for_all_tenants(store: Store) -> None:
    assert COVERAGE is not None
    start = datetime(2026, 3, 8, 5, tzinfo=UTC)
    sums = ClickHouseKpis(store.client, 7, DAYS).sums([COVERAGE], "tenant", "hour", start, start + timedelta(hours=3))
    assert {tenant: each.n for (tenant, _, _), each in sums.items()} == {"york": 4}


def test_another_zone_makes_the_days_of_a_tenant_anew(store: Store) -> None:
    moved = TenantDays(DAYS.zone, {**DAYS.others, "acme": "UTC"})
    try:
        make_views(store.url, load_views(days=moved) | kpi_views(REGISTRY, moved, 7))
        Rollups(ClickHouseRollups(store.url), RollupDefinition(REGISTRY, moved, 7), BY_HAND).refresh()
        found = store.counts("SELECT tenant_id, day, n FROM kpi_daily WHERE kpi = 'ai_coverage'")
    finally:
        make_views(store.url, load_views(days=DAYS) | kpi_views(REGISTRY, DAYS, 7))
        Rollups(ClickHouseRollups(store.url), RollupDefinition(REGISTRY, DAYS, 7), BY_HAND).refresh()
    expected: dict[tuple[str, date], int] = defaultdict(int)
    for tenant, moment in ENDS:
        expected[tenant, moved.day_of(moment, tenant)] += 1
    assert found == expected
    assert found != BY_DAY
