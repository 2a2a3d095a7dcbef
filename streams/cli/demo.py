"""`callstream demo`: the example recordings through the whole pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console.interrupt import sigterm_as_interrupt
from streams.cli.console.output import console
from streams.runtime.logs import configure_logging
from streams.settings import load_settings


def demo(
    calls: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings to analyse instead, each with its metadata (name.wav and name.json).",
        ),
    ] = None,
) -> None:
    """Analyse example recordings and show what was found.

    Starts the broker tansu, the ClickHouse engine and one worker per stage as child processes, and stops them when it
    is done. Keeps nothing.
    """
    from streams.demo.demo import run_demo

    settings = load_settings().settings
    configure_logging("WARNING")
    with sigterm_as_interrupt() as stopped:
        raise typer.Exit(run_demo(settings, console(), calls, lambda: not stopped.is_set()))
