"""`callstream export`: what is stored, as files for other tools."""

import typer

from streams.cli.export.parquet import export_parquet

export_app = typer.Typer(help="Export what is stored as files for other tools.", no_args_is_help=True)
export_app.command("parquet")(export_parquet)
