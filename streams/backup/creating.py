"""A backup is made: what is new is copied, and a manifest says what it is all of.

The order makes a set whole (docs/adr/0062-backups.md): first the rows that name things, ClickHouse, then the register;
then the objects, which are durable before any row names them; then the keys, which are older than their objects. The
manifest comes last, and only with it there is a backup.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from secrets import token_hex

from processors.custody.audit_entry import AuditLog
from processors.custody.backups import (
    Call,
    KeptRows,
    Manifest,
    ObjectLine,
    TablePart,
    backup_id_of,
    copy_id_of,
    object_of,
    without_erased,
)
from streams.adapters.backup.clickhouse_rows import ReadTable, last_migration, lines_of_partition, read_tables
from streams.adapters.backup.register_rows import empty_table, other_tables, rows_of
from streams.adapters.backup.target import BackupTarget, Copied
from streams.adapters.register.errors import RegisterSchemaError
from streams.backup.erasing import ErasureReach, apply_erasures, erased_calls, renew_keys
from streams.backup.systems import ALONE, ByWhom, Sources, Systems
from streams.ports import ObjectEntry, ObjectMissingError

_COPIES_AT_ONCE = 8
_OBJECTS_AT_ONCE = 64

CREATED = "backup_created"
_BY_ITSELF = ByWhom()


@dataclass
class Created:
    """A backup that was made, and what was written for it."""

    manifest: Manifest
    copied: Copied
    reached: ErasureReach = field(default_factory=ErasureReach)


def create_backup(
    systems: Systems,
    sources: Sources,
    target: BackupTarget,
    *,
    audit: AuditLog | None = None,
    by: ByWhom = _BY_ITSELF,
    tell: Callable[[str], None] = lambda _sentence: None,
) -> Created:
    """Make a backup. What a former attempt has copied is not copied again. That it is made stands in `audit` before
    anything is copied, and in the backup itself.

    Raises `AlreadyRunsError`, `BackupError`, and what the systems and the target raise.
    """
    with systems.register.alone(ALONE):
        systems.register.check()
        began_at = systems.clock.now()
        backup_id = backup_id_of(began_at.astimezone(UTC), token_hex(4))
        if audit is not None:
            audit.append(by.entry(CREATED, backup_id, systems))
        target.apply()
        created = _Creation(systems, sources, target, tell).run(backup_id, began_at)
        if audit is not None:
            details = {"objects": created.copied.objects, "bytes": created.copied.object_bytes}
            audit.append(by.entry(CREATED, backup_id, systems, result="done", details=details))
        return created


class _Creation:
    def __init__(self, systems: Systems, sources: Sources, target: BackupTarget, tell: Callable[[str], None]) -> None:
        self._systems = systems
        self._sources = sources
        self._target = target
        self._tell = tell
        self._copied = Copied()
        self._previous: Manifest | None = None
        self._erased: frozenset[Call] = frozenset()

    def run(self, backup_id: str, began_at: datetime) -> Created:
        """Raises as `create_backup`."""
        # First those that are erased already: what is unchanged since the backup before is taken from it as it is.
        apply_erasures(self._target, self._systems.register, (), began_at, renew=False)
        self._reread()
        rules = self._target.keep(self._rules(), self._copied)
        configuration = self._target.keep(self._configuration(), self._copied)
        with closing(self._systems.clickhouse()) as client:
            migration = last_migration(client)
            self._tell("rows of ClickHouse …")
            clickhouse = {}
            for table in read_tables(client):
                partitions = {
                    partition: self._partition(table.name, table.rows, partition, fingerprint)
                    or self._keep(table, lines_of_partition(client, table, partition), fingerprint)
                    for partition, fingerprint in table.fingerprints.items()
                }
                clickhouse[table.name] = table.rows.model_copy(update={"partitions": partitions})
        self._tell("rows of the register …")
        revision = self._systems.register.revision()
        if revision is None:
            raise RegisterSchemaError("the register has no tables: run `callstream migrate`")
        register = {}
        with self._systems.register.snapshot() as tx:
            for each in other_tables():
                head = empty_table(each)
                lines = without_erased(each.name, head, rows_of(tx, each), self._erased, of_clickhouse=False)
                rows = self._target.keep(lines, self._copied)
                register[each.name] = head.model_copy(update={"partitions": {"": rows}})
        self._tell("objects …")
        objects = _Objects(self._systems, self._target, self._previous, self._erased, self._copied, self._tell)
        objects_lines = self._target.keep(objects.lines(), self._copied)
        self._tell("keys …")
        renewed = renew_keys(self._target, self._systems.register, self._erased, self._systems.clock.now())
        manifest = Manifest(
            backup_id=backup_id,
            previous=self._previous.backup_id if self._previous else None,
            release=self._systems.release,
            began_at=began_at,
            ended_at=self._systems.clock.now(),
            register_revision=revision,
            register_tables=register,
            clickhouse_migration=migration,
            clickhouse_tables=clickhouse,
            objects=objects_lines,
            objects_bytes=objects.total_bytes,
            rules=rules,
            configuration=configuration,
        )
        self._target.write_manifest(manifest)
        # Then those that were erased while it was made.
        reached = apply_erasures(self._target, self._systems.register, (), self._systems.clock.now(), renew=False)
        reached.keys_without_row = renewed.keys_without_row
        return Created(self._target.manifest(manifest.backup_id), self._copied, reached)

    def _reread(self) -> None:
        ids = self._target.backup_ids()
        self._previous = self._target.manifest(ids[-1]) if ids else None
        self._erased = erased_calls(self._target)

    def _keep(self, table: ReadTable, lines: Iterable[bytes], fingerprint: str) -> KeptRows:
        left = without_erased(table.name, table.rows, lines, self._erased, of_clickhouse=True)
        return self._target.keep(left, self._copied, fingerprint)

    def _partition(self, name: str, table: TablePart, partition: str, fingerprint: str) -> KeptRows | None:
        """What the backup before has of a partition that is unchanged since then."""
        before = self._previous.clickhouse_tables.get(name) if self._previous else None
        rows = before.partitions.get(partition) if before else None
        if not fingerprint or rows is None or rows.fingerprint != fingerprint or before is None:
            return None
        same = (before.columns, before.types, before.sorted_by) == (table.columns, table.types, table.sorted_by)
        there = all(chunk.sha256 in self._target.chunks.known() for chunk in rows.chunks)
        return rows if same and there else None

    def _rules(self) -> Iterator[bytes]:
        for record in self._sources.rules():
            yield _json_line([_b64(record.key), _b64(record.value)])

    def _configuration(self) -> Iterator[bytes]:
        for file in self._sources.configuration:
            yield _json_line([file.setting, file.path, _b64(file.content)])


class _Objects:
    """The objects of the store, copied where the backup before has them not."""

    def __init__(
        self,
        systems: Systems,
        target: BackupTarget,
        previous: Manifest | None,
        erased: frozenset[Call],
        copied: Copied,
        tell: Callable[[str], None],
    ) -> None:
        self._store = systems.store
        self._target = target
        self._previous = previous
        self._erased = erased
        self._copied = copied
        self._tell = tell
        self.total_bytes = 0

    def lines(self) -> Iterator[bytes]:
        """A line for each, sorted by key."""
        before = map(ObjectLine.of, self._target.chunks.lines(self._previous.objects.chunks if self._previous else ()))
        last = next(before, None)
        entries = self._store.entries()
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            done = 0
            while some := list(islice(entries, _OBJECTS_AT_ONCE)):
                known: list[tuple[ObjectEntry, str]] = []
                for entry in some:
                    while last is not None and last.key.encode() < entry.key.encode():
                        last = next(before, None)
                    is_same = last is not None and (last.key, last.size_bytes, last.modified_at) == _facts(entry)
                    known.append((entry, last.sha256 if is_same and last is not None else ""))
                for found in pool.map(self._line, known):
                    if found is not None:
                        self.total_bytes += found.size_bytes
                        yield found.line()
                done += len(some)
                if done % (_OBJECTS_AT_ONCE * 200) == 0:
                    self._tell(f"{done} objects …")

    def _line(self, known: tuple[ObjectEntry, str]) -> ObjectLine | None:
        entry, digest = known
        of = object_of(entry.key)
        if of is not None and (of.tenant_id, of.call_id) in self._erased:
            return None
        key, size, modified_at = _facts(entry)
        if not digest:
            copy_id = copy_id_of(key, size, modified_at)
            try:
                digest, made = self._target.copy_in(
                    copy_id, size, lambda start, length: self._store.read(key, start=start, length=length)
                )
            except ObjectMissingError:  # deleted since it was listed: nobody may ask for it any more
                return None
            if made:
                self._copied.objects += 1
                self._copied.object_bytes += size
        return ObjectLine(key, size, modified_at, digest)


def _facts(entry: ObjectEntry) -> tuple[str, int, str]:
    return entry.key, entry.bytes, _moment(entry.modified_at)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _b64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _json_line(fields: list[str | None]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
