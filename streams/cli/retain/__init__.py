"""`callstream retain`: how long calls are kept, what goes when, and what classes wait for."""

import typer

from streams.cli.retain.adopt import adopt
from streams.cli.retain.event import event
from streams.cli.retain.plan import plan
from streams.cli.retain.show import show

retain_app = typer.Typer(
    help="How long calls are kept, and what goes when (docs/retention.md).", no_args_is_help=True, rich_markup_mode=None
)
retain_app.command()(plan)
retain_app.command()(show)
retain_app.command()(event)
retain_app.command()(adopt)
