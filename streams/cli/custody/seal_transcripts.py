"""`callstream custody seal-transcripts`: transcripts of earlier releases, sealed and filed by day."""

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json

NAMED = 20


def seal_transcripts(as_json: JsonOption = False) -> None:
    """Seal the transcripts that releases before 0.4 left in clear, and file them by day.

    To be run once after the upgrade, before the workers start; it can be stopped and run again. Each transcript is
    removed from its old place once it is durable in the new one.
    """
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.adapters.register.register import Register
    from streams.stages.seal_transcripts import seal_those_in_clear
    from streams.wiring import require_register, transcript_store_from

    settings = command_settings()
    store = object_store_from(settings)
    store.check()
    require_register(Register.of(settings))
    report = seal_those_in_clear(transcript_store_from(settings, store))
    if as_json:
        print_json({"sealed": report.sealed, "left": report.left})
    else:
        typer.echo(f"{report.sealed} transcripts sealed")
        for key in report.left[:NAMED]:
            typer.echo(f"  left alone, it is no transcript of its call: {key}")
        if len(report.left) > NAMED:
            typer.echo(f"  and {len(report.left) - NAMED} more; --json lists them all")
    if report.left:
        raise typer.Exit(EXIT_PROBLEM)
