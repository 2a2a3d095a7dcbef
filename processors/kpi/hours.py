"""KPIs by the hours of the day, or of the week, by the clock of each tenant: when something is so. Pure.

Made of the hourly roll-ups of agents, so that agents are the units here, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from processors.kpi.sql import FIRST, LAST, SUMS, quote_string
from processors.kpi.statistics import CallGroup, Estimate, Sums, estimate_group
from schemas.clickhouse import days as day_sql
from schemas.config.kpis.kpi import Kpi
from schemas.config.tenants import TenantDays

HourOfWeek = tuple[int, int]
"""Day of the week, 1 is Monday, or 0 where days are taken together; hour of the day, 0 to 23."""

AgentsOfHours = Mapping[tuple[str, HourOfWeek], Mapping[str, Sums]]
"""Tenant and hour → agent → sums of one KPI."""


@dataclass(frozen=True)
class HourLine:
    """A KPI in one hour of the day, or of the week, over all days of the period."""

    tenant_id: str
    weekday: int | None
    """1 is Monday; null where all days are taken together."""
    hour: int
    found: Estimate
    is_enough: bool
    """As many calls count as the KPI needs (`minimum_n`)."""


def hour_sums(kpi: Kpi, days: TenantDays, *, by_weekday: bool) -> str:
    """Rows: tenant, weekday (0 where not asked for), hour, agent, sums as in `SUMS`. Parameters: first, last, tenant.

    Raises `ValueError` for a KPI that is not rolled up.
    """
    if kpi.ratio is None:
        raise ValueError(f"{kpi.id} is not kept by hour")
    weekday = "toDayOfWeek(day)" if by_weekday else "toUInt8(0)"
    sums = ", ".join(f"sum(rolled.{name}) AS {name}" for name in SUMS)
    return (
        f"SELECT tenant_id, {weekday} AS weekday, {day_sql.hour(days, 'period')} AS hour,\n"
        f"    ifNull(agent_id, '') AS agent, {sums}\n"
        "FROM kpi_rollup AS rolled\n"
        f"WHERE grain = 'hour' AND dimension = 'agent' AND kpi = {quote_string(kpi.id)}\n"
        f"    AND day BETWEEN {FIRST} AND {LAST} AND ({{tenant:String}} = '' OR tenant_id = {{tenant:String}})\n"
        "GROUP BY tenant_id, weekday, hour, agent ORDER BY tenant_id, weekday, hour, agent"
    )


def agents_of_hours(rows: Iterable[Sequence[object]]) -> AgentsOfHours:
    """The rows of `hour_sums`."""
    found: dict[tuple[str, HourOfWeek], dict[str, Sums]] = {}
    for tenant, weekday, hour, agent, *numbers in rows:
        place = (int(str(weekday)), int(str(hour)))
        found.setdefault((str(tenant), place), {})[str(agent)] = Sums(*numbers)  # type: ignore[arg-type]
    return found


def hour_lines(kpi: Kpi, hours: AgentsOfHours) -> list[HourLine]:
    """One for each hour in which a call counts or will, in the order of tenant, weekday and hour."""
    lines = []
    for (tenant, (weekday, hour)), agents in sorted(hours.items()):
        found = estimate_group(kpi, CallGroup(sum(agents.values(), start=Sums()), agents))
        lines.append(HourLine(tenant, weekday or None, hour, found, found.n >= kpi.minimum_n))
    return lines
