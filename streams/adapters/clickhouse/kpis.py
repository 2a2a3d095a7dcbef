"""KPIs from ClickHouse: the sums and counts that commands ask for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.kpi.comparisons import RATED_COLUMNS, RatedDifference, rated_query
from processors.kpi.demands import CustomerDemandCount, DemandCount, DemandExample
from processors.kpi.hours import AgentsOfHours, agents_of_hours, hour_sums
from processors.kpi.problems import Key
from processors.kpi.reports import Period, SumsOf
from processors.kpi.sql import (
    customer_demands_query,
    demands_query,
    query_sums,
    rollup_sums,
    stretch_of_days,
    stretch_of_moments,
)
from processors.kpi.statistics import Sums
from processors.kpi.why_changed import WHY_COLUMNS, ChangePart, why_changed_query
from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi
from schemas.config.tenants import TenantDays
from streams.adapters.clickhouse.statements import read_rows

_INDUSTRIES = """
SELECT tenant_id, argMax(industry, calls)
FROM
(
    SELECT tenant_id, industry, sum(rolled.calls) AS calls FROM kpi_rollup AS rolled
    WHERE grain = 'day' AND dimension = 'industry' GROUP BY tenant_id, industry
)
GROUP BY tenant_id
"""

_DEMANDS = """
SELECT
    tenant_id, inquiry_type, topic_id, name, calls, agitated, agitation_known, unresolved, resolution_known,
    resolution_pending, examples
FROM ({})
WHERE {{tenant:String}} = '' OR tenant_id = {{tenant:String}}
"""

_CUSTOMER_DEMANDS = """
SELECT
    tenant_id, attribute, customers, topic_id, name, calls, calls_of_customers, calls_of_others_about_it,
    calls_of_others
FROM ({})
WHERE {{tenant:String}} = '' OR tenant_id = {{tenant:String}}
"""


class ClickHouseKpis:
    """Answers about a stretch of time, end exclusive, of one tenant or (None) of all. All raise as `connect` does.

    By `day` a stretch is that of the days on which it starts and ends in the time zone of the moments, and each tenant
    has its own days of these dates; by `hour` it is the same hours for all.
    """

    def __init__(self, client: Client, window_days: int, days: TenantDays) -> None:
        self._client = client
        self._days = days
        self._stretches = {"day": stretch_of_days(days, window_days), "hour": stretch_of_moments(window_days)}

    def sums(
        self,
        kpis: Sequence[Kpi],
        dimension: Dimension,
        grain: str,
        start: datetime,
        end: datetime,
        tenant: str | None = None,
    ) -> SumsOf:
        """The sums of those KPIs that can be told apart by the dimension, of every group that has any."""
        found: dict[tuple[str, Key, str], Sums] = {}
        rolled_up = [kpi.id for kpi in kpis if kpi.ratio is not None]
        queries = [rollup_sums(dimension, grain, rolled_up)] if rolled_up else []
        queries += [
            f"SELECT * FROM ({query_sums(kpi, dimension, self._stretches[grain])})\n"  # noqa: S608 - made of the registry
            "WHERE {tenant:String} = '' OR tenant_id = {tenant:String}"
            for kpi in kpis
            if kpi.query is not None and dimension in kpi.query.by
        ]
        width = len(DIMENSIONS[dimension])
        for query in queries:
            for tenant_id, *rest in self._rows("sums of KPIs", query, start, end, tenant):
                key, kpi, numbers = tuple(rest[:width]), rest[width], rest[width + 1 :]
                found[tenant_id, key, kpi] = Sums(*numbers)
        return found

    def hours(
        self, kpi: Kpi, start: datetime, end: datetime, tenant: str | None = None, *, by_weekday: bool
    ) -> AgentsOfHours:
        """The sums of a ratio in each hour of the day, or of the week, over the days of the stretch, by agent."""
        query = hour_sums(kpi, self._days, by_weekday=by_weekday)
        return agents_of_hours(self._rows("hours of a KPI", query, start, end, tenant))

    def industries(self) -> dict[str, str]:
        """Tenant → industry of most of its calls."""
        return {str(tenant): str(industry) for tenant, industry in read_rows(self._client, "industries", _INDUSTRIES)}

    def demands(self, grain: str, start: datetime, end: datetime, tenant: str | None = None) -> list[DemandCount]:
        """Calls by tenant, inquiry type and topic."""
        query = _DEMANDS.format(demands_query(self._stretches[grain]))
        return [
            DemandCount(*[*row[:10], tuple(DemandExample(*each) for each in row[10])])
            for row in self._rows("demands", query, start, end, tenant)
        ]

    def analyzed_calls(
        self, grain: str, start: datetime, end: datetime, tenant: str | None = None
    ) -> dict[tuple[str, str | None], int]:
        """Analysed calls by tenant and inquiry type."""
        query = (
            f"SELECT tenant_id, inquiry_type, count() FROM {self._stretches[grain].calls}\n"  # noqa: S608 - no value
            "WHERE outcome = 'analyzed' AND ({tenant:String} = '' OR tenant_id = {tenant:String})\n"
            "GROUP BY tenant_id, inquiry_type"
        )
        return {(tenant_id, kind): calls for tenant_id, kind, calls in self._rows("calls", query, start, end, tenant)}

    def customer_demands(
        self, grain: str, start: datetime, end: datetime, tenant: str | None = None
    ) -> list[CustomerDemandCount]:
        """Calls by tenant, kind of customers and topic."""
        query = _CUSTOMER_DEMANDS.format(customer_demands_query(self._stretches[grain]))
        rows = self._rows("demands of customers", query, start, end, tenant)
        return [CustomerDemandCount(*row) for row in rows]

    def why_changed(
        self,
        kpi: Kpi,
        dimension: Dimension,
        before: Period,
        after: Period,
        tenant: str | None = None,
    ) -> list[ChangePart]:
        """The parts of the difference between two stretches of days, for each tenant that has calls in both."""
        query = (
            f"SELECT {', '.join(WHY_COLUMNS)} FROM ({why_changed_query((kpi,), self._stretches['day'])})\n"  # noqa: S608
            "WHERE {tenant:String} = '' OR tenant_id = {tenant:String}"
        )
        rows = read_rows(
            self._client,
            "why a KPI changed",
            query,
            kpi=kpi.id,
            by=dimension,
            first_before=before.start.date(),
            last_before=before.last_day,
            first=after.start.date(),
            last=after.last_day,
            tenant=tenant or "",
        )
        return [ChangePart(*row) for row in rows]

    def rated_and_unrated(self, start: datetime, end: datetime, tenant: str | None = None) -> list[RatedDifference]:
        """How rated calls differ from unrated ones, by KPI and topic, for each tenant that has both."""
        query = (
            f"SELECT {', '.join(RATED_COLUMNS)} FROM ({rated_query(self._stretches['day'])})\n"  # noqa: S608
            "WHERE {tenant:String} = '' OR tenant_id = {tenant:String}"
        )
        return [RatedDifference(*row) for row in self._rows("rated and unrated calls", query, start, end, tenant)]

    def close(self) -> None:
        """Lets go of the connection."""
        self._client.close()

    def _rows(
        self, operation: str, query: str, start: datetime, end: datetime, tenant: str | None
    ) -> Sequence[Sequence[Any]]:
        return read_rows(
            self._client,
            operation,
            query,
            start=_moment(start),
            end=_moment(end),
            first=start.date(),
            last=(end - timedelta(microseconds=1)).date(),
            tenant=tenant or "",
        )


def _moment(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
