"""`callstream api-keys`: keys by which other systems upload recordings and ask where calls stand."""

import typer

from streams.cli.api_keys.issue import issue
from streams.cli.api_keys.list import list_keys
from streams.cli.api_keys.revoke import revoke
from streams.cli.api_keys.rotate import rotate

api_keys_app = typer.Typer(
    help="Keys by which other systems upload recordings and ask where calls stand (docs/api.md).", no_args_is_help=True
)
api_keys_app.command("issue")(issue)
api_keys_app.command("list")(list_keys)
api_keys_app.command("rotate")(rotate)
api_keys_app.command("revoke")(revoke)
