"""`callstream receipts key`."""

import typer

from streams.cli.command_settings import command_settings


def key() -> None:
    """Print the public key that receipts are verified with. Give it to whoever must be able to; it is no secret."""
    from streams.purging import receipts_key_file
    from streams.runtime.receipt_keys import receipt_key
    from streams.runtime.signing_keys import public_pem

    typer.echo(public_pem(receipt_key(receipts_key_file(command_settings()))), nl=False)
