"""Entries in the audit log for what commands show or do, before they show or do it (R36)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from processors.custody.audit_entry import AuditEntry
from schemas.messages.recording_accessed import ALL_TENANTS, AccessAction
from streams.ports import SystemClock
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.adapters.register.audit_log import RegisterAuditLog
    from streams.cli.console.access import PermittedCommand


@contextmanager
def audit_log(settings: Settings) -> Iterator["RegisterAuditLog"]:
    """The audit log of these settings."""
    from streams.adapters.register.audit_log import RegisterAuditLog
    from streams.adapters.register.register import Register

    register = Register.of(settings)
    try:
        yield RegisterAuditLog(register, SystemClock())
    finally:
        register.close()


def enter(settings: Settings, *entries: AuditEntry) -> None:
    """They are durable when this returns. Raises `RetryableError` and `OperatorError`: then nothing may be shown."""
    with audit_log(settings) as log:
        log.append_all(entries)


def access_entry(
    action: AccessAction,
    tenant: str | None,
    filters: tuple[str, ...],
    calls_count: int | None = None,
    *,
    who: "PermittedCommand",
    reason: str | None = None,
    ticket: str | None = None,
) -> AuditEntry:
    """An access of `who` by a command to many calls; of every tenant where none was asked for."""
    return AuditEntry(
        at=SystemClock().now(),
        actor=who.actor.actor_id,
        role=who.role,
        action=action,
        tenant_id=tenant or ALL_TENANTS,
        result="allowed",
        client="cli",
        purpose=reason,
        ticket=ticket,
        details={
            **({"filters": ",".join(sorted(set(filters)))} if filters else {}),
            **({} if calls_count is None else {"calls": calls_count}),
        },
    )


def act_entry(
    action: str,
    tenant: str | None,
    who: "PermittedCommand",
    *,
    object_kind: str,
    object_id: str,
    personal: Mapping[str, str] | None = None,
) -> AuditEntry:
    """What `who` does by a command to a part of the system, for one tenant or for all."""
    return AuditEntry(
        at=SystemClock().now(),
        actor=who.actor.actor_id,
        role=who.role,
        action=action,
        tenant_id=tenant or ALL_TENANTS,
        result="done",
        client="cli",
        object_kind=object_kind,
        object_id=object_id,
        personal=dict(personal or {}),
    )
