"""Who runs a command, and entries in the audit log for what commands show or write of calls (R36)."""

import os
import pwd
import re

from schemas.messages.recording_accessed import AccessAction
from streams.settings import Settings

ROLE = "pipeline_writer"
"""By whose account commands ask ClickHouse."""


def account() -> str:
    """The account that asks, as the kernel has it, whatever LOGNAME and USER say; in a form that the log takes."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid-{number}"
    written = re.sub(r"[^A-Za-z0-9._:@-]", "_", name)[:128]
    return written if written[:1].isalnum() else f"uid-{number}"


def log_command(
    settings: Settings,
    action: AccessAction,
    tenant: str | None,
    filters: tuple[str, ...],
    calls_count: int | None = None,
) -> None:
    """An entry in the audit log for what a command is about to show of many calls; of every tenant where none was
    asked for.

    Raises `RetryableError` and `OperatorError` when the register does not take it: then nothing may be shown.
    """
    from streams.cli.console.audit import access_entry, enter

    enter(settings, access_entry(action, tenant, filters, calls_count))
