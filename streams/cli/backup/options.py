"""Options that several commands of backups have."""

from typing import Annotated

import typer

PlaceOption = Annotated[
    str | None,
    typer.Option("--to", help="A folder, or s3://BUCKET/PREFIX/; by default as CALLSTREAM_BACKUP_TO says."),
]
BackupsFromOption = Annotated[
    str | None,
    typer.Option("--from", help="Where the backups lie; by default as CALLSTREAM_BACKUP_TO says."),
]
BackupOption = Annotated[str | None, typer.Option("--backup", help="Its id; by default the newest.")]


def megabytes(size_bytes: int) -> str:
    """For people."""
    return f"{size_bytes / 1e6:,.1f} MB"
