"""KPIs by the settings: the registry, the views that `migrate` makes from it, and where to query sums."""

from collections.abc import Iterator
from contextlib import contextmanager

from processors.kpi.sql import kpi_views
from schemas.clickhouse.cluster import Cluster
from schemas.config.kpi import read_kpis
from streams.adapters.clickhouse.connection import ClickHouseAddress, connect
from streams.adapters.clickhouse.kpis import ClickHouseKpis, make_kpi_views
from streams.settings import Settings


def views_of(settings: Settings, cluster: str | None = None) -> dict[str, str]:
    """Name → statement of the views of KPIs; on every host of a cluster where the settings, or `cluster`, name one."""
    views = kpi_views(read_kpis(), settings.timezone, settings.first_contact_days)
    name = settings.clickhouse_cluster if cluster is None else cluster
    if not name:
        return views
    database = ClickHouseAddress.parse(settings.clickhouse_url.get_secret_value()).database
    on_cluster = Cluster(name, database)
    return {view: statement for view, one in views.items() for statement in on_cluster.statements((one,))}


def make_views(settings: Settings) -> list[str]:
    """Make the views again, also where nothing changed; returns their names. Raises as `clickhouse.connect` does."""
    views = views_of(settings)
    make_kpi_views(settings.clickhouse_url.get_secret_value(), views)
    return list(views)


@contextmanager
def open_kpis(settings: Settings) -> Iterator[ClickHouseKpis]:
    """Where to ask. Raises as `clickhouse.connect` does."""
    kpis = ClickHouseKpis(connect(settings.clickhouse_url.get_secret_value()), settings.first_contact_days)
    try:
        yield kpis
    finally:
        kpis.close()
