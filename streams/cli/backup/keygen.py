"""`callstream backup keygen`."""

from pathlib import Path
from typing import Annotated

import typer


def keygen(
    folder: Annotated[Path, typer.Argument(help="Folder for the new keys; it is made where it is absent.")],
) -> None:
    """Make the keys of backups: a pair that signs them, and two that seal rows and wrapped keys.

    Keep copies of them where no backup lies: without the sealing keys a backup that was sealed is lost, and whoever has
    the private key can sign another one.
    """
    from streams.adapters.backup.signing import make_keys

    for file in make_keys(folder):
        typer.echo(f"made {file}")
