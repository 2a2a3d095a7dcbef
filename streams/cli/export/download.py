"""`callstream export download`."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.export.person import ExportArgument, UrlOption, api, path_of


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
