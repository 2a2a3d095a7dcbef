"""`callstream user disable`."""

import typer

from streams.cli.user.registered import NameArgument, registered


def disable(name: NameArgument) -> None:
    """Let an account do nothing any more, by whatever it signs in: within ten seconds. Its tokens are refused, too."""
    with registered() as here:
        found = here.find(name)
        here.accounts.disable(here.over(found), name)
    typer.echo(f"account {name} is disabled")
