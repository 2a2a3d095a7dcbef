"""A backup of an installation is given back with every row and every sound, and nothing that was erased since."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.custody.backups import BackupError, Keeping, KeptRows
from processors.custody.ports import KeyGoneError
from streams.adapters.backup.clickhouse_rows import lines_of_partition, read_tables
from streams.adapters.backup.register_rows import rows_of
from streams.adapters.backup.target import BackupTarget
from streams.adapters.clickhouse.connection import connect
from streams.adapters.register.errors import AlreadyRunsError
from streams.adapters.register.register import Register
from streams.adapters.register.tables import metadata
from streams.backup.creating import create_backup
from streams.backup.erasing import apply_erasures
from streams.backup.pruning import prune_backups
from streams.backup.restoring import NotEmptyError, restore_backup
from streams.backup.systems import ALONE
from streams.backup.verifying import verify_backup
from streams.ports import SystemClock
from tests.support.backed_up import SAID, SOURCES, House, Killed, target_in
from tests.support.registers import BOTH
from tests.support.stored_calls import Call

pytestmark = [pytest.mark.embedded, pytest.mark.loopback]


def rows_of_register(register: Register) -> dict[str, list[bytes]]:
    with register.snapshot() as tx:
        return {table.name: sorted(rows_of(tx, table)) for table in metadata.sorted_tables}


def rows_of_clickhouse(url: str) -> dict[str, list[bytes]]:
    client = connect(url)
    try:
        return {
            table.name: sorted(
                line for partition in table.fingerprints for line in lines_of_partition(client, table, partition)
            )
            for table in read_tables(client)
        }
    finally:
        client.close()


def objects_of(house: House) -> dict[str, bytes]:
    store = house.systems.store
    return {entry.key: store.read(entry.key) for entry in store.entries()}


def restored(target: BackupTarget, into: House, **options: Any) -> Any:
    manifest = target.backup_or_newest(options.pop("backup", None))
    return restore_backup(target, manifest, into.systems, into.clickhouse(), into.keys, **options)


@pytest.mark.parametrize("register_url", BOTH, indirect=True)
def test_a_restore_into_empty_systems_gives_every_row_and_plays_a_call_of_each_tenant(
    house: House, new_house: House, target: BackupTarget
) -> None:
    created = create_backup(house.systems, SOURCES, target)
    found = restored(target, new_house)
    assert rows_of_register(new_house.systems.register) == rows_of_register(house.systems.register)
    assert rows_of_clickhouse(new_house.url) == rows_of_clickhouse(house.url)
    assert objects_of(new_house) == objects_of(house)
    assert found.problems == []
    assert found.played == {"acme": 2, "beta": 2}
    assert created.manifest.objects.rows == found.objects == 21
    assert not any(
        table.rows == 0 for name, table in created.manifest.clickhouse_tables.items() if name == "call_versions"
    )


def test_what_is_taken_in_after_a_restore_goes_on_where_the_old_register_was(
    house: House, new_house: House, target: BackupTarget
) -> None:
    create_backup(house.systems, SOURCES, target)
    restored(target, new_house)
    new_house.client = connect(new_house.url)
    call = new_house.take_in("after")
    assert new_house.play(call).startswith(b"RIFF")
    new_house.client.close()


def test_a_restore_refuses_systems_that_are_not_empty(house: House, target: BackupTarget) -> None:
    create_backup(house.systems, SOURCES, target)
    with pytest.raises(NotEmptyError, match="the register, the object store"):
        restored(target, house)


def test_the_next_backup_copies_what_is_new_alone(house: House, target: BackupTarget, tmp_path: Path) -> None:
    first = create_backup(house.systems, SOURCES, target).copied
    assert first.objects == 21
    again = create_backup(house.systems, SOURCES, target).copied
    assert (again.objects, again.object_bytes, again.chunks) == (0, 0, 0)
    before = sum(path.stat().st_size for path in (tmp_path / "backups").rglob("*") if path.is_file())
    call = house.take_in("new-one", sound=b"x" * 300_000)
    third = create_backup(house.systems, SOURCES, target)
    grown = sum(path.stat().st_size for path in (tmp_path / "backups").rglob("*") if path.is_file()) - before
    assert third.copied.objects == 3
    assert third.copied.object_bytes == sum(
        entry.bytes for entry in house.systems.store.entries() if call.call_id in entry.key
    )
    assert grown < third.copied.object_bytes + third.copied.chunk_bytes + 60_000
    assert third.manifest.previous is not None
    assert not verify_backup(target, third.manifest, full=True).problems


def test_what_was_broken_off_is_no_backup_and_is_not_copied_again(house: House, tmp_path: Path) -> None:
    writes = 1
    while True:
        try:
            create_backup(house.systems, SOURCES, target_in(tmp_path / "backups", writes=writes))
        except Killed:
            assert target_in(tmp_path / "backups").backup_ids() == []
            writes *= 2
        else:
            break
    assert writes >= 4
    target = target_in(tmp_path / "backups")
    assert len(target.backup_ids()) == 1
    assert not verify_backup(target, target.backup_or_newest(None), full=True).problems
    assert len(list(target.copies())) == 21


def test_two_at_once_are_refused(house: House, target: BackupTarget) -> None:
    with (
        house.systems.register.alone(ALONE),
        pytest.raises(AlreadyRunsError, match="another backup runs"),
    ):
        create_backup(house.systems, SOURCES, target)
    create_backup(house.systems, SOURCES, target)


def bury(house: House, call: Call) -> None:
    """What a purge does in the systems, but for rows: those of other parts test it."""
    house.keys.destroy(call.tenant, call.call_id, call.ended_at.date())
    for entry in list(house.systems.store.entries()):
        if f"/{call.call_id}." in entry.key:
            house.systems.store.delete(entry.key)


def every_chunk(target: BackupTarget) -> Iterator[tuple[str, bytes]]:
    for manifest in target.manifests():
        tables = {**manifest.clickhouse_tables, **manifest.register_tables}
        for name, table in tables.items():
            for rows in table.partitions.values():
                for chunk in rows.chunks:
                    yield name, target.chunks.read(chunk)


def test_no_backup_opens_a_call_that_was_erased_since(
    house: House, new_house: House, target: BackupTarget, tmp_path: Path
) -> None:
    going = house.take_in("going-1", said="这句话是秘密的")
    old = create_backup(house.systems, SOURCES, target).manifest
    before = target.keys_part()
    assert before is not None
    wrapped = before.tables["call_keys"].partitions["2026-03-31"].chunks
    assert any(b"going-1" in target.key_chunks.read(chunk) for chunk in wrapped)
    assert any("这句话是秘密的".encode() in lines for _, lines in every_chunk(target))
    bury(house, going)

    reached = apply_erasures(target, house.systems.register, [("acme", "going-1")], SystemClock().now())

    assert (reached.calls, reached.keys, reached.copies) == (1, 2, 2)
    assert reached.rows >= 3
    assert not any("这句话是秘密的".encode() in lines for _, lines in every_chunk(target))
    assert not any(
        b"going-1" in lines for name, lines in every_chunk(target) if name in ("intakes", "transcript_versions")
    )
    names = {path.name for path in (tmp_path / "backups" / "backup" / "keys").rglob("*")}
    assert not {chunk.sha256 for chunk in wrapped} & names, "the chunk with its wrapped keys is gone"
    found = verify_backup(target, target.manifest(old.backup_id), full=True, open_calls=100, wrapper=house.wrapper)
    assert found.problems == []
    assert found.opened == 7

    back = restored(target, new_house, backup=old.backup_id)
    assert back.problems == []
    assert not any("/going-1." in key for key in objects_of(new_house))
    with pytest.raises(KeyGoneError):
        new_house.keys.get("acme", "going-1", going.ended_at.date(), "audio")
    assert not any(
        "这句话是秘密的".encode() in line for lines in rows_of_clickhouse(new_house.url).values() for line in lines
    )
    calls = [line for line in rows_of_clickhouse(new_house.url)["call_versions"] if b"going-1" in line]
    assert len(calls) == 1, "its measures stay: KPIs of the day do not change"


def test_a_restore_leaves_out_what_others_know_to_be_erased(
    house: House, new_house: House, target: BackupTarget
) -> None:
    going = house.take_in("going-1", said="这句话是秘密的")
    create_backup(house.systems, SOURCES, target)
    back = restored(target, new_house, more_erased=[("acme", "going-1")])
    assert back.left_out_objects == 2
    assert not any("/going-1." in key for key in objects_of(new_house))
    assert (going.tenant, going.call_id) == ("acme", "going-1")
    assert not any(
        "这句话是秘密的".encode() in line for lines in rows_of_clickhouse(new_house.url).values() for line in lines
    )
    assert not any(b"going-1" in line for line in rows_of_register(new_house.systems.register)["call_keys"])
    assert not any(b"going-1" in line for line in rows_of_register(new_house.systems.register)["intakes"])


def test_an_erasure_that_was_broken_off_is_finished_by_the_next_backup(
    house: House, target: BackupTarget, tmp_path: Path
) -> None:
    going = house.take_in("going-1", said="这句话是秘密的")
    create_backup(house.systems, SOURCES, target)
    bury(house, going)
    for writes in (0, 2, 3, 5):
        dying = target_in(tmp_path / "backups", writes=writes)
        with pytest.raises(Killed):
            apply_erasures(dying, house.systems.register, [("acme", "going-1")], SystemClock().now())
    # Once the call is written down, nobody needs to name it again.
    create_backup(house.systems, SOURCES, target_in(tmp_path / "backups"))
    target = target_in(tmp_path / "backups")
    assert not any("这句话是秘密的".encode() in lines for _, lines in every_chunk(target))
    for manifest in target.manifests():
        assert not verify_backup(target, manifest, full=True).problems


def test_keys_that_went_without_a_tombstone_stay_in_the_backup_and_are_told(
    house: House, new_house: House, target: BackupTarget
) -> None:
    create_backup(house.systems, SOURCES, target)
    with house.systems.register.transaction() as tx:
        tx.execute(metadata.tables["call_keys"].delete())
    created = create_backup(house.systems, SOURCES, target)
    assert created.reached.keys_without_row == 14
    assert restored(target, new_house).played == {"acme": 2, "beta": 2}


def parts_to_corrupt(target: BackupTarget, folder: Path) -> dict[str, Path]:
    manifest = target.backup_or_newest(None)
    place = folder / "backup"

    def chunk(rows: KeptRows) -> Path:
        name = rows.chunks[0].sha256
        return place / "chunks" / name[:2] / name

    part = target.keys_part()
    assert part is not None
    keys = next(iter(part.tables["call_keys"].partitions.values())).chunks[0].sha256
    outcomes = next(iter(manifest.clickhouse_tables["outcome_versions"].partitions.values()))
    recording = max((path for path in (place / "objects").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    return {
        "ClickHouse table outcome_versions": chunk(outcomes),
        "register table intakes": chunk(manifest.register_tables["intakes"].partitions[""]),
        "list of objects": chunk(manifest.objects),
        "published rules": chunk(manifest.rules),
        "configuration": chunk(manifest.configuration),
        "object recordings/": recording,
        "keys call_keys": place / "keys" / "chunks" / keys[:2] / keys,
        "the keys part": place / "keys" / "keys.json",
        f"backup {manifest.backup_id}": place / "backups" / f"{manifest.backup_id}.json",
    }


def test_verify_names_each_part_that_was_changed_or_is_gone(house: House, target: BackupTarget, tmp_path: Path) -> None:
    create_backup(house.systems, SOURCES, target)
    for what, path in parts_to_corrupt(target, tmp_path / "backups").items():
        whole = path.read_bytes()
        middle = len(whole) // 2
        changes = {"changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "cut": whole[:-9]}
        for how, data in changes.items():
            path.write_bytes(data)
            assert named(tmp_path, what), f"{what}, {how}"
        if not what.startswith("backup "):
            path.unlink()
            assert named(tmp_path, what), f"{what}, absent"
        path.write_bytes(whole)
        assert not verify_backup(target, target.backup_or_newest(None), full=True).problems


def named(tmp_path: Path, what: str) -> bool:
    """Whether a verification says that this is wrong."""
    fresh = target_in(tmp_path / "backups")
    try:
        problems = verify_backup(fresh, fresh.backup_or_newest(None), full=True).problems
    except BackupError as error:
        problems = [str(error)]
    return bool(problems) and any(what in problem for problem in problems)


def test_what_a_roll_up_has_under_way_is_no_part_of_a_backup(
    house: House, new_house: House, target: BackupTarget
) -> None:
    house.client.command("CREATE TABLE kpi_rollup_staging_1 ENGINE = MergeTree ORDER BY tuple() AS SELECT 1 AS one")
    manifest = create_backup(house.systems, SOURCES, target).manifest
    assert "kpi_rollup_staging_1" not in manifest.clickhouse_tables
    assert restored(target, new_house).problems == []


def test_what_is_sealed_tells_nothing_without_its_key(house: House, new_house: House, tmp_path: Path) -> None:
    target = target_in(tmp_path / "sealed", sealing_key=b"1" * 32, keys_sealing_key=b"2" * 32)
    create_backup(house.systems, SOURCES, target)
    without = target_in(tmp_path / "sealed")
    problems = verify_backup(without, without.backup_or_newest(None)).problems
    assert any("is sealed, and no sealing key is named" in problem for problem in problems)
    files = [path.read_bytes() for path in (tmp_path / "sealed").rglob("*") if path.is_file()]
    assert not any(SAID.encode() in data for data in files)
    assert restored(target, new_house).problems == []


def test_pruning_leaves_the_backups_that_stay_whole(house: House, target: BackupTarget) -> None:
    house.take_in("short-lived", sound=b"y" * 100_000)
    first = create_backup(house.systems, SOURCES, target).manifest
    for entry in list(house.systems.store.entries()):
        if "short-lived" in entry.key:
            house.systems.store.delete(entry.key)
    last = create_backup(house.systems, SOURCES, target).manifest
    pruned = prune_backups(target, Keeping(daily=1, weekly=0, monthly=0), SystemClock().now(), dry_run=True)
    assert pruned.removed == (first.backup_id,)
    assert len(target.backup_ids()) == 2
    pruned = prune_backups(target, Keeping(daily=1, weekly=0, monthly=0), SystemClock().now())
    assert target.backup_ids() == [last.backup_id]
    assert pruned.copies == 3
    assert not verify_backup(target, last, full=True, open_calls=3, wrapper=house.wrapper).problems
    assert list(target.copies())
