"""`callstream facts`: what other systems know of orders, customers, agents and courses."""

import typer

from streams.cli.facts.import_ import import_facts

facts_app = typer.Typer(
    help="Bring in what other systems know: orders, customers, credit, agents, courses.", no_args_is_help=True
)
facts_app.command("import")(import_facts)


@facts_app.callback()
def _facts() -> None:
    """Typer makes a group of what has a callback, also with one command."""
