"""`callstream export download`, `verify` and `key`."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.export.asking import ExportArgument, UrlOption, api, path_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def download_export(
    export_id: ExportArgument,
    out: Annotated[Path, typer.Option(help="Folder for the ZIP; created if it does not exist.")] = Path(),
    url: UrlOption = "",
) -> None:
    """Download an approved export of yours, once for each time that it may be.

    With sound it is `play` that hands it out: name it with --url.
    """
    typer.echo(str(fetch_export(export_id, out, url)))


def fetch_export(export_id: str, folder: Path, url: str) -> Path:
    """The ZIP, which gets its name when it is whole. Raises as `ServeApi`."""
    from streams.serve.export_routes import TOKEN_HEADER

    served = api(url)
    file = folder / f"export-{export_id}.zip"
    if file.exists():
        raise typer.BadParameter(f"{file} exists: move it away, or name another folder", param_hint="--out")
    folder.mkdir(parents=True, exist_ok=True)
    token = served.post(path_of(export_id, "/downloads"))["token"]
    draft = folder / f".{file.name}.{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            for piece in served.stream(path_of(export_id, "/content"), {TOKEN_HEADER: token}):
                written.write(piece)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return file


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


def print_key() -> None:
    """Print the public key by which recipients check what was handed out."""
    from streams.runtime.export_key import kept_export_key, public_pem

    typer.echo(public_pem(kept_export_key(command_settings())), nl=False)
