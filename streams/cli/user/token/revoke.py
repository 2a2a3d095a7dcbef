"""`callstream user token revoke`."""

from typing import Annotated

import typer

from streams.cli.user.registered import NameArgument, registered


def revoke(
    name: NameArgument,
    token_ids: Annotated[list[str], typer.Argument(help="Ids of tokens, as `user token list` shows them.")],
) -> None:
    """End tokens: they are refused within ten seconds. Revoking one again changes nothing."""
    with registered() as here:
        found = here.find(name)
        for token_id in token_ids:
            here.accounts.revoke_token(here.over(found), name, token_id)
            typer.echo(f"token {token_id} of {name} is revoked")
