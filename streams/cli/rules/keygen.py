"""`callstream rules keygen`."""

from pathlib import Path
from typing import Annotated

import typer


def make_keys(
    folder: Annotated[Path, typer.Argument(help="Where the two files are written; made where it does not exist.")],
) -> None:
    """Make a key pair for signing rule packs.

    The private key stays with whoever publishes rules. The public key goes to the workers.
    """
    from streams.runtime.rule_signatures import make_key_pair

    private_file, public_file = make_key_pair(folder)
    typer.echo(f"{private_file}: for callstream rules publish (CALLSTREAM_RULES_PRIVATE_KEY_FILE); keep it secret")
    typer.echo(f"{public_file}: for workers (CALLSTREAM_RULES_PUBLIC_KEYS)")
