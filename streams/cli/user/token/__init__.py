"""`callstream user token`: tokens of people, for programs that act for them."""

import typer

from streams.cli.user.token.add import add
from streams.cli.user.token.list import list_tokens
from streams.cli.user.token.revoke import revoke

token_app = typer.Typer(help="Tokens of people, for programs that act for them.", no_args_is_help=True)
token_app.command("add")(add)
token_app.command("list")(list_tokens)
token_app.command("revoke")(revoke)
