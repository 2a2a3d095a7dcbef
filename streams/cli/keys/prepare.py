"""`callstream keys prepare`."""

import typer

from streams.cli.keys.rotating import PurposeOption, meant, rotating


def prepare_keys(purpose: PurposeOption = None) -> None:
    """Make a new version of the wrapping keys, which wraps nothing yet.

    Where keys are made elsewhere (variables, a rotation in the key service), the newest version that the register does
    not know is taken. Running it again changes nothing.
    """
    purposes = meant(purpose)
    with rotating(purposes) as rotation:
        for each in purposes:
            typer.echo(f"{each}: {rotation.prepare(each)} is prepared")
    typer.echo("give it to every process that opens them, then run `callstream keys switch`")
