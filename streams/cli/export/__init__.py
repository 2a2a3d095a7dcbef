"""`callstream export`: what is stored, as files for others. What was said or heard leaves only once it is approved."""

import typer

from streams.cli.export.approve import approve_export
from streams.cli.export.download import download_export
from streams.cli.export.key import print_key
from streams.cli.export.list import list_exports
from streams.cli.export.parquet import export_parquet
from streams.cli.export.refuse import refuse_export
from streams.cli.export.request import request_export
from streams.cli.export.semantic import export_semantic
from streams.cli.export.show import show_export
from streams.cli.export.verify import verify_export
from streams.cli.export.withdraw import withdraw_export

export_app = typer.Typer(
    help="Export what is stored as files for others; sound and text once somebody else approves (docs/exports.md).",
    no_args_is_help=True,
)
export_app.command("parquet")(export_parquet)
export_app.command("semantic")(export_semantic)
export_app.command("request")(request_export)
export_app.command("list")(list_exports)
export_app.command("show")(show_export)
export_app.command("approve")(approve_export)
export_app.command("refuse")(refuse_export)
export_app.command("withdraw")(withdraw_export)
export_app.command("download")(download_export)
export_app.command("verify")(verify_export)
export_app.command("key")(print_key)
