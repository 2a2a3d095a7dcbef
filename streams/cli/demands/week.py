"""The week and the tenant that the commands of `callstream demands` are about, and their groups of calls."""

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console.access import log_command
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.queries.unknown_demands import WeekOfDemands

DemandTenantOption = Annotated[
    str | None, typer.Option(help="Whose calls; can be left out where there is one tenant alone.")
]
WeekOption = Annotated[
    str | None, typer.Option(help="Week of the tenant, Monday to Sunday: 2026-W14; by default the last full one.")
]
UnlikelyOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="A topic with less confidence than this covers no call."),
]
UNLIKELY = 0.5


def week_of(text: str | None, today: date) -> date:
    """The Monday of a week such as 2026-W14; of the last full one where none is named. Raises `typer.BadParameter`."""
    if text is None:
        return today - timedelta(days=today.weekday() + 7)
    match = re.fullmatch(r"(\d{4})-?W(\d{2})", text)
    try:
        if match and 1971 <= int(match[1]) <= 2105:
            return date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        pass
    raise typer.BadParameter(f"{text} is not a week: write 2026-W14", param_hint="--week")


def name_of(monday: date) -> str:
    """2026-W14."""
    year, week, _ = monday.isocalendar()
    return f"{year}-W{week:02d}"


def find_demands(
    settings: Settings, tenant: str | None, week: str | None, unlikely: float
) -> "tuple[str, WeekOfDemands]":
    """The tenant, and what no topic covers in a week of it. Stands in the audit log before it returns."""
    from streams.adapters.clickhouse.connection import connect
    from streams.ports import SystemClock
    from streams.queries.search import check_tenant, only_tenant
    from streams.queries.unknown_demands import unknown_demands

    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        if tenant is not None:
            check_tenant(client, tenant)
        chosen = tenant or only_tenant(client)
        today = SystemClock().now().astimezone(settings.days.zone_of(chosen)).date()
        found = unknown_demands(client, chosen, week_of(week, today), unlikely=unlikely)
    finally:
        client.close()
    quoted = {quote.call_id for demand in found.demands for quote in demand.quotes}
    log_command(settings, "searched", chosen, ("unknown_demands", "period"), len(quoted))
    return chosen, found
