"""`callstream meters`."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.output import console

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def meters(
    month: Annotated[str, typer.Option(help="Month of the tenant, such as 2026-11.")],
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a CSV to this file instead; - is the output.")
    ] = None,
) -> None:
    """Print what each tenant has used in a month: bytes, minutes, searches, plays, exports.

    The figures are those of the view `meters` (docs/exports.md#meters).
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.meters import as_csv, meters_of

    found = _MONTH.fullmatch(month)
    if found is None or found[1] == "0000":
        raise typer.BadParameter(f"{month} is not a month: write 2026-11", param_hint="--month")
    client = connect(command_settings().clickhouse_url.get_secret_value())
    try:
        every = meters_of(client, date(int(found[1]), int(found[2]), 1), tenant)
    finally:
        client.close()
    if csv is not None:
        if str(csv) == "-":
            typer.echo(as_csv(every), nl=False)
        else:
            csv.write_text(as_csv(every), encoding="utf-8")
        return
    table = Table(
        *("tenant", "taken in", "stored GB", "analysed", "minutes", "searches", "texts", "plays", "exports"),
        box=None,
        header_style="",
    )
    for each in every:
        table.add_row(
            each.tenant_id,
            f"{each.recordings_taken_in} ({each.taken_in_bytes / 1e9:.3f} GB)",
            f"{each.stored_bytes / 1e9:.3f}",
            str(each.calls_analyzed),
            f"{each.analyzed_minutes:.1f}",
            str(each.searches),
            str(each.texts_viewed),
            str(each.plays),
            f"{each.exports} ({each.exported_calls} calls, {each.exported_bytes / 1e9:.3f} GB)",
        )
    console().print(table)
