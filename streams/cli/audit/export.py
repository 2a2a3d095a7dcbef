"""`callstream audit export`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import OperatorError
from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.audit import access_entry, audit_log


class AuditFileError(OperatorError):
    """A file of the audit log cannot be read or written."""


def export_log(
    out: Annotated[Path, typer.Option(help="File to write; it must not exist.")],
) -> None:
    """Write the whole audit log and its checkpoints to a file, which `audit verify --log` verifies anywhere.

    A line of JSON for each place of the tree, with the entry, and of its personal values those that were not erased,
    with their salts; then a line for each checkpoint. The file is as confidential as the log. It needs the right
    `audit` in every tenant. The export itself is an entry, which is in the file when the worker `audit` has put it into
    the tree.
    """
    from processors.custody.audit_log import checkpoint_line_of, line_of

    settings = command_settings()
    who = require_permission(settings, "audit", None, entered_as="exported")
    with audit_log(settings) as log:
        log.append(access_entry("exported", None, ("audit_log",), who=who))
        count = 0
        try:
            file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AuditFileError(f"{out} cannot be written: {error.strerror}") from None
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            for line in log.lines():
                stream.write(line_of(line) + "\n")
                count += 1
            for checkpoint in log.checkpoints():
                if checkpoint.size <= count:  # one that was signed meanwhile is over more than is in the file
                    stream.write(checkpoint_line_of(checkpoint.note) + "\n")
    typer.echo(f"{count} entries in {out}")
