"""`callstream quarantine skip`."""

from dataclasses import replace

import typer

from streams.cli.quarantine.suspects import Position, find_suspect


def skip_record(position: Position) -> None:
    """Give a record up: make it a dead letter.

    This happens when its worker reads it next.
    """
    quarantine, suspect = find_suspect(position)
    quarantine.put(replace(suspect, state="skip"))
    typer.echo(f"{position} becomes a dead letter as soon as {suspect.stage} reads it")
