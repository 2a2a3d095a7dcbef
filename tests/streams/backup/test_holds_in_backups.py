"""Holds that were opened and released after a backup stand after its restore as they do now."""

from collections.abc import Collection
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest

from processors.custody.audit_entry import AuditEntry
from processors.custody.backups import BackupError, ErasedFile, FileRows
from processors.custody.holds import CustomerScope, Extend, HoldCommand, HoldScope, Open, Release
from streams.adapters.backup.target import BackupTarget
from streams.adapters.register.holds import RegisterCaseList, RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import TenantCall
from streams.backup.creating import create_backup
from streams.backup.erasing import apply_erasures, chunks_in_use
from streams.backup.holding import (
    KnownHolds,
    file_rows,
    holds_of_file,
    holds_of_register,
    holds_of_target,
    put_holds,
    remember_holds,
)
from streams.backup.restoring import restore_backup
from streams.backup.verifying import verify_backup
from streams.ports import SystemClock
from tests.support.backed_up import SOURCES, House, target_in
from tests.support.holding import ListedEntries
from tests.support.registers import migrated, new_register_url

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
KEY = "a" * 64
RELEASED = Release("wang", is_person=True)


def nothing_gone(_calls: Collection[TenantCall]) -> frozenset[TenantCall]:
    return frozenset()


def tell(register: Register, case_id: str, command: HoldCommand) -> None:
    entry = AuditEntry(AT, "wang", "inspector", "hold_opened", "acme", "done", "cli")
    RegisterCases(register, SystemClock(), ListedEntries(), nothing_gone).tell("acme", case_id, command, entry)


def opened(*calls: str, customers: tuple[CustomerScope, ...] = ()) -> Open:
    return Open(HoldScope(frozenset(calls), customers), "lawsuit", "wang", AT)


def held(register: Register) -> dict[str, tuple[str, ...]]:
    """Call → cases, of the calls that open cases name."""
    cases = RegisterCaseList(register)
    calls = {call for row in cases.list("acme") for call in cases.calls("acme", row.case_id, 99)}
    return {call: tuple(RegisterHolds(register, SystemClock()).cases("acme", call)) for call in sorted(calls)}


def known_at(register: Register, *changes: tuple[str, HoldCommand]) -> KnownHolds:
    for case_id, command in changes:
        tell(register, case_id, command)
    return holds_of_register(register)


def test_what_any_two_know_of_a_case_is_true_in_whatever_order_it_comes(
    register: Register, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stages = [
        known_at(register, ("k-1", opened("c1")), ("k-2", opened("c1", "c2"))),
        known_at(register, ("k-1", Extend(HoldScope(frozenset({"c3"}))))),
        known_at(register, ("k-2", RELEASED), ("k-3", opened(customers=(CustomerScope(frozenset({KEY})),)))),
    ]
    whole = file_rows(holds_of_register(register))
    for number, order in enumerate(permutations(stages)):
        folder = tmp_path / str(number)
        with migrated(new_register_url("sqlite", request, folder)) as other:
            for each in order:
                put_holds(other, each)
            assert file_rows(holds_of_register(other)) == whole
            assert put_holds(other, stages[-1]) == 0
            assert [row.case_id for row in RegisterCaseList(other).list("acme")] == ["k-1", "k-3"]


def test_the_register_is_told_of_cases_that_differ_and_of_no_others(register: Register) -> None:
    before = known_at(register, ("k-1", opened("c1")), ("k-2", opened("c2")))
    assert put_holds(register, before) == 0
    after = known_at(register, ("k-2", RELEASED))
    assert put_holds(register, before) == 0, "what was known before opens nothing again"
    assert held(register) == {"c1": ("k-1",)}
    assert put_holds(register, after) == 0


def test_a_target_and_a_file_tell_what_the_register_told(register: Register, tmp_path: Path) -> None:
    target = target_in(tmp_path / "backups")
    target.apply()
    assert len(holds_of_target(target)) == 0
    scope = CustomerScope(frozenset({KEY}), since=AT)
    whole = known_at(register, ("k-1", opened("c1", customers=(scope,))), ("k-2", opened("c2")), ("k-2", RELEASED))

    apply_erasures(target, register, (), AT)

    assert file_rows(holds_of_target(target)) == file_rows(whole)
    assert len(holds_of_target(target)) == 2
    file = target.signed(ErasedFile(written_at=AT, calls=(), holds=file_rows(whole)))
    opened_file = target.opened(file, ErasedFile, "the file")
    assert file_rows(holds_of_file(opened_file.holds)) == file_rows(whole)


def test_what_stands_in_the_target_stays_where_the_register_has_forgotten_it(
    register: Register, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    target = target_in(tmp_path / "backups")
    target.apply()
    tell(register, "k-1", opened("c1"))
    remember_holds(target, register, AT)
    with migrated(new_register_url("sqlite", request, tmp_path / "restored")) as older:
        tell(older, "k-2", opened("c2"))
        remember_holds(target, older, AT)
    assert len(holds_of_target(target)) == 2
    kept = target.holds()
    assert kept is not None
    target.chunks.remove_all_but(chunks_in_use(target))
    assert len(holds_of_target(target)) == 2, "its chunks are in use"


def test_a_file_of_a_newer_release_is_refused() -> None:
    with pytest.raises(BackupError, match="knows no holds"):
        holds_of_file({"holds": FileRows(columns=("tenant_id", "colour"), lines=('["acme","red"]',))})


@pytest.mark.embedded
@pytest.mark.loopback
class TestRestore:
    def test_an_older_backup_gives_back_the_holds_of_now(
        self, house: House, new_house: House, target: BackupTarget
    ) -> None:
        register = house.systems.register
        tell(register, "k-then", opened("call-1"))
        tell(register, "k-grows", opened("call-2"))
        old = create_backup(house.systems, SOURCES, target).manifest
        tell(register, "k-then", RELEASED)
        tell(register, "k-grows", Extend(HoldScope(frozenset({"call-3"}))))
        tell(register, "k-now", opened("call-4"))
        apply_erasures(target, register, (), AT)
        assert not verify_backup(target, target.manifest(old.backup_id), full=True).problems

        back = restore_backup(
            target, target.manifest(old.backup_id), new_house.systems, new_house.clickhouse(), new_house.keys
        )

        assert (back.problems, back.cases) == ([], 3)
        assert held(new_house.systems.register) == {
            "call-2": ("k-grows",),
            "call-3": ("k-grows",),
            "call-4": ("k-now",),
        }

    def test_what_the_living_register_or_a_file_knows_counts_beside_the_target(
        self, house: House, new_house: House, target: BackupTarget
    ) -> None:
        old = create_backup(house.systems, SOURCES, target).manifest
        tell(house.systems.register, "k-now", opened("call-4"))

        back = restore_backup(
            target, old, new_house.systems, new_house.clickhouse(), new_house.keys,
            more_holds=holds_of_register(house.systems.register),
        )  # fmt: skip

        assert back.cases == 1
        assert held(new_house.systems.register) == {"call-4": ("k-now",)}

    def test_one_who_changes_them_in_the_target_is_found(self, house: House, target: BackupTarget) -> None:
        tell(house.systems.register, "k-1", opened("call-1"))
        manifest = create_backup(house.systems, SOURCES, target).manifest
        kept = target.holds()
        assert kept is not None
        lost = kept.tables["holds"].partitions[""].chunks[0].sha256
        target.chunks.remove_all_but(chunks_in_use(target) - {lost})
        problems = verify_backup(target, manifest).problems
        assert any(one.startswith("holds since, table holds") for one in problems)
