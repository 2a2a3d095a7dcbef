"""What the register says of destroyed calls reaches every backup, and comes back with a restore."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Column, String, Table, select

from processors.custody.backups import BackupError
from streams.adapters.backup.target import BackupTarget
from streams.adapters.register.register import Register
from streams.adapters.register.tables import UtcTime, metadata
from streams.backup.creating import create_backup
from streams.backup.erasing import TOMBSTONES, destroyed_calls, erased_calls
from streams.backup.restoring import restore_backup
from streams.backup.verifying import verify_backup
from tests.support.backed_up import SOURCES, House

pytestmark = [pytest.mark.embedded, pytest.mark.loopback]


@pytest.fixture
def tombstones(house: House, new_house: House) -> Iterator[Table]:
    """The register's table of tombstones, or one that has as much of it as backups look at."""
    table = metadata.tables.get(TOMBSTONES)
    if table is not None:
        yield table
        return
    table = Table(
        TOMBSTONES,
        metadata,
        Column("tenant_id", String(64), primary_key=True),
        Column("call_id", String(128), primary_key=True),
        Column("state", String(16), nullable=False),
        Column("written_at", UtcTime, nullable=False),
    )
    for each in (house, new_house):
        table.create(each.systems.register.engine)
    yield table
    metadata.remove(table)


def bury(register: Register, table: Table, call_id: str, state: str) -> None:
    values: dict[str, Any] = {
        **{"tenant_id": "acme", "call_id": call_id, "state": state, "written_at": datetime.now(UTC)},
        **{"reason": "request", "actor": "test", "role": "", "policy_version": "", "days": "2026-03-31"},
    }
    with register.transaction() as tx:
        tx.execute(table.insert(), {name: value for name, value in values.items() if name in table.c})


def test_a_destroyed_call_leaves_every_backup_with_the_next_one_and_a_blocked_one_stays(
    house: House, new_house: House, target: BackupTarget, tombstones: Table
) -> None:
    old = create_backup(house.systems, SOURCES, target).manifest
    bury(house.systems.register, tombstones, "call-1", "purged")
    bury(house.systems.register, tombstones, "call-2", "blocked")
    assert destroyed_calls(house.systems.register) == {("acme", "call-1")}

    created = create_backup(house.systems, SOURCES, target)

    assert created.reached.calls == 0, "taken out before it was made"
    assert erased_calls(target) == {("acme", "call-1")}
    for manifest in target.manifests():
        assert not verify_backup(target, manifest, full=True, open_calls=50, wrapper=house.wrapper).problems
    back = restore_backup(
        target, target.manifest(old.backup_id), new_house.systems, new_house.clickhouse(), new_house.keys
    )
    assert back.problems == []
    keys = [entry.key for entry in new_house.systems.store.entries()]
    assert not any("/call-1." in key for key in keys)
    assert any("/call-2." in key for key in keys)
    with new_house.systems.register.reading() as tx:
        found = {(row.call_id, row.state) for row in tx.execute(select(tombstones.c.call_id, tombstones.c.state))}
    assert found == {("call-1", "purged"), ("call-2", "blocked")}, "they are newer than the backup"


def test_a_backup_of_a_newer_release_is_refused_before_anything_is_written(
    house: House, new_house: House, target: BackupTarget
) -> None:
    manifest = create_backup(house.systems, SOURCES, target).manifest
    newer = manifest.model_copy(update={"clickhouse_migration": 9_999})
    with pytest.raises(BackupError, match="which is newer"):
        restore_backup(target, newer, new_house.systems, new_house.clickhouse(), new_house.keys)
    assert new_house.systems.register.revision() is None
