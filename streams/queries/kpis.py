"""Where to ask for sums of KPIs, as settings say."""

from collections.abc import Iterator
from contextlib import contextmanager

from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.kpis import ClickHouseKpis
from streams.settings import Settings


@contextmanager
def open_kpis(settings: Settings) -> Iterator[ClickHouseKpis]:
    """Where to ask. Raises as `connect` does, and `TenantsError`."""
    days = settings.days
    kpis = ClickHouseKpis(connect(settings.clickhouse_url.get_secret_value()), settings.first_contact_days, days)
    try:
        yield kpis
    finally:
        kpis.close()
