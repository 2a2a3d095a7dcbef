"""`callstream user grant`."""

from datetime import timedelta
from typing import Annotated

import typer

from streams.cli.user.registered import NameArgument, registered, scope_of


def grant(
    name: NameArgument,
    role: Annotated[str, typer.Argument(help="Role, as `callstream roles show --actions` names it.")],
    tenant: Annotated[str, typer.Option(help="Tenant in which it holds; * is all of them.")],
    team: Annotated[list[str] | None, typer.Option(help="Team for which it holds, once or several times.")] = None,
    agent: Annotated[str | None, typer.Option(help="Number of the agent whose calls it is about.")] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days that it holds; 0: without end.")] = 0,
) -> None:
    """Give an account a role. Sessions that are open are closed within ten seconds."""
    with registered() as here:
        ends = here.clock.now() + timedelta(days=days) if days else None
        given = here.accounts.give(here.by(tenant), name, role, tenant, teams=team, agent_id=agent, ends_at=ends)
    until = "" if given.ends_at is None else f" until {given.ends_at:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{name} is {given.role} of {scope_of(given)}{until} (grant {given.grant_id})")
