"""`callstream receipts`: what was destroyed, signed."""

import typer

from streams.cli.receipts.key import key
from streams.cli.receipts.show import show
from streams.cli.receipts.verify import verify

receipts_app = typer.Typer(help="Receipts of what was destroyed, signed with Ed25519.", no_args_is_help=True)
receipts_app.command("show")(show)
receipts_app.command("verify")(verify)
receipts_app.command("key")(key)
