"""`callstream keys retire`."""

from typing import Annotated

import typer

from streams.cli.keys.rotating import PurposeOption, VersionOption, meant, rotating


def retire_keys(
    purpose: PurposeOption = None,
    version: VersionOption = None,
    destroy_key: Annotated[
        bool,
        typer.Option(
            "--destroy-key", help="Destroy the key as well: backups of the register from before cannot be opened then."
        ),
    ] = False,
) -> None:
    """Be done with the version before, which must wrap nothing any more.

    Its key stays where it is, for backups of the register, until the command is run with --destroy-key.
    """
    purposes = meant(purpose, version)
    with rotating(purposes) as rotation:
        for each in purposes:
            retired = rotation.retire(each, version, destroy=destroy_key)
            typer.echo(f"{each}: {retired} is retired{' and destroyed' if destroy_key else ''}")
