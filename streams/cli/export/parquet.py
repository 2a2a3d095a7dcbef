"""`callstream export parquet`."""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.access import log_command
from streams.cli.console.times import parse_day
from streams.cli.export.download import fetch_export
from streams.cli.export.person import path_of

_TENANT = re.compile(r"([a-z][a-z0-9_-]{0,63})?")


def export_parquet(
    out: Annotated[Path, typer.Option(help="Folder for the files; created if it does not exist.")],
    day: Annotated[
        str | None, typer.Option(help="Day to export, such as 2026-03-01, in the time zone of the settings.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Last day to export, if several; it is included.")] = None,
    tables: Annotated[str, typer.Option(help="Tables to export, as in calls,findings; by default all.")] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    with_customers: Annotated[
        bool,
        typer.Option("--with-customers", help="Include customer_key, order_id and crm, which can identify a person."),
    ] = False,
    with_text: Annotated[
        bool,
        typer.Option("--with-text", help="What was said, too: the calls of an approved export, which --export names."),
    ] = False,
    export_id: Annotated[
        str, typer.Option("--export", help="Id of an approved export with the contents parquet (docs/exports.md).")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    changes: Annotated[
        bool,
        typer.Option("--changes", help="Bring the folder up to date: write what changed since the last time, alone."),
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="--changes of this day of the calls and later alone, such as 2026-03-01.")
    ] = None,
) -> None:
    """Write one Parquet file per table and day, or keep a folder up to date.

    With --changes or --since the folder is a copy that follows what is stored, ratings, verdicts, purges and KPIs, too,
    in a file per table, tenant and day, which DuckDB, Spark and others read as one table. Run it as often as you like:
    files whose rows have changed are written anew, those of rows that are gone are removed.

    docs/operations.md#export describes the files. Ends with 1 and writes nothing if one of the files exists.
    With --with-text --export it is the tables of exactly the calls that were approved, one file each. An export with
    customers stands in the audit log first; where the register does not take the entry, nothing is written.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.parquet_export import ParquetExport, choose_exports, days_between, write_days

    if changes or since is not None:
        if day or to or with_text or export_id or overwrite:
            raise typer.BadParameter(
                "goes with --out, --since, --tables, --tenant, --with-customers alone", param_hint="--changes"
            )
        _follow(out, since, tables, tenant, with_customers=with_customers)
        return
    if with_text or export_id:
        _require_approved(export_id, with_text=with_text, others=bool(day or to or tables or tenant or with_customers))
        for file in _unpack(export_id, out, overwrite=overwrite):
            typer.echo(str(file))
        return
    if day is None:
        raise typer.BadParameter("name the day to export, or say --changes", param_hint="--day")
    first = parse_day(day, "--day")
    last = first if to is None else parse_day(to, "--to")
    _check_tenant(tenant)
    settings = command_settings()
    export = ParquetExport(out, tenant, with_customers=with_customers)
    which, days = (
        choose_exports([name.strip() for name in tables.split(",") if name.strip()]),
        days_between(first, last),
    )
    if with_customers:
        log_command(settings, "exported", tenant, ("day", "with_customers", *(("tenant",) if tenant else ())))
    client = connect(settings.clickhouse_url.get_secret_value())
    for file in write_days(client, export, which, days, overwrite=overwrite):
        typer.echo(str(file))
    client.close()


def _check_tenant(tenant: str) -> None:
    if not _TENANT.fullmatch(tenant):
        raise typer.BadParameter("no tenant can have this id", param_hint="--tenant")


def _follow(out: Path, since: str | None, tables: str, tenant: str, *, with_customers: bool) -> None:
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.parquet_changes import ChangesExport, choose_followed, write_changes
    from streams.queries.parquet_export import ParquetExport

    _check_tenant(tenant)
    first = None if since is None else parse_day(since, "--since")
    views = choose_followed([name.strip() for name in tables.split(",") if name.strip()])
    settings = command_settings()
    if with_customers:
        filters = ("changes", "with_customers", *(("tenant",) if tenant else ()), *(("since",) if since else ()))
        log_command(settings, "exported", tenant, filters)
    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        export = ParquetExport(out, tenant, with_customers=with_customers)
        for what, file in write_changes(client, ChangesExport(export, views, first)):
            typer.echo(f"{what} {file}")
    finally:
        client.close()


def _require_approved(export_id: str, *, with_text: bool, others: bool) -> None:
    """Raises `ParquetRefusedError` for text that nobody has approved, and `BadParameter`."""
    from streams.queries.parquet_export import ParquetRefusedError

    if not export_id:
        raise ParquetRefusedError(
            "What was said leaves in an approved export: `callstream export request --contents parquet`, then "
            "--export with its id (docs/exports.md)."
        )
    if not with_text or others:
        raise typer.BadParameter(
            "an approved export says itself which calls and tables: give --with-text, --export and --out alone",
            param_hint="--export",
        )


def _unpack(export_id: str, out: Path, *, overwrite: bool) -> Iterator[Path]:
    """The tables of an approved export, as files of the folder; each gets its name when it is whole."""
    from streams.queries.parquet_export import ParquetRefusedError

    path_of(export_id)
    if not overwrite and (existing := sorted(out.glob(f"*-{export_id}.parquet"))):  # before a download is used up
        raise ParquetRefusedError(f"{existing[0]} exists: choose another folder, or say --overwrite.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:  # 0700, on the same disk
        fetched = fetch_export(export_id, Path(folder), "")
        with zipfile.ZipFile(fetched) as packed:
            tables = [name for name in packed.namelist() if name.startswith("parquet/")]
            if not tables:
                raise ParquetRefusedError(f"{export_id} has no Parquet: ask for one with --contents parquet.")
            for name in tables:
                file = out / f"{Path(name).stem}-{export_id}.parquet"
                draft = Path(folder) / file.name
                with packed.open(name) as table, draft.open("wb") as written:
                    shutil.copyfileobj(table, written)
                draft.replace(file)
                yield file
