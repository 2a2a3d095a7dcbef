"""`callstream check`: is what is stored in order."""

import json
import re
import sys
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from streams.cli.command_settings import command_settings
from streams.ports import SystemClock

EXIT_PROBLEM = 1
PLAIN_WIDTH = 180
"""Columns of a table that is not printed to a terminal."""
_SPAN = re.compile(r"(?P<count>[1-9]\d{0,4})(?P<unit>[hdw])")

check_app = typer.Typer(help="Whether what is stored is in order.", no_args_is_help=True)


@check_app.command()
def data(
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    last: Annotated[str, typer.Option(help="Calls that ended in the last 12h, 7d, 4w.")] = "7d",
    null_share: Annotated[
        float, typer.Option(min=0, max=1, help="A column or measure may be null in this share of the analysed calls.")
    ] = 0.5,
    stale_after: Annotated[str, typer.Option(help="So long nothing new may come: 12h, 1d.")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,
) -> None:
    """Orphans, nulls, unaccounted calls, freshness, impossible values and contradictions in ClickHouse.

    Ends with 1 when there is anything to see; docs/operations.md#data-quality explains each check.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.data_checks import DATA_CHECKS, CheckLimits, results_table, run_checks
    from streams.queries.data_checks import as_json as hits_json

    settings = command_settings()
    limits = CheckLimits(
        now=SystemClock().now(),
        last=_span(last, "--last"),
        tenant=tenant,
        objective_s=settings.processing_objective_s,
        stale_after=_span(stale_after, "--stale-after"),
        null_share=null_share,
    )
    client = connect(settings.clickhouse_url.get_secret_value())
    found = list(run_checks(client, limits))
    client.close()
    if as_json:
        sys.stdout.write(json.dumps(hits_json(found), ensure_ascii=False, indent=2) + "\n")
    elif found:
        console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(soft_wrap=True, width=PLAIN_WIDTH)
        console.print(results_table(found))
        for check in DATA_CHECKS:
            if any(hit.check is check for hit in found):
                console.print(f"{check.id}: {check.meaning}", markup=False, highlight=False)
                console.print(f"    {check.advice}", markup=False, highlight=False)
    else:
        sys.stdout.write(f"{len(DATA_CHECKS)} checks found nothing wrong\n")
    raise typer.Exit(EXIT_PROBLEM if found else 0)


def _span(text: str, option: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if not match:
        raise typer.BadParameter("it is no length of time: write 12h, 7d or 4w", param_hint=option)
    return (
        int(match["count"]) * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[match["unit"]]
    )
