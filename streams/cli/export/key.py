"""`callstream export key`."""

import typer

from streams.cli.command_settings import command_settings


def print_key() -> None:
    """Print the public key by which recipients check what was handed out."""
    from streams.runtime.export_key import kept_export_key
    from streams.runtime.signing_keys import public_pem

    typer.echo(public_pem(kept_export_key(command_settings())), nl=False)
