"""`callstream check data`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.times import parse_span


def check_data(
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    last: Annotated[str, typer.Option(help="Calls that ended in the last 12h, 7d, 4w.")] = "7d",
    null_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of analysed calls in which a column or measure may be null."),
    ] = 0.5,
    stale_after: Annotated[
        str, typer.Option(help="Longest time without new rows that is no problem: 12h, 1d.")
    ] = "24h",
    as_json: JsonOption = False,
) -> None:
    """Look for inconsistencies in ClickHouse.

    Finds orphans, nulls, lost calls, stale tables, impossible values and contradictions. Ends with 1 if anything is
    found; docs/operations.md#data-quality explains each check.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.ports import SystemClock
    from streams.queries.data_checks import DATA_CHECKS, CheckLimits, results_table, run_checks
    from streams.queries.data_checks import as_json as hits_json

    settings = command_settings()
    limits = CheckLimits(
        now=SystemClock().now(),
        last=parse_span(last, "--last"),
        tenant=tenant,
        objective_s=settings.processing_objective_s,
        stale_after=parse_span(stale_after, "--stale-after"),
        null_share=null_share,
    )
    client = connect(settings.clickhouse_url.get_secret_value())
    found = list(run_checks(client, limits))
    client.close()
    if as_json:
        print_json(hits_json(found))
    elif found:
        console(soft_wrap=True).print(results_table(found))
        for check in DATA_CHECKS:
            if any(hit.check is check for hit in found):
                typer.echo(f"{check.id}: {check.meaning}")
                typer.echo(f"    {check.advice}")
    else:
        typer.echo(f"{len(DATA_CHECKS)} checks found no problems")
    raise typer.Exit(EXIT_PROBLEM if found else 0)
