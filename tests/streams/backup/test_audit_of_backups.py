"""What the audit log says of backups: before anything is copied or written, and that a log came from an older one."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import Checkpoint, NamedNote, VerifierKey, signed_note, verify_log
from processors.custody.merkle import TreePeaks
from streams.adapters.backup.register_rows import is_empty
from streams.adapters.backup.target import BackupTarget
from streams.adapters.clickhouse.errors import ClickHouseSchemaError
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog
from streams.adapters.register.register import Register
from streams.adapters.register.tables import tombstones
from streams.backup.creating import create_backup
from streams.backup.erasing import apply_erasures
from streams.backup.restoring import restore_backup
from streams.backup.systems import ByWhom
from streams.ports import SystemClock
from tests.support.backed_up import SOURCES, House

pytestmark = [pytest.mark.embedded, pytest.mark.loopback]

BY = ByWhom("os:li_na", "operator")
LOG = "callstream-audit"
KEY = Ed25519PrivateKey.generate()


class NotTakenError(Exception):
    """The log does not take the entry."""


class Refusing:
    """A log that takes nothing."""

    def append(self, entry: AuditEntry) -> None:
        raise NotTakenError(entry.action)


def log_of(register: Register) -> RegisterAuditLog:
    return RegisterAuditLog(register, SystemClock())


def entry_of(number: int) -> AuditEntry:
    return AuditEntry(
        SystemClock().now(), "li_na", "inspector", "viewed_text", "acme", "allowed", "api", call_id=f"c{number}"
    )


def signed(log: RegisterAuditLog) -> NamedNote:
    """The log with all entries in their places, and a checkpoint of that as it is kept elsewhere."""
    while log.sequence():
        pass
    log.sign(note_of, lambda _last: True)
    last = log.last_checkpoint()
    assert last is not None
    return NamedNote(f"anchor of {last.size}", last.note)


def note_of(peaks: TreePeaks, at: datetime) -> str:
    return signed_note(Checkpoint(LOG, peaks.size, peaks.root, at).text, LOG, KEY)


def told(log: RegisterAuditLog, action: str) -> list[tuple[str, str, str, str | None]]:
    found = [each.read.entry for each in log.find(EntryFilter(action=action), 10)]
    return sorted((each.actor, each.role, each.result, each.object_id) for each in found)


def test_an_entry_stands_before_anything_is_copied(house: House, target: BackupTarget, tmp_path: Path) -> None:
    with pytest.raises(NotTakenError):
        create_backup(house.systems, SOURCES, target, audit=Refusing())
    assert not (tmp_path / "backups").exists()


def test_the_backup_itself_holds_the_entry_of_its_making(house: House, new_house: House, target: BackupTarget) -> None:
    created = create_backup(house.systems, SOURCES, target, audit=log_of(house.systems.register), by=BY)
    backup_id = created.manifest.backup_id
    assert told(log_of(house.systems.register), "backup_created") == [
        ("os:li_na", "operator", "allowed", backup_id),
        ("os:li_na", "operator", "done", backup_id),
    ]
    restore_backup(target, created.manifest, new_house.systems, new_house.clickhouse(), new_house.keys)
    assert told(log_of(new_house.systems.register), "backup_created") == [
        ("os:li_na", "operator", "allowed", backup_id)
    ]


def test_nothing_is_given_back_that_the_living_installation_does_not_enter(
    house: House, new_house: House, target: BackupTarget
) -> None:
    manifest = create_backup(house.systems, SOURCES, target).manifest
    with pytest.raises(NotTakenError):
        restore_backup(
            target, manifest, new_house.systems, new_house.clickhouse(), new_house.keys, audit_beside=Refusing()
        )
    assert is_empty(new_house.systems.register)


def test_sound_and_rows_come_back_behind_the_entry_in_the_register_that_came_back(
    house: House, new_house: House, target: BackupTarget
) -> None:
    manifest = create_backup(house.systems, SOURCES, target).manifest
    with pytest.raises(NotTakenError):
        restore_backup(target, manifest, new_house.systems, new_house.clickhouse(), new_house.keys, audit=Refusing())
    assert isinstance(new_house.systems.store, FolderStore)
    assert list(new_house.systems.store.entries()) == []
    with pytest.raises(ClickHouseSchemaError):
        new_house.systems.clickhouse()


def test_a_log_that_came_from_an_older_backup_does_not_hold_and_names_the_entry(
    house: House, new_house: House, target: BackupTarget
) -> None:
    old = log_of(house.systems.register)
    old.append_all(entry_of(number) for number in range(3))
    kept = [signed(old)]
    manifest = create_backup(house.systems, SOURCES, target, audit=old, by=BY).manifest
    old.append_all(entry_of(number) for number in range(3, 8))
    kept.append(signed(old))
    assert verify_log(old.lines(), kept, [VerifierKey.of(LOG, KEY)]).holds

    new = log_of(new_house.systems.register)
    restore_backup(
        target, manifest, new_house.systems, new_house.clickhouse(), new_house.keys, audit=new, audit_beside=old, by=BY
    )
    assert len(told(new, "backup_restored")) == len(told(old, "backup_restored")) == 2
    kept_anew = signed(new)
    keys = [VerifierKey.of(LOG, KEY)]
    assert verify_log(new.lines(), [kept[0], kept_anew], keys).holds
    shorter = verify_log(new.lines(), [*kept, kept_anew], keys)
    assert not shorter.holds
    (place,) = shorter.restored
    (problem,) = shorter.problems
    assert problem.kind == "cut"
    assert f"entry {place} says that a backup was given back" in problem.says
    entries = new.find(EntryFilter(action="backup_restored"), 10)
    assert [each.index for each in entries if each.read.entry.result == "allowed"] == [place]

    # Once it has grown past the checkpoint, something else stands where that was signed.
    new.append_all(entry_of(number) for number in range(20, 40))
    longer = verify_log(new.lines(), [*kept, signed(new)], keys)
    assert [each.kind for each in longer.problems] == ["changed"]
    assert f"entry {place} says that a backup was given back" in longer.problems[0].says


def test_what_the_log_had_of_a_customer_who_was_erased_since_does_not_come_back(
    house: House, new_house: House, target: BackupTarget
) -> None:
    log = log_of(house.systems.register)
    log.append_all(
        replace(entry_of(number), call_id=f"call-{number}", personal={"address": f"192.0.2.{number}"})
        for number in (1, 2)
    )
    manifest = create_backup(house.systems, SOURCES, target, audit=log).manifest
    with house.systems.register.transaction() as tx:
        tx.insert_new(
            tombstones,
            **{
                "tenant_id": "acme",
                "call_id": "call-1",
                "state": "purged",
                "reason": "erasure",
                "actor": "li_na",
                "role": "operator",
            },
            **{"erasure_id": "e" * 32, "policy_version": "", "days": "", "written_at": SystemClock().now()},
        )
    apply_erasures(target, house.systems.register, (), SystemClock().now())
    manifest = target.manifest(manifest.backup_id)  # which was signed anew

    new = log_of(new_house.systems.register)
    restore_backup(target, manifest, new_house.systems, new_house.clickhouse(), new_house.keys, audit=new)

    shown = {each.read.entry.call_id: each.personal for each in new.find(EntryFilter(action="viewed_text"), 10)}
    assert shown == {"call-1": {}, "call-2": {"address": "192.0.2.2"}}
    assert verify_log(new.lines(), [signed(new)], [VerifierKey.of(LOG, KEY)]).erased == 1


def test_a_log_in_which_no_backup_was_given_back_is_excused_by_nothing(house: House) -> None:
    log = log_of(house.systems.register)
    log.append_all(entry_of(number) for number in range(3))
    anchor = signed(log)
    cut = verify_log(list(log.lines())[:2], [anchor], [VerifierKey.of(LOG, KEY)])
    assert [each.kind for each in cut.problems] == ["cut"]
    assert "backup" not in cut.problems[0].says
