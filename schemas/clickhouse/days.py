"""Days of tenants as SQL (docs/adr/0037-days-are-the-tenants.md).

A time zone must be a constant in ClickHouse, so that there is a choice among as many expressions as there are zones;
with one zone it is that expression alone. `tenant_id` must be in scope.

Views have placeholders in their files: `{{day ended_at}}` is the day of the tenant on which a moment lies (Date32), and
`{{clock ended_at}}` the moment by the tenant's clock (`2026-03-01 09:30`).
"""

import re
from collections.abc import Callable

from schemas.config.tenants import TenantDays

_PLACEHOLDER = re.compile(r"\{\{(day|clock) ([^{}]+)\}\}")


def by_zone(days: TenantDays, sql: Callable[[str], str], tenant: str = "tenant_id") -> str:
    """What `sql` makes of a zone (a literal), for the zone of each tenant."""
    usual = sql(_quoted(days.zone))
    choices = "".join(
        f"{tenant} IN ({', '.join(map(_quoted, tenants))}), {sql(_quoted(zone))}, "
        for zone, tenants in days.tenants_by_zone.items()
    )
    return f"multiIf({choices}{usual})" if choices else usual


def day(days: TenantDays, moment: str, tenant: str = "tenant_id") -> str:
    """The day of a moment: Date32."""
    return by_zone(days, lambda zone: f"toDate32({moment}, {zone})", tenant)


def clock(days: TenantDays, moment: str, tenant: str = "tenant_id") -> str:
    """The moment by the clock of the tenant, to the minute: String."""
    return by_zone(days, lambda zone: f"formatDateTime({moment}, '%Y-%m-%d %H:%i', {zone})", tenant)


def start(days: TenantDays, of_day: str, tenant: str = "tenant_id") -> str:
    """When a day (Date32) begins: DateTime64(3, 'UTC')."""
    return by_zone(days, lambda zone: f"toDateTime64(toStartOfDay({of_day}, {zone}), 3, 'UTC')", tenant)


def hour_start(days: TenantDays, moment: str, tenant: str = "tenant_id") -> str:
    """When the hour of a moment began, by the clock of the tenant: DateTime('UTC'). Zones may be half hours apart.

    `toStartOfHour` counts hours from midnight, which is wrong where a clock was put back by half an hour since.
    """

    def since(zone: str) -> str:
        return f"toIntervalSecond(60 * toMinute({moment}, {zone}) + toSecond({moment}, {zone}))"

    return by_zone(days, lambda zone: f"toDateTime({moment}, 'UTC') - {since(zone)}", tenant)


def hour(days: TenantDays, moment: str, tenant: str = "tenant_id") -> str:
    """The hour of a moment by the clock of the tenant, 0 to 23."""
    return by_zone(days, lambda zone: f"toHour({moment}, {zone})", tenant)


def with_days(statement: str, days: TenantDays) -> str:
    """The statement of a view with SQL in place of its placeholders."""
    made = {"day": day, "clock": clock}
    return _PLACEHOLDER.sub(lambda found: made[found[1]](days, found[2]), statement)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
