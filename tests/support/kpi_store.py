"""A database with generated calls in it, delivered twice and out of order, and rolled up: for tests of KPIs."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_alert, rows_for_analysis, rows_for_call_ended, rows_for_call_rated
from processors.kpi.comparisons import comparison_views
from processors.kpi.rollups import BY_HAND, RollupDefinition
from processors.kpi.sql import kpi_views
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.kpis import ClickHouseKpis
from streams.adapters.clickhouse.migrate import make_views, migrate
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.stages.rollup import Rollups
from tests.support.clickhouse_engine import RunningEngine
from tests.support.kpi_calls import Reference, World, a_world

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = TenantDays(ZONE.key)
REGISTRY = read_kpis()
WINDOW_DAYS = 7


@dataclass(frozen=True)
class Filled:
    """The database, and what should be in it."""

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


@contextmanager
def filled_store(engine: RunningEngine, calls: int) -> Iterator[Filled]:
    """A database of its own with so many calls."""
    url = engine.url(f"kpis_{uuid4().hex}")
    migrate(url)
    make_views(url, kpi_views(REGISTRY, DAYS, WINDOW_DAYS) | comparison_views(REGISTRY, DAYS, WINDOW_DAYS))
    client = connect(url)
    world = a_world(datetime.now(UTC), calls)
    deliver(client, world)
    Rollups(ClickHouseRollups(url), RollupDefinition(REGISTRY, DAYS, WINDOW_DAYS), BY_HAND).refresh()
    yield Filled(url, client, ClickHouseKpis(client, WINDOW_DAYS, DAYS), world, Reference(world))
    client.close()


def deliver(client: Client, world: World) -> None:
    """Everything in a random order, a part of it twice."""
    random = Random(3)
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
