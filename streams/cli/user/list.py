"""`callstream user list`."""

import typer
from rich.table import Table
from rich.text import Text

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.user.registered import grant_as_json, registered, scope_of, ways_in, written


def list_users(as_json: JsonOption = False) -> None:
    """Show the accounts of the tenants that you administer, and the roles that they have now."""
    with registered() as here:
        now = here.clock.now()
        found = [each for each in here.accounts.list() if here.may_know(each)]
    if as_json:
        print_json(
            [
                {
                    "account": each.account_id,
                    "home": each.home,
                    "state": "enabled" if each.is_enabled else "disabled",
                    "signs_in_by": ways_in(each),
                    "clickhouse_user": each.clickhouse_user,
                    "created_at": written(each.created_at),
                    "grants": [grant_as_json(grant, now) for grant in each.grants if grant.holds(now)],
                }
                for each in found
            ]
        )
        return
    if not found:
        typer.echo("no accounts")
        return
    table = Table("account", "home", "state", "signs in by", "roles")
    for each in found:
        roles = [f"{grant.role} ({scope_of(grant)})" for grant in each.grants if grant.holds(now)]
        state = "enabled" if each.is_enabled else "disabled"
        table.add_row(each.account_id, each.home, state, ", ".join(ways_in(each)), Text("\n".join(roles)))
    console().print(table)
