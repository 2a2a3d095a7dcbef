"""`streams.stages.rollup.RollupStore` on ClickHouse: what was stored when, and days put in place of days."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from secrets import token_hex
from typing import Any, cast

from processors.kpi.rollups import MadeDay, RollupDefinition, rollup_query
from schemas.clickhouse import days as day_sql
from schemas.config.tenants import TenantDays
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.statements import execute, read_rows

TIMEOUT_S = 1_500
"""A day of ten million calls takes two cores ten minutes."""
STAGING = "kpi_rollup_staging_"
"""How tables begin that are there while days are rolled up."""
_LEFT_BEHIND = timedelta(hours=6)
"""No roll-up takes so long: a staging table of that age was left by a process that was killed."""

_COLUMNS = (
    "tenant_id, day, grain, period, dimension, industry, agent_team, agent_id, queue, inquiry_type, course_type, "
    "order_status, customer_value_tier, topic, direction, handled_by, agent_seniority, agent_tenure, rated, "
    "calls, kpis.kpi, kpis.n, kpis.numerator, kpis.denominator, "
    "kpis.numerator_squares, kpis.products, kpis.denominator_squares, kpis.pending"
)

_CALLS_TOUCHED = """
SELECT {DAY} AS day, max(stored_at)
FROM call_versions WHERE stored_at >= {since:DateTime64(3, 'UTC')} GROUP BY day
"""

_RATINGS_TOUCHED = """
SELECT {DAY} AS day, max(rated.last_stored_at)
FROM call_versions
INNER JOIN
(
    SELECT tenant_id, call_id, max(stored_at) AS last_stored_at FROM rating_versions
    WHERE stored_at >= {since:DateTime64(3, 'UTC')} GROUP BY tenant_id, call_id
) AS rated USING (tenant_id, call_id)
GROUP BY day
"""

# Not the engine of the table: on a cluster that one is replicated, and a staging table is of this host alone.
_CREATE = """
CREATE TABLE {} AS kpi_rollup_rows ENGINE = MergeTree PARTITION BY day ORDER BY (grain, dimension, tenant_id, period)
SETTINGS index_granularity = 1024
COMMENT 'Days that are being rolled up.'
"""

_DAYS_IN = "SELECT DISTINCT day FROM {}"

_MADE = "SELECT day, as_of, definition FROM kpi_rollup_days FINAL"


class ClickHouseRollups:
    """Connects at the first question, and again after an error. For one thread."""

    def __init__(self, url: str) -> None:
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)

    def now(self) -> datetime:
        """The time of the database. Raises as `connect` does."""
        ((moment,),) = self._rows("the time", "SELECT now64(3, 'UTC')")
        return cast(datetime, moment)

    def touched(self, days: TenantDays, since: datetime) -> dict[date, datetime]:
        """Day → when the newest of its calls, or of their ratings, was stored, of what was stored since then.

        Raises as `connect` does.
        """
        newest: dict[date, datetime] = {}
        for query in (_CALLS_TOUCHED, _RATINGS_TOUCHED):
            of_tenants = query.replace("{DAY}", day_sql.day(days, "ended_at"))
            for day, stored_at in self._rows("what was stored", of_tenants, since=since):
                newest[day] = max(stored_at, newest.get(day, stored_at))
        return newest

    def made(self) -> dict[date, MadeDay]:
        """What was rolled up so far. Raises as `connect` does."""
        return {
            day: MadeDay(as_of, definition)
            for day, as_of, definition in self._rows("the days that were rolled up", _MADE)
        }

    def make(self, first: date, last: date, definition: RollupDefinition, as_of: datetime) -> None:
        """Roll up the days first to last, and put each in place of what was there. Raises as `connect` does;
        then some of the days may be done, and all may be made again."""
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        staging = f"{STAGING}{token_hex(8)}"
        self._command(_CREATE.format(staging))
        try:
            self._command(
                f"INSERT INTO {staging} ({_COLUMNS}) {rollup_query(definition.registry, definition.days)}",
                first=first,
                last=last,
                start=_moment(definition.days.first_start(first)),
                end=_moment(definition.days.last_start(last + timedelta(days=1))),
                window_days=definition.window_days,
            )
            filled = {day for (day,) in self._rows("rolling up KPIs", _DAYS_IN.format(staging))}
            for day in days:
                source = f"REPLACE PARTITION '{day}' FROM {staging}" if day in filled else f"DROP PARTITION '{day}'"
                self._command(f"ALTER TABLE kpi_rollup_rows {source}")
        finally:
            self._command(f"DROP TABLE IF EXISTS {staging} SYNC")
        self._remember(days, as_of, definition.digest)

    def tidy(self, now: datetime) -> None:
        """Drop what a killed process left behind. Raises as `connect` does."""
        query = (
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String}) "
            "AND metadata_modification_time < {before:DateTime('UTC')}"
        )
        for (name,) in self._rows("staging tables", query, prefix=STAGING, before=now - _LEFT_BEHIND):
            if re.fullmatch(rf"{STAGING}[0-9a-f]+", name):
                self._command(f"DROP TABLE IF EXISTS {name} SYNC")

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def _remember(self, days: Sequence[date], as_of: datetime, digest: str) -> None:
        rows = [{"day": day, "as_of": as_of, "definition": digest} for day in days]
        with self._connection.client() as client:
            ClickHouseSink(client).write({"kpi_rollup_days": rows})

    def _command(self, statement: str, **parameters: object) -> None:
        with self._connection.client() as client:
            execute(client, "rolling up KPIs", statement, **parameters)

    def _rows(self, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        with self._connection.client() as client:
            return read_rows(client, operation, query, **parameters)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
