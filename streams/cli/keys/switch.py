"""`callstream keys switch`."""

import typer

from streams.cli.keys.rotating import PurposeOption, VersionOption, meant, rotating


def switch_keys(purpose: PurposeOption = None, version: VersionOption = None) -> None:
    """Wrap with the prepared version from now on, in all processes at once.

    Each of them must have the key already. Until it is retired, `callstream keys roll-back` goes back to the version
    before.
    """
    purposes = meant(purpose, version)
    with rotating(purposes) as rotation:
        for each in purposes:
            typer.echo(f"{each}: {rotation.switch(each, version)} wraps now")
    typer.echo("run `callstream keys rewrap` for what the version before has wrapped")
