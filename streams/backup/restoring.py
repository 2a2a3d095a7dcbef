"""A backup is given back, into systems that hold nothing, and compared with what it was.

Erased calls are not given back: neither those that were erased before the backup, nor those that were erased since, as
far as anybody knows of them: the target, the register that is still alive, a file of tombstones. Holds that were opened
and released since stand as they do now, as far as any of these knows.
"""

import base64
import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from itertools import islice

from sqlalchemy import select

from processors.custody.audit_entry import AuditLog
from processors.custody.audit_log import RESTORED
from processors.custody.backups import (
    BackupError,
    Call,
    Manifest,
    ObjectLine,
    RowSum,
    TablePart,
    object_of,
    without_erased,
)
from processors.custody.ports import PURPOSE_OF, DataKeys, ObjectRole, SealBrokenError, SealedIdentity
from processors.custody.sealed import unseal
from schemas.clickhouse.migrations import load_migrations
from streams.adapters.backup import clickhouse_rows, register_rows
from streams.adapters.backup.target import BackupTarget
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.adapters.register.tables import REVISIONS, call_keys, metadata, tombstones
from streams.backup.erasing import erased_calls
from streams.backup.holding import KnownHolds, holds_of_target, put_holds
from streams.backup.systems import ByWhom, ConfigurationFile, PublishedRecord, Systems
from streams.ports import ObjectMissingError

_INSERT_BYTES = 16 * 1024 * 1024
_COPIES_AT_ONCE = 8
_OBJECTS_AT_ONCE = 64
_ERASED_AT_ONCE = 500
_BY_ITSELF = ByWhom()
_PLAYED: tuple[tuple[str, ObjectRole], ...] = (("recordings", "recording"), ("transcripts", "transcript"))


class NotEmptyError(BackupError):
    """A backup is given back into empty systems alone: what lies there would be mixed with it."""


class RestoreDiffersError(BackupError):
    """What was given back is not what the backup held."""


@dataclass
class Restored:
    """What was given back."""

    manifest: Manifest
    register_rows: int = 0
    clickhouse_rows: int = 0
    keys: int = 0
    objects: int = 0
    object_bytes: int = 0
    left_out_calls: int = 0
    """Erased calls of which the backup still held something, or could have."""
    left_out_objects: int = 0
    cases: int = 0
    """Of legal holds that were opened, extended or released since the backup."""
    played: dict[str, int] = field(default_factory=dict)
    """Tenant → objects of a call that were opened: its recording, its transcript."""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClickHouseTarget:
    """How the tables of ClickHouse are made: up to a migration, without views; then all of it."""

    migrate_until: Callable[[int], None]
    migrate: Callable[[], None]
    exists: Callable[[], bool]
    """Whether there are tables already."""


def restore_backup(
    target: BackupTarget,
    manifest: Manifest,
    systems: Systems,
    clickhouse: ClickHouseTarget,
    keys: DataKeys,
    *,
    more_erased: Collection[Call] = (),
    more_holds: KnownHolds | None = None,
    audit: AuditLog | None = None,
    audit_beside: AuditLog | None = None,
    by: ByWhom = _BY_ITSELF,
    tell: Callable[[str], None] = lambda _sentence: None,
) -> Restored:
    """Give a backup back. What was broken off is begun again, in empty systems.

    `audit` is the log of the register that is given back: once its rows are there and compared, and before anything
    else is, it says that a backup was given back. `audit_beside` is that of an installation that lives on: it says so
    before the first row.

    `more_erased` and `more_holds` are what others than the target know.

    Raises `NotEmptyError`, `RestoreDiffersError`, `BackupError` for a backup of a newer release, and what the systems
    and the target raise.
    """
    restored = Restored(manifest)
    _require_fit(manifest)
    _require_empty(systems, clickhouse)
    erased = erased_calls(target) | frozenset(more_erased)
    restored.left_out_calls = len(erased)
    if audit_beside is not None:
        audit_beside.append(by.entry(RESTORED, manifest.backup_id, systems))
    tell("register …")
    sums = _restore_register(target, manifest, systems.register, erased, restored)
    _compare_register(systems.register, manifest, sums)
    migrate_register(systems.register)
    if audit is not None:
        audit.append(by.entry(RESTORED, manifest.backup_id, systems))
    tell("ClickHouse …")
    clickhouse_sums = _restore_clickhouse(target, manifest, systems, clickhouse, erased, restored, tell)
    tell("objects …")
    _restore_objects(target, manifest, systems, erased, restored)
    tell("comparing …")
    _compare_clickhouse(systems, manifest, clickhouse_sums)
    _compare_objects(target, manifest, systems, erased)
    _put_tombstones(target, systems.register)
    cases = holds_of_target(target)
    if more_holds is not None:
        cases.add(more_holds)
    restored.cases = put_holds(systems.register, cases)
    _erase_personal(systems)
    register_rows.forget_what_was_under_way(systems.register)
    clickhouse.migrate()
    tell("opening a call of each tenant …")
    _play(target, manifest, systems, keys, erased, restored)
    details = {
        "rows": restored.clickhouse_rows + restored.register_rows,
        "objects": restored.objects,
        "left_out": restored.left_out_objects,
        "cases": restored.cases,
    }
    for log in (audit, audit_beside):
        if log is not None:
            log.append(by.entry(RESTORED, manifest.backup_id, systems, result="done", details=details))
    return restored


def rules_of(target: BackupTarget, manifest: Manifest) -> Iterator[PublishedRecord]:
    """The topic of published rules, as it stood."""
    for line in target.chunks.lines(manifest.rules.chunks):
        key, value = json.loads(line)
        yield PublishedRecord(_bytes(key), _bytes(value))


def configuration_of(target: BackupTarget, manifest: Manifest) -> Iterator[ConfigurationFile]:
    """The files that settings named."""
    for line in target.chunks.lines(manifest.configuration.chunks):
        setting, path, content = json.loads(line)
        yield ConfigurationFile(setting, path, _bytes(content) or b"")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _require_fit(manifest: Manifest) -> None:
    newest = max(migration.number for migration in load_migrations())
    if manifest.register_revision not in REVISIONS or manifest.clickhouse_migration > newest:
        raise BackupError(
            f"backup {manifest.backup_id} was made by callstream {manifest.release}, which is newer: restore it with "
            "that release"
        )


def _require_empty(systems: Systems, clickhouse: ClickHouseTarget) -> None:
    full = []
    if not register_rows.is_empty(systems.register):
        full.append("the register")
    if clickhouse.exists():
        with closing(systems.clickhouse()) as client:
            if clickhouse_rows.read_tables(client):
                full.append("ClickHouse")
    systems.store.apply()
    if next(iter(systems.store.entries()), None) is not None:
        full.append("the object store")
    if full:
        raise NotEmptyError(
            f"not empty: {', '.join(full)}. A backup is given back into an empty register, a database of ClickHouse "
            "without tables and an empty bucket: name others, or remove what a restore left that was broken off"
        )


def _restore_register(
    target: BackupTarget, manifest: Manifest, register: Register, erased: frozenset[Call], restored: Restored
) -> dict[str, RowSum]:
    part = target.keys_part()
    if part is None:
        raise BackupError("the keys part is absent: without it nothing opens; name its place with backup_keys_to")
    if part.register_revision not in REVISIONS:
        raise BackupError("the keys part was written by a newer callstream: restore with that release")
    migrate_register(register, until=manifest.register_revision)
    register_rows.forget_wrapping_keys(register)
    sums = {}
    for table in register_rows.KEY_TABLES:
        rows = part.tables[table.name]
        total = sums[table.name] = RowSum()
        for each in rows.partitions.values():
            lines = _counted(_without_keys(rows, table.name, target.key_chunks.lines(each.chunks), erased), total)
            restored.keys += register_rows.put_rows(register, table.name, rows, lines)
    for name in (each.name for each in metadata.sorted_tables if each.name in manifest.register_tables):
        rows = manifest.register_tables[name]
        total = sums[name] = RowSum()
        for each in rows.partitions.values():
            found = without_erased(name, rows, target.chunks.lines(each.chunks), erased, of_clickhouse=False)
            restored.register_rows += register_rows.put_rows(register, name, rows, _counted(found, total))
    unknown = manifest.register_tables.keys() - metadata.tables.keys()
    if any(manifest.register_tables[name].rows for name in unknown):
        raise BackupError(f"this release knows no {', '.join(sorted(unknown))}: restore with the release that made it")
    return sums


def _without_keys(rows: TablePart, name: str, lines: Iterable[bytes], erased: Collection[Call]) -> Iterator[bytes]:
    if name != call_keys.name or not erased:
        yield from lines
        return
    for line in lines:
        row = register_rows.of_line(call_keys, rows, line)
        if (row["tenant_id"], row["call_id"]) not in erased:
            yield line


def _restore_clickhouse(
    target: BackupTarget,
    manifest: Manifest,
    systems: Systems,
    clickhouse: ClickHouseTarget,
    erased: frozenset[Call],
    restored: Restored,
    tell: Callable[[str], None],
) -> dict[str, RowSum]:
    clickhouse.migrate_until(manifest.clickhouse_migration)
    sums = {}
    with closing(systems.clickhouse()) as client:
        order = [table.name for table in clickhouse_rows.read_tables(client)]
        missing = [name for name, table in manifest.clickhouse_tables.items() if name not in order and table.rows]
        if missing:
            raise BackupError(f"ClickHouse has no table {', '.join(missing)} after its migrations")
        for name in (each for each in order if each in manifest.clickhouse_tables):
            table = manifest.clickhouse_tables[name]
            for partition, rows in table.partitions.items():
                found = without_erased(name, table, target.chunks.lines(rows.chunks), erased, of_clickhouse=True)
                total = sums[_place(name, partition)] = RowSum()
                for block in _blocks(_counted(found, total)):
                    clickhouse_rows.insert_lines(client, name, table.columns, block)
                restored.clickhouse_rows += total.rows
            tell(f"ClickHouse: {name} …")
    return sums


def _place(name: str, partition: str) -> str:
    return f"{name} {partition}"


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _INSERT_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _counted(lines: Iterable[bytes], total: RowSum) -> Iterator[bytes]:
    for line in lines:
        total.add(line)
        yield line


def _restore_objects(
    target: BackupTarget, manifest: Manifest, systems: Systems, erased: frozenset[Call], restored: Restored
) -> None:
    def wanted() -> Iterator[ObjectLine]:
        for line in map(ObjectLine.of, target.chunks.lines(manifest.objects.chunks)):
            of = object_of(line.key)
            if of is not None and (of.tenant_id, of.call_id) in erased:
                restored.left_out_objects += 1
                continue
            restored.objects += 1
            restored.object_bytes += line.size_bytes
            yield line

    lines = wanted()
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        while some := list(islice(lines, _OBJECTS_AT_ONCE)):
            for _ in pool.map(lambda line: _restore_object(target, systems, line), some):
                pass


def _restore_object(target: BackupTarget, systems: Systems, line: ObjectLine) -> None:
    """Under its old name only once all of it was compared. Raises `BackupError`."""
    digest = sha256()
    try:
        with systems.store.writer(line.key) as writer:
            for piece in target.pieces_of_copy(line.copy_id, line.size_bytes):
                digest.update(piece)
                writer.write(piece)
            if digest.hexdigest() != line.sha256:
                raise BackupError(f"object {line.key}: its copy was changed; see `callstream backup verify`")
            writer.commit()
    except ObjectMissingError:
        raise BackupError(f"object {line.key}: its copy is absent; see `callstream backup verify`") from None


def _compare_register(register: Register, manifest: Manifest, sums: dict[str, RowSum]) -> None:
    """Before the migrations of a newer release change rows."""
    with register.snapshot() as tx:
        for name, expected in sums.items():
            table = metadata.tables[name]
            rows = manifest.register_tables.get(name) or register_rows.empty_table(table)
            total = RowSum()
            for line in register_rows.rows_of(tx, table, columns=rows.columns):
                total.add(line)
            _require_same(f"register table {name}", total, expected)


def _compare_clickhouse(systems: Systems, manifest: Manifest, sums: dict[str, RowSum]) -> None:
    with closing(systems.clickhouse()) as client:
        found: set[str] = set()
        for table in clickhouse_rows.read_tables(client):
            known = manifest.clickhouse_tables.get(table.name)
            if known is None:
                continue
            as_it_was = clickhouse_rows.with_columns(table, known)
            for partition in table.fingerprints:
                place = _place(table.name, partition)
                total = RowSum()
                for line in clickhouse_rows.lines_of_partition(client, as_it_was, partition):
                    total.add(line)
                _require_same(f"ClickHouse table {place}", total, sums.get(place, RowSum()))
                found.add(place)
        for place, expected in sums.items():
            if place not in found:
                _require_same(f"ClickHouse table {place}", RowSum(), expected)


def _require_same(what: str, found: RowSum, expected: RowSum) -> None:
    if (found.rows, found.checksum) != (expected.rows, expected.checksum):
        raise RestoreDiffersError(
            f"{what} has {found.rows} rows after the restore, and the backup {expected.rows}, or others: do not use it"
        )


def _compare_objects(target: BackupTarget, manifest: Manifest, systems: Systems, erased: frozenset[Call]) -> None:
    """Names and lengths; the bytes were compared as they were written."""
    there = iter(systems.store.entries())
    for line in map(ObjectLine.of, target.chunks.lines(manifest.objects.chunks)):
        of = object_of(line.key)
        if of is not None and (of.tenant_id, of.call_id) in erased:
            continue
        entry = next(there, None)
        if entry is None or (entry.key, entry.bytes) != (line.key, line.size_bytes):
            raise RestoreDiffersError(f"object {line.key} is not there after the restore: do not use it")
    if next(there, None) is not None:
        raise RestoreDiffersError("there are more objects after the restore than the backup has: do not use it")


def _put_tombstones(target: BackupTarget, register: Register) -> None:
    """Those that were written after the backup, too: whatever comes of their calls later is dropped."""
    erased = target.erased()
    if erased is None:
        return
    for name, rows in erased.tables.items():
        for each in rows.partitions.values():
            register_rows.put_rows(register, name, rows, target.chunks.lines(each.chunks), replace=True)


def _erase_personal(systems: Systems) -> None:
    """What the audit log of the backup still has of customers who were erased since, in entries about their calls."""
    t = tombstones.c
    with systems.register.reading("look for customers who were erased") as tx:
        found = tx.execute(select(t.tenant_id, t.call_id).where(t.erasure_id.is_not(None)))
        calls = iter([(row.tenant_id, row.call_id) for row in found])
    log = RegisterAuditLog(systems.register, systems.clock)
    while some := list(islice(calls, _ERASED_AT_ONCE)):
        log.erase_personal(calls=some)


def _play(
    target: BackupTarget,
    manifest: Manifest,
    systems: Systems,
    keys: DataKeys,
    erased: frozenset[Call],
    restored: Restored,
) -> None:
    """Open a recording and a transcript of each tenant, from what was given back and nothing else."""
    chosen: dict[tuple[str, str], tuple[ObjectLine, SealedIdentity, date]] = {}
    chance, seen = random.Random(), dict[tuple[str, str], int]()  # noqa: S311 - which one is no secret
    roles = dict(_PLAYED)
    for line in map(ObjectLine.of, target.chunks.lines(manifest.objects.chunks)):
        of = object_of(line.key)
        if of is None or not of.sealed or of.kind not in roles or (of.tenant_id, of.call_id) in erased:
            continue
        place = (of.tenant_id, of.kind)
        seen[place] = seen.get(place, 0) + 1
        if chance.randrange(seen[place]) == 0:
            identity = SealedIdentity(of.tenant_id, of.call_id, roles[of.kind], of.version)
            chosen[place] = (line, identity, date.fromisoformat(of.day))
    for (tenant_id, kind), (line, identity, day) in chosen.items():
        try:
            key = keys.get(identity.tenant_id, identity.call_id, day, PURPOSE_OF[roles[kind]])
            unseal(key, identity, systems.store.read(line.key))
        except Exception as error:
            what = "its seal is broken" if isinstance(error, SealBrokenError) else type(error).__name__
            restored.problems.append(f"object {line.key} does not open ({what})")
        else:
            restored.played[tenant_id] = restored.played.get(tenant_id, 0) + 1
