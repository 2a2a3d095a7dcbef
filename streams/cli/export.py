"""`callstream export`: files for other tools."""

import re
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from streams.cli.command_settings import command_settings

_TENANT = re.compile(r"([a-z][a-z0-9_-]{0,63})?")

export_app = typer.Typer(help="What is stored, as files for other tools.", no_args_is_help=True)


@export_app.command()
def parquet(
    day: Annotated[str, typer.Option(help="A day, such as 2026-03-01, in the time zone of the settings.")],
    out: Annotated[Path, typer.Option(help="The folder for the files; made where it is absent.")],
    to: Annotated[str | None, typer.Option(help="The last day, where there are several.")] = None,
    tables: Annotated[str, typer.Option(help="calls,findings,…; all by default.")] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    with_customers: Annotated[
        bool, typer.Option("--with-customers", help="Also customer_key, order_id and crm, which lead to a person.")
    ] = False,
    with_text: Annotated[bool, typer.Option("--with-text", help="Also what was said: texts and quotes.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write one Parquet file for each table and day (docs/operations.md#export).

    Ends with 1, and writes nothing, when a file exists.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.parquet_export import Export, choose_exports, days_between, write_days

    first = _day(day, "--day")
    last = first if to is None else _day(to, "--to")
    if not _TENANT.fullmatch(tenant):
        raise typer.BadParameter("no tenant can have this id", param_hint="--tenant")
    settings = command_settings()
    export = Export(out, ZoneInfo(settings.timezone), tenant, with_customers=with_customers, with_text=with_text)
    which, days = (
        choose_exports([name.strip() for name in tables.split(",") if name.strip()]),
        days_between(first, last),
    )
    client = connect(settings.clickhouse_url.get_secret_value())
    for file in write_days(client, export, which, days, overwrite=overwrite):
        sys.stdout.write(f"{file}\n")
    client.close()


def _day(text: str, option: str) -> date:
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if 1970 < day.year <= 2105:
            return day
    raise typer.BadParameter("write it as 2026-03-01", param_hint=option)
