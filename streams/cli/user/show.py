"""`callstream user show`."""

from rich.table import Table
from rich.text import Text

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.user.registered import NameArgument, grant_as_json, registered, scope_of, ways_in, written


def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show an account and every role that it was ever given."""
    with registered() as here:
        found, now = here.find(name), here.clock.now()
    state = "enabled" if found.is_enabled else "disabled"
    if as_json:
        print_json(
            {
                "account": found.account_id,
                "home": found.home,
                "state": state,
                "signs_in_by": ways_in(found),
                "clickhouse_user": found.clickhouse_user,
                "created_at": written(found.created_at),
                "made_by": found.made_by,
                "password_by": found.password_by,
                "grants": [grant_as_json(grant, now) for grant in found.grants],
            }
        )
        return
    console().print(
        f"{found.account_id} of {found.home}, {state}, signs in by {', '.join(ways_in(found)) or 'nothing'}"
    )
    by_password = "" if found.password_by is None else f", given a password last by {found.password_by}"
    console().print(f"made by {found.made_by}{by_password}")
    table = Table("grant", "role", "where", "state", "ends", "given by")
    for grant in found.grants:
        row = grant_as_json(grant, now)
        table.add_row(
            grant.grant_id,
            grant.role,
            Text(scope_of(grant)),
            str(row["state"]),
            str(row["ends_at"] or "never"),
            grant.granted_by or "",
        )
    console().print(table)
