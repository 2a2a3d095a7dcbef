"""What a backup is made of, and given back into."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from processors.custody.audit_entry import AuditEntry, AuditResult
from processors.custody.authorization import EVERY_TENANT
from streams.adapters.register.register import Register
from streams.ports import Clock, ObjectStore

ALONE = "backup"
"""As what the register is asked that no other one runs."""


@dataclass(frozen=True)
class ConfigurationFile:
    """A file that a setting names: `path` is below what it names, or its name alone."""

    setting: str
    path: str
    content: bytes


@dataclass(frozen=True)
class PublishedRecord:
    """A record of the topic of published rules, as it stands there."""

    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Systems:
    """The systems of an installation."""

    register: Register
    clickhouse: Callable[[], Client]
    """A new client, which who asked closes."""
    store: ObjectStore
    clock: Clock
    release: str


_NOTHING: Mapping[str, str | int] = {}


@dataclass(frozen=True)
class ByWhom:
    """Who has a backup made, or given back, and in which role."""

    actor: str = "callstream"
    role: str = "pipeline_writer"

    def entry(
        self,
        action: str,
        backup_id: str,
        systems: Systems,
        *,
        result: AuditResult = "allowed",
        details: Mapping[str, str | int] = _NOTHING,
    ) -> AuditEntry:
        """What the audit log says of it, before and afterwards: of every tenant."""
        return AuditEntry(
            at=systems.clock.now(),
            actor=self.actor,
            role=self.role,
            action=action,
            tenant_id=EVERY_TENANT,
            result=result,
            client="cli",
            object_kind="backup",
            object_id=backup_id,
            details=details,
        )


@dataclass(frozen=True)
class Sources:
    """What is backed up beside the systems."""

    rules: Callable[[], Iterable[PublishedRecord]]
    configuration: Iterable[ConfigurationFile]
