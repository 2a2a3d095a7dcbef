"""Erasures reach the backups: no backup of a target can open, or give back, a call that was erased.

Of an erased call go the wrapped keys (which makes noise of every copy), the copies of its objects, its words in rows of
ClickHouse, and its intake, in every backup that there is. What is left is what the purge leaves in ClickHouse, too.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from processors.custody.backups import (
    Call,
    Chunk,
    CutChunk,
    Erased,
    KeptRows,
    KeysPart,
    ObjectLine,
    RowSum,
    TablePart,
    cut,
    merged_keys,
    object_of,
    reader_of_erased,
    without_erased,
)
from streams.adapters.backup.register_rows import KEY_TABLES, days_of_keys, empty_table, rows_of
from streams.adapters.backup.target import BackupTarget, Copied
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import call_keys, metadata
from streams.backup.holding import remember_holds

TOMBSTONES = "tombstones"
_TABLES_OF_PURGES = ("purges", TOMBSTONES)
_BLOCKED = "blocked"
"""State of a call that is erased for every use and still kept: backups keep it, too, with its tombstone."""


@dataclass
class ErasureReach:
    """What an erasure took out of backups."""

    calls: int = 0
    keys: int = 0
    copies: int = 0
    rows: int = 0
    keys_without_row: int = 0
    """Keys in the backup that the register has no more, with no tombstone that says why. They stay."""


def call_line(call: Call) -> bytes:
    """As it stands among those that were erased."""
    return json.dumps(call, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def calls_of(lines: Iterable[bytes]) -> Iterator[Call]:
    """The reverse."""
    for line in lines:
        tenant_id, call_id = json.loads(line)
        yield tenant_id, call_id


def erased_calls(target: BackupTarget) -> frozenset[Call]:
    """Those that the target knows of."""
    erased = target.erased()
    return frozenset() if erased is None else frozenset(calls_of(target.chunks.lines(erased.calls.chunks)))


def destroyed_calls(register: Register) -> frozenset[Call]:
    """Those whose tombstone stands in the register, but for blocked ones, which are kept until their floor ends.

    Raises as `Register.transaction`.
    """
    table = metadata.tables.get(TOMBSTONES)
    if table is None:
        return frozenset()
    with register.snapshot("list its tombstones") as tx:
        found = tx.execute(select(table.c.tenant_id, table.c.call_id).where(table.c.state != _BLOCKED))
        return frozenset((row.tenant_id, row.call_id) for row in found)


def remember_erased(
    target: BackupTarget, register: Register | None, calls: Collection[Call], at: datetime, *, reached: bool
) -> Erased:
    """Write down in the target which calls are erased: these, and those that stand there."""
    former = target.erased()
    every = erased_calls(target) | frozenset(calls)
    copied = Copied()
    rows = target.keep(map(call_line, sorted(every)), copied)
    tables = dict(former.tables) if former else {}
    for name in _TABLES_OF_PURGES:
        table = metadata.tables.get(name)
        if register is not None and table is not None:
            with register.snapshot() as tx:
                partition = target.keep(rows_of(tx, table), copied)
            tables[name] = empty_table(table).model_copy(update={"partitions": {"": partition}})
    erased = Erased(written_at=at, calls=rows, tables=tables, reached=reached)
    if former is None or erased.model_copy(update={"written_at": former.written_at}) != former:
        target.write_erased(erased)
    return erased


def renew_keys(target: BackupTarget, register: Register | None, erased: Collection[Call], at: datetime) -> ErasureReach:
    """Write the keys part anew: what the register has and what the part had, without erased calls.

    Without a register it is what the part had. The chunks of before are gone when this returns.
    """
    reached, copied = ErasureReach(), Copied()
    before = target.keys_part()
    if register is None:
        if before is not None:
            tables = _keys_of_calls(target, None, before, erased, copied, reached, dict(before.tables))
            target.write_keys_part(before.model_copy(update={"tables": tables, "written_at": at}))
        return reached
    with register.snapshot() as tx:
        tables = {}
        for table in KEY_TABLES[:-1]:
            rows = target.keep_keys(rows_of(tx, table), copied)
            tables[table.name] = empty_table(table).model_copy(update={"partitions": {"": rows}})
        tables = _keys_of_calls(target, tx, before, erased, copied, reached, tables)
    revision = register.revision() or ""
    target.write_keys_part(KeysPart(written_at=at, register_revision=revision, tables=tables))
    return reached


def _keys_of_calls(
    target: BackupTarget,
    tx: Transaction | None,
    before: KeysPart | None,
    erased: Collection[Call],
    copied: Copied,
    reached: ErasureReach,
    tables: dict[str, TablePart],
) -> dict[str, TablePart]:
    head = empty_table(call_keys)
    former = {} if before is None else before.tables[call_keys.name].partitions
    days = set(former) | ({day.isoformat() for day in days_of_keys(tx)} if tx else set())
    partitions = {}
    for day in sorted(days):
        kept = _by_key(head, target.key_chunks.lines(former[day].chunks)) if day in former else {}
        live = kept
        if tx is not None:
            live = _by_key(head, rows_of(tx, call_keys, call_keys.c.day == date.fromisoformat(day)))
        merged, unexplained = merged_keys(live, kept, erased)
        reached.keys += len(kept) - sum(1 for each in kept if each in merged)
        reached.keys_without_row += unexplained
        if merged:
            partitions[day] = target.keep_keys((merged[each] for each in sorted(merged)), copied)
    return {**tables, call_keys.name: head.model_copy(update={"partitions": partitions})}


def _by_key(head: TablePart, lines: Iterable[bytes]) -> dict[tuple[str, str, str], bytes]:
    at = [head.columns.index(name) for name in ("tenant_id", "call_id", "purpose")]
    found: dict[tuple[str, str, str], bytes] = {}
    for line in lines:
        fields: list[Any] = json.loads(line)
        found[fields[at[0]], fields[at[1]], fields[at[2]]] = line
    return found


def take_out(target: BackupTarget, calls: Collection[Call], at: datetime, reached: ErasureReach) -> None:
    """Take the rows and the copies of these calls out of every backup of the target. What was broken off is taken up
    by the next. Raises `BackupError`."""
    reached.calls = len(calls)
    done: dict[tuple[str, str], tuple[CutChunk, ...]] = {}
    for manifest in target.manifests():
        tables = {
            "clickhouse_tables": _without(target, manifest.clickhouse_tables, calls, done, reached, of_clickhouse=True),
            "register_tables": _without(target, manifest.register_tables, calls, done, reached, of_clickhouse=False),
        }
        changed = manifest.model_copy(update=tables)
        if changed != manifest:
            target.write_manifest(changed.model_copy(update={"erased_at": at}))
        for line in target.chunks.lines(manifest.objects.chunks):
            found = ObjectLine.of(line)
            of = object_of(found.key)
            if of is not None and (of.tenant_id, of.call_id) in calls:
                target.remove_copy(found.copy_id)
                reached.copies += 1
    target.chunks.remove_all_but(chunks_in_use(target))


def chunks_in_use(target: BackupTarget) -> set[str]:
    """Of every backup of the target, and of what it knows of erased calls and of holds."""
    wanted: set[str] = set()

    def want(rows: Iterable[KeptRows]) -> None:
        wanted.update(chunk.sha256 for each in rows for chunk in each.chunks)

    for manifest in target.manifests():
        for tables in (manifest.register_tables, manifest.clickhouse_tables):
            for table in tables.values():
                want(table.partitions.values())
        want((manifest.objects, manifest.rules, manifest.configuration))
    if (erased := target.erased()) is not None:
        want((erased.calls,))
        for table in erased.tables.values():
            want(table.partitions.values())
    if (holds := target.holds()) is not None:
        for table in holds.tables.values():
            want(table.partitions.values())
    return wanted


def _without(
    target: BackupTarget,
    tables: Mapping[str, TablePart],
    calls: Collection[Call],
    done: dict[tuple[str, str], tuple[CutChunk, ...]],
    reached: ErasureReach,
    *,
    of_clickhouse: bool,
) -> dict[str, TablePart]:
    result = {}
    for name, table in tables.items():
        partitions = dict(table.partitions)
        if reader_of_erased(name, table, of_clickhouse=of_clickhouse) is not None:
            for partition, rows in table.partitions.items():
                partitions[partition] = _rows_without(
                    target, name, table, rows, calls, done, reached, of_clickhouse=of_clickhouse
                )
        result[name] = table.model_copy(update={"partitions": partitions})
    return result


def _rows_without(
    target: BackupTarget,
    name: str,
    table: TablePart,
    rows: KeptRows,
    calls: Collection[Call],
    done: dict[tuple[str, str], tuple[CutChunk, ...]],
    reached: ErasureReach,
    *,
    of_clickhouse: bool,
) -> KeptRows:
    """The rows without what is erased. Chunks that hold nothing of it stay as they are."""
    total, chunks = RowSum(rows.rows, rows.checksum), list[Chunk]()
    for chunk in rows.chunks:
        lines = list(target.chunks.lines((chunk,)))
        left = list(without_erased(name, table, lines, calls, of_clickhouse=of_clickhouse))
        if left == lines:
            chunks.append(chunk)
            continue
        if (name, chunk.sha256) not in done:
            done[name, chunk.sha256] = pieces = tuple(cut(left, RowSum()))
            reached.rows += len(set(lines) - set(left))
            for piece in pieces:
                target.chunks.keep(piece, Copied())
        for line in lines:
            total.take_away(line)
        for line in left:
            total.add(line)
        chunks += [piece.chunk for piece in done[name, chunk.sha256]]
    if tuple(chunks) == rows.chunks:
        return rows
    # Where the live table has not changed either, it must be read anew and not be taken from here.
    return KeptRows(rows=total.rows, checksum=total.checksum, chunks=tuple(chunks))


def apply_erasures(
    target: BackupTarget, register: Register | None, more: Collection[Call], at: datetime, *, renew: bool = True
) -> ErasureReach:
    """Have every erasure that is known reach every backup: those of the register, of the target, and `more`. How holds
    stand in the register is written down in the target first.

    May be killed at any place: as long as it has not reached everything, the target says so, and the next one begins
    again. Without `renew` the keys part is written anew only where there is something to take out of it. Raises
    `BackupError`, and what register and stores raise.
    """
    if register is not None:
        remember_holds(target, register, at)
    before = target.erased()
    known = erased_calls(target)
    every = known | frozenset(more) | (destroyed_calls(register) if register else frozenset())
    is_new = every != known or (before is not None and not before.reached)
    if is_new:
        remember_erased(target, register, every, at, reached=False)
    reached = renew_keys(target, register, every, at) if renew or is_new else ErasureReach()
    if is_new:
        take_out(target, every if before is None or not before.reached else every - known, at, reached)
    remember_erased(target, register, every, at, reached=True)
    return reached
