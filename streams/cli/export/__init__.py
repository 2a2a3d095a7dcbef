"""`callstream export`: what is stored, as files for others. What was said or heard leaves only once it is approved."""

import typer

from streams.cli.export.asking import (
    approve_export,
    list_exports,
    refuse_export,
    request_export,
    show_export,
    withdraw_export,
)
from streams.cli.export.handing import download_export, print_key, verify_export
from streams.cli.export.parquet import export_parquet

export_app = typer.Typer(
    help="Export what is stored as files for others; sound and text once somebody else approves (docs/exports.md).",
    no_args_is_help=True,
)
export_app.command("parquet")(export_parquet)
export_app.command("request")(request_export)
export_app.command("list")(list_exports)
export_app.command("show")(show_export)
export_app.command("approve")(approve_export)
export_app.command("refuse")(refuse_export)
export_app.command("withdraw")(withdraw_export)
export_app.command("download")(download_export)
export_app.command("verify")(verify_export)
export_app.command("key")(print_key)
