"""The records that are held on this machine."""

from typing import Annotated

import typer

from schemas.errors import OperatorError
from streams.cli.command_settings import command_settings
from streams.runtime.crash_guard import Quarantine, Suspect

Position = Annotated[str, typer.Argument(help="The record, as `quarantine list` names it: topic/partition/offset.")]


class NotInQuarantineError(OperatorError):
    """No record of that position is held."""

    exit_code = 2


def all_quarantines() -> list[Quarantine]:
    """Those of all stages on this machine."""
    return Quarantine.all_in(command_settings().data_dir)


def find_suspect(position: str) -> tuple[Quarantine, Suspect]:
    """The record, and the quarantine that holds it. Raises `NotInQuarantineError`."""
    for quarantine in all_quarantines():
        if (suspect := quarantine.suspects().get(position)) is not None:
            return quarantine, suspect
    raise NotInQuarantineError(f"{position} is not in quarantine on this machine: see `callstream quarantine list`")
