"""`callstream dead-letters`: messages that were refused, and what becomes of them."""

import typer

from streams.cli.dead_letters.discard import discard
from streams.cli.dead_letters.list import list_letters
from streams.cli.dead_letters.retry import retry
from streams.cli.dead_letters.show import show

dead_letters_app = typer.Typer(
    help="Look after messages that were refused: see them, publish them again, give them up (docs/operations.md).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
dead_letters_app.command("list")(list_letters)
dead_letters_app.command()(show)
dead_letters_app.command()(retry)
dead_letters_app.command()(discard)
