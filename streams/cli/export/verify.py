"""`callstream export verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verify_export(
    file: Annotated[Path, typer.Argument(help="A ZIP that was handed out.", exists=True, dir_okay=False)],
    public_key: Annotated[
        Path | None, typer.Option(help="Public key (PEM) of who handed it out; by default that of this machine.")
    ] = None,
) -> None:
    """Check that every file of a ZIP is what its signed manifest says, and print for whom it is."""
    from processors.custody.export_archive import verify_archive

    told = verify_archive(file, _key(public_key))
    typer.echo(f"{len(told['files'])} files, as they were handed out")
    typer.echo(told["mark"])


def _key(file: Path | None) -> "Ed25519PublicKey":
    from streams.runtime.export_key import kept_export_key, read_export_public_key

    return kept_export_key(command_settings()).public_key() if file is None else read_export_public_key(file)
