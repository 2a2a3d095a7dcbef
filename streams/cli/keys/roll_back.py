"""`callstream keys roll-back`."""

import typer

from streams.cli.keys.rotating import PurposeOption, VersionOption, meant, rotating


def roll_back_keys(purpose: PurposeOption = None, version: VersionOption = None) -> None:
    """Wrap with the version before again; possible until that is retired.

    What the newer one has wrapped stays readable, as long as that is not retired.
    """
    purposes = meant(purpose, version)
    with rotating(purposes) as rotation:
        for each in purposes:
            typer.echo(f"{each}: {rotation.roll_back(each, version)} wraps again")
