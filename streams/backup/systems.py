"""What a backup is made of, and given back into."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import EVERY_TENANT
from processors.custody.backups import Manifest
from streams.adapters.register.register import Register
from streams.ports import Clock, ObjectStore

ALONE = "backup"
"""As what the register is asked that no other one runs."""

_ROLE = "pipeline_writer"


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


def entry_of(
    action: str, manifest: Manifest, systems: Systems, actor: str, details: Mapping[str, str | int]
) -> AuditEntry:
    """What the audit log says of a backup that was made, or given back: of every tenant."""
    return AuditEntry(
        at=systems.clock.now(),
        actor=actor,
        role=_ROLE,
        action=action,
        tenant_id=EVERY_TENANT,
        result="done",
        client="cli",
        object_kind="backup",
        object_id=manifest.backup_id,
        details=details,
    )


@dataclass(frozen=True)
class Sources:
    """What is backed up beside the systems."""

    rules: Callable[[], Iterable[PublishedRecord]]
    configuration: Iterable[ConfigurationFile]
