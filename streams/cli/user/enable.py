"""`callstream user enable`."""

import typer

from streams.cli.user.registered import NameArgument, registered


def enable(name: NameArgument) -> None:
    """Let an account do again what its roles allow. Sessions from before stay closed."""
    with registered() as here:
        found = here.find(name)
        here.accounts.enable(here.over(found), name)
    typer.echo(f"account {name} is enabled")
