"""`callstream receipts verify`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems


def verify(
    file: Annotated[Path, typer.Argument(help="File with a receipt.")],
    public_key: Annotated[
        Path | None,
        typer.Option(help="PEM file with the public key (`callstream receipts key`); by default that of this machine."),
    ] = None,
) -> None:
    """Say whether a receipt is as it was signed; works without any connection. Ends with 1 where it is not."""
    from processors.custody.receipts import verified_receipt
    from streams.purging import receipts_key_file
    from streams.runtime.receipt_keys import read_receipt_public_key, receipt_key

    if public_key is not None:
        key = read_receipt_public_key(public_key)
    else:
        own = receipts_key_file(command_settings())
        if not own.exists():
            end_with_problems([f"there is no key {own}: give --public-key"])
        key = receipt_key(own).public_key()
    try:
        body = verified_receipt(file.read_bytes(), [key])
    except OSError as error:
        end_with_problems([f"{file} cannot be read: {error.strerror}"])
    what = body.get("purge_id") or body.get("erasure_id")
    typer.echo(f"as it was signed: {what} of {body.get('tenant_id')}, {body.get('read_back_at') or body.get('at')}")
