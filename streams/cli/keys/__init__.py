"""`callstream keys`: for the people who look after the keys that wrap all others."""

import typer

from streams.cli.keys.prepare import prepare_keys
from streams.cli.keys.retire import retire_keys
from streams.cli.keys.rewrap import rewrap_keys
from streams.cli.keys.roll_back import roll_back_keys
from streams.cli.keys.status import show_keys
from streams.cli.keys.switch import switch_keys

keys_app = typer.Typer(
    help="Rotate the keys that wrap all others (docs/custody.md#rotation): prepare, switch, rewrap, retire.",
    no_args_is_help=True,
)
keys_app.command("status")(show_keys)
keys_app.command("prepare")(prepare_keys)
keys_app.command("switch")(switch_keys)
keys_app.command("rewrap")(rewrap_keys)
keys_app.command("roll-back")(roll_back_keys)
keys_app.command("retire")(retire_keys)
