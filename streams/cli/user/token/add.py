"""`callstream user token add`."""

from datetime import timedelta
from typing import Annotated, cast

import typer

from processors.custody.authorization import ACTIONS, Action
from streams.cli.user.registered import NameArgument, registered


def add(
    name: NameArgument,
    scope: Annotated[
        list[str], typer.Option(help=f"Action that it allows, once or several times: {', '.join(ACTIONS)}.")
    ],
    label: Annotated[str, typer.Option(help="What it is for, for lists.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days that it holds.")] = 90,
) -> None:
    """Make a token of your own account and show it, this once.

    It never allows more than the account may do when it is used. Nobody makes tokens of others, but the operator.
    """
    if unknown := [each for each in scope if each not in ACTIONS]:
        raise typer.BadParameter(f"{unknown[0]} is no action: {', '.join(ACTIONS)}", param_hint="--scope")
    if len(label) > 128:
        raise typer.BadParameter("at most 128 letters", param_hint="--label")
    with registered() as here:
        found = here.find(name)
        own = here.who.actor
        by = own if own.actor_id == found.account_id or here.who.operator is None else here.who.operator
        chosen = [cast(Action, each) for each in scope]
        fresh = here.accounts.issue_token(by, name, label, chosen, timedelta(days=days))
    scopes = " ".join(sorted(fresh.token.scopes))
    ends = f"{fresh.token.expires_at:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"token {fresh.token.token_id} of {name} ({scopes}), until {ends}; it is shown this once:", err=True)
    typer.echo(fresh.text)
