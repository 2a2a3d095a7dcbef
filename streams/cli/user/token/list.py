"""`callstream user token list`."""

from rich.table import Table
from rich.text import Text

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.user.registered import NameArgument, registered, written


def list_tokens(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show the tokens of an account, without their secrets. When one was used last is right to about an hour."""
    with registered() as here:
        found, now = here.find(name), here.clock.now()
        used_at = here.accounts.tokens_used_at(name)
    rows = [
        {
            "token_id": each.token_id,
            "label": each.label,
            "scopes": sorted(each.scopes),
            "state": "revoked" if each.revoked_at else "holds" if each.holds(now) else "expired",
            "issued_at": written(each.issued_at),
            "expires_at": written(each.expires_at),
            "used_at": written(used_at.get(each.token_id)),
        }
        for each in found.tokens
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("token", "label", "scopes", "state", "expires", "used")
    for row in rows:
        table.add_row(
            str(row["token_id"]),
            Text(str(row["label"])),
            " ".join(row["scopes"] or ()),
            str(row["state"]),
            str(row["expires_at"]),
            str(row["used_at"] or "never"),
        )
    console().print(table)
