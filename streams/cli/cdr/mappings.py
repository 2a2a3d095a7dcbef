"""`callstream cdr mappings`."""

from typing import Annotated

import typer


def mappings(
    name: Annotated[str | None, typer.Argument(help="One of them, to print it as a start for your own.")] = None,
) -> None:
    """List the mappings that come along, or print one."""
    from schemas.config.cdr_mapping import read_mapping, shipped_mappings

    if name is None:
        for each in shipped_mappings():
            typer.echo(f"{each:18} {read_mapping(each).description}")
        return
    read_mapping(name)
    shipped = shipped_mappings()
    if name not in shipped:
        raise typer.BadParameter(f"{name} is a file of your own; those that come along are {', '.join(shipped)}")
    typer.echo(shipped[name], nl=False)
