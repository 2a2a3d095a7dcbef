"""`callstream quarantine release`."""

import typer

from schemas.errors import OperatorError
from schemas.messages.records import ProducerRecord
from streams.cli.command_settings import command_settings
from streams.cli.quarantine.suspects import Position, find_suspect
from streams.runtime.crash_guard import Suspect


class RecordGoneError(OperatorError):
    """The topic does not hold the record any more."""

    exit_code = 1


def release_record(position: Position) -> None:
    """Take a record out of quarantine.

    A record that was given up is published again; any other is tried again like a new one.
    """
    quarantine, suspect = find_suspect(position)
    if suspect.state == "given_up":
        _publish_again(suspect)
        typer.echo(f"{position} is published again")
    else:
        typer.echo(f"{position} is tried like any other")
    quarantine.forget(position)


def _publish_again(suspect: Suspect) -> None:
    """The same key and value at the end of the topic. Raises `RecordGoneError` and `RetryableError`."""
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.adapters.kafka.client import read_record

    settings = command_settings()
    publisher = publisher_by_hand(settings)
    record = read_record(settings, suspect.topic, suspect.partition, suspect.offset)
    if record is None or record.value is None:
        raise RecordGoneError(f"{suspect.topic} does not hold {suspect.position} any more: publish the call again")
    publisher.publish([ProducerRecord(record.topic, record.key or b"", record.value)])
    publisher.close()
