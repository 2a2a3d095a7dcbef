"""`callstream quarantine`: records that ended a worker on this machine, and what becomes of them."""

import sys
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.errors import OperatorError
from schemas.messages.records import ProducerRecord
from streams.cli.command_settings import command_settings
from streams.runtime.crash_guard import Quarantine, Suspect

quarantine_app = typer.Typer(help="Records that ended a worker on this machine.", no_args_is_help=True)

Position = Annotated[str, typer.Argument(help="The record, as `quarantine list` names it: topic/partition/offset.")]


class NotInQuarantineError(OperatorError):
    """No record of that position is held."""

    exit_code = 2


class RecordGoneError(OperatorError):
    """The topic does not hold the record any more."""

    exit_code = 1


@quarantine_app.command("list")
def list_suspects(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show every record that was under way when its worker ended, and how often that happened."""
    found = [suspect for quarantine in _quarantines() for suspect in quarantine.suspects().values()]
    if as_json:
        import json

        shown = [asdict(suspect) | {"position": suspect.position} for suspect in found]
        sys.stdout.write(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")
        return
    table = Table("stage", "record", "call", "ended the worker", "state", "last seen")
    for suspect in found:
        texts = (suspect.stage, suspect.position, suspect.call, f"{suspect.ends} ×", suspect.state, suspect.seen_at)
        table.add_row(*map(Text, texts))
    Console().print(table)


@quarantine_app.command("skip")
def skip(position: Position) -> None:
    """Give a record up at once: when its worker reads it next, it becomes a dead letter."""
    quarantine, suspect = _find(position)
    quarantine.put(replace(suspect, state="skip"))
    sys.stdout.write(f"{position} becomes a dead letter as soon as {suspect.stage} reads it\n")


@quarantine_app.command("release")
def release(position: Position) -> None:
    """Forget what is held against a record; one that was given up is published again."""
    quarantine, suspect = _find(position)
    if suspect.state == "given_up":
        _publish_again(suspect)
        sys.stdout.write(f"{position} is published again\n")
    else:
        sys.stdout.write(f"{position} is tried like any other\n")
    quarantine.forget(position)


def _quarantines() -> list[Quarantine]:
    return Quarantine.all_in(command_settings().data_dir)


def _find(position: str) -> tuple[Quarantine, Suspect]:
    for quarantine in _quarantines():
        if (suspect := quarantine.suspects().get(position)) is not None:
            return quarantine, suspect
    raise NotInQuarantineError(f"{position} is not in quarantine on this machine: see `callstream quarantine list`")


def _publish_again(suspect: Suspect) -> None:
    """The same key and value at the end of the topic. Raises `RecordGoneError` and `RetryableError`."""
    from streams.adapters.kafka.client import Publisher, read_record

    settings = command_settings()
    record = read_record(settings, suspect.topic, suspect.partition, suspect.offset)
    if record is None or record.value is None:
        raise RecordGoneError(f"{suspect.topic} does not hold {suspect.position} any more: publish the call again")
    publisher = Publisher(settings)
    publisher.publish([ProducerRecord(record.topic, record.key or b"", record.value)])
    publisher.close()
