"""`callstream check`: whether what is stored is in order, and whether Kafka takes records."""

import typer

from streams.cli.check.broker import check_broker
from streams.cli.check.data import check_data

check_app = typer.Typer(
    help="Check that what is stored is in order, and that Kafka takes records.", no_args_is_help=True
)
check_app.command("data")(check_data)
check_app.command("broker")(check_broker)
