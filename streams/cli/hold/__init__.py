"""`callstream hold` and `callstream release`: legal holds, which no deletion passes."""

import typer

from streams.cli.hold.extend import extend
from streams.cli.hold.list import list_cases
from streams.cli.hold.open import open_case
from streams.cli.hold.show import show

hold_app = typer.Typer(
    help="Legal holds: cases that keep calls from being destroyed (docs/retention.md).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
hold_app.command("open")(open_case)
hold_app.command()(extend)
hold_app.command("list")(list_cases)
hold_app.command()(show)
