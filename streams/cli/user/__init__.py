"""`callstream user`: people, which roles they have, and tokens of theirs for programs (docs/people.md)."""

import typer

from streams.cli.user.add import add
from streams.cli.user.disable import disable
from streams.cli.user.enable import enable
from streams.cli.user.grant import grant
from streams.cli.user.list import list_users
from streams.cli.user.password import password
from streams.cli.user.revoke_grant import revoke_grant
from streams.cli.user.show import show
from streams.cli.user.token import token_app

user_app = typer.Typer(
    help="People, which roles they have, and tokens of theirs for programs (docs/people.md).", no_args_is_help=True
)
user_app.command("add")(add)
user_app.command("list")(list_users)
user_app.command("show")(show)
user_app.command("grant")(grant)
user_app.command("revoke-grant")(revoke_grant)
user_app.command("disable")(disable)
user_app.command("enable")(enable)
user_app.command("password")(password)
user_app.add_typer(token_app, name="token")
