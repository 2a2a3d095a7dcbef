"""Every KPI on the real engine against a reference that is written from the messages."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isclose
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.client import Client

from processors.funnel import Key
from processors.kpi_statistics import Estimate, Sums, estimate, verdict
from processors.kpi_views import VIEW_OF_DIMENSION, WIDE, kpi_views
from processors.rollups import RollupDefinition
from processors.rows import rows_for_alert, rows_for_analysis, rows_for_call_ended, rows_for_call_rated
from schemas.call_analysis import CallAnalysis
from schemas.kpi import DIMENSIONS, Dimension, Kpi, KpiRegistry, read_kpis
from streams.adapters.clickhouse import ClickHouseSink, connect, migrate
from streams.adapters.clickhouse_kpis import ClickHouseKpis, make_kpi_views
from streams.adapters.clickhouse_rollups import ClickHouseRollups
from streams.rollups import Rollups
from tests.clickhouse_engine import running_engine
from tests.kpi_calls import Reference, World, a_world

pytestmark = pytest.mark.embedded

CALLS = 400
ZONE = ZoneInfo("Asia/Shanghai")
REGISTRY = read_kpis()
WINDOW_DAYS = 7


@dataclass(frozen=True)
class Filled:
    """A database with a world in it, delivered twice and out of order, and rolled up."""

    url: str
    client: Client
    kpis: ClickHouseKpis
    world: World
    reference: Reference

    @property
    def start(self) -> datetime:
        return self.world.now - timedelta(days=14)

    @property
    def end(self) -> datetime:
        return self.world.now + timedelta(days=1)

    def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        return [dict(row) for row in self.client.query(query, parameters=parameters).named_results()]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with running_engine(tmp_path_factory.mktemp("clickhouse")) as engine:
        url = engine.url("kpis")
        migrate(url)
        make_kpi_views(url, kpi_views(REGISTRY, ZONE.key, WINDOW_DAYS))
        client = connect(url)
        world = a_world(datetime.now(UTC), CALLS)
        deliver(client, world)
        Rollups(ClickHouseRollups(url), RollupDefinition(REGISTRY, ZONE.key, WINDOW_DAYS)).refresh()
        yield Filled(url, client, ClickHouseKpis(client, WINDOW_DAYS), world, Reference(world))
        client.close()


def deliver(client: Client, world: World) -> None:
    """Everything in a random order, a part of it twice."""
    random = Random(3)  # noqa: S311 - an order, not a secret
    deliveries = [
        *(rows_for_call_ended(analysis.call, analysis.call.ended_at) for analysis in world.analyses),
        *(rows_for_analysis(analysis) for analysis in (*world.analyses, *world.older)),
        *(rows_for_call_rated(rated) for rated in world.ratings),
        *(rows_for_alert(alert) for alert in world.alerts),
    ]
    deliveries += random.sample(deliveries, len(deliveries) // 3)
    random.shuffle(deliveries)
    sink = ClickHouseSink(client)
    for first in range(0, len(deliveries), 200):
        rows: dict[str, list[Any]] = defaultdict(list)
        for delivery in deliveries[first : first + 200]:
            for table, table_rows in delivery.items():
                rows[table] += table_rows
        sink.write(rows)


def grouped(filled: Filled, dimension: Dimension) -> dict[tuple[str, Key], list[CallAnalysis]]:
    groups: dict[tuple[str, Key], list[CallAnalysis]] = defaultdict(list)
    for analysis in filled.world.analyses:
        groups[analysis.tenant_id, filled.reference.keys(analysis, DIMENSIONS[dimension])].append(analysis)
    return groups


def expected_sums(filled: Filled, kpi: Kpi, dimension: Dimension) -> dict[tuple[str, Key], Sums]:
    found = {
        group: Sums.of(filled.reference.pairs(kpi.id, analyses))
        for group, analyses in grouped(filled, dimension).items()
    }
    return {group: sums for group, sums in found.items() if sums.n}


def alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def same_sums(one: Sums, other: Sums) -> bool:
    return one.n == other.n and all(
        alike(getattr(one, name), getattr(other, name))
        for name in ("numerator", "denominator", "numerator_squares", "products", "denominator_squares")
    )


KPIS_OF_CALLS = [kpi for kpi in REGISTRY.kpis if kpi.id != "recording_completeness"]


@pytest.mark.parametrize("kpi", KPIS_OF_CALLS, ids=lambda kpi: kpi.id)
def test_the_sql_of_a_kpi_counts_what_the_messages_say(kpi: Kpi, filled: Filled) -> None:
    for dimension in kpi.dimensions:
        found = filled.kpis.sums([kpi], dimension, "day", filled.start, filled.end)
        expected = expected_sums(filled, kpi, dimension)
        assert {(tenant, key) for tenant, key, _ in found} == set(expected), dimension
        for (tenant, key, _), sums in found.items():
            assert same_sums(sums, expected[tenant, key]), (dimension, tenant, key)
    tenants = expected_sums(filled, kpi, "tenant")
    assert len(tenants) == 3 or kpi.id == "emotion_coping"
    assert any(sums.numerator > 0 for sums in tenants.values())
