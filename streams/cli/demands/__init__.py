"""`callstream demands`: what customers ask for that no topic covers yet."""

import typer

from streams.cli.demands.adopt import adopt
from streams.cli.demands.unknown import show_unknown

demands_app = typer.Typer(
    help="Find what customers call about that no topic covers, and make topics of it.", no_args_is_help=True
)
demands_app.command("unknown")(show_unknown)
demands_app.command("adopt")(adopt)
