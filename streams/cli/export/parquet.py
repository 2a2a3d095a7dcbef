"""`callstream export parquet`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import log_command
from streams.cli.console.times import parse_day

_TENANT = re.compile(r"([a-z][a-z0-9_-]{0,63})?")


def export_parquet(
    day: Annotated[str, typer.Option(help="Day to export, such as 2026-03-01, in the time zone of the settings.")],
    out: Annotated[Path, typer.Option(help="Folder for the files; created if it does not exist.")],
    to: Annotated[str | None, typer.Option(help="Last day to export, if several; it is included.")] = None,
    tables: Annotated[str, typer.Option(help="Tables to export, as in calls,findings; by default all.")] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    with_customers: Annotated[
        bool,
        typer.Option("--with-customers", help="Include customer_key, order_id and crm, which can identify a person."),
    ] = False,
    with_text: Annotated[bool, typer.Option("--with-text", help="Include what was said: texts and quotes.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write one Parquet file per table and day.

    docs/operations.md#export describes the files. Ends with 1 and writes nothing if one of the files exists.
    An export with texts or customers stands in the audit log first; where the register does not take the entry,
    nothing is written.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.parquet_export import Export, choose_exports, days_between, write_days

    first = parse_day(day, "--day")
    last = first if to is None else parse_day(to, "--to")
    if not _TENANT.fullmatch(tenant):
        raise typer.BadParameter("no tenant can have this id", param_hint="--tenant")
    settings = command_settings()
    export = Export(out, tenant, with_customers=with_customers, with_text=with_text)
    which, days = (
        choose_exports([name.strip() for name in tables.split(",") if name.strip()]),
        days_between(first, last),
    )
    if with_text or with_customers:
        included = {"with_text": with_text, "with_customers": with_customers, "tenant": bool(tenant)}
        log_command(settings, "exported", tenant, ("day", *(name for name, asked in included.items() if asked)))
    client = connect(settings.clickhouse_url.get_secret_value())
    for file in write_days(client, export, which, days, overwrite=overwrite):
        typer.echo(str(file))
    client.close()
