"""`callstream check broker`."""

import typer

from schemas.errors import RetryableError
from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_UNREACHABLE


def check_broker() -> None:
    """Write a record to Kafka, into a topic of its own that nobody reads, and see that it is taken.

    A broker may answer and take nothing, on a full disk for one. Ends with 4 if it takes nothing within ten seconds.
    """
    from streams.adapters.kafka.canary import CANARY_TOPIC, write_canary
    from streams.runtime.free_space import lack_of_space

    settings = command_settings()
    lacking = lack_of_space(settings.data_dir)
    try:
        write_canary(settings)
    except RetryableError as error:
        lacking = (str(error), *lacking)
    else:
        typer.echo(f"Kafka takes records: one was written to {CANARY_TOPIC}")
    for sentence in lacking:
        typer.echo(f"callstream: {sentence}", err=True)
    raise typer.Exit(EXIT_UNREACHABLE if lacking else 0)
