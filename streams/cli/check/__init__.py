"""`callstream check`: whether what is stored is in order."""

import typer

from streams.cli.check.data import check_data

check_app = typer.Typer(help="Check that what is stored is in order.", no_args_is_help=True)
check_app.command("data")(check_data)
