"""Lines in the log of access for what commands show or write of calls (R36)."""

import os
import pwd
import re

from schemas.messages.recording_accessed import ALL_TENANTS, AccessAction, RecordingAccessed
from streams.ports import SystemClock
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
    """A line for what a command is about to show of many calls; of every tenant where none was asked for.

    Raises `RetryableError` when Kafka does not take it: then nothing may be shown.
    """
    from streams.adapters.kafka.client import Publisher
    from streams.queries.access_log import log_access

    line = RecordingAccessed.of(
        tenant_id=tenant or ALL_TENANTS,
        user_id=account(),
        user_role=ROLE,
        action=action,
        filters=filters,
        calls_count=calls_count,
        client="cli",
        accessed_at=SystemClock().now(),
    )
    publisher = Publisher(settings)
    try:
        log_access(publisher, line)
    finally:
        publisher.close()
