"""Legal holds since a backup: cases that were opened, extended or released after it are given back as they stand now.

A case only grows, and is released once and for good. So of what any two know of it both are true: every call and every
customer that one of them names, and released where one of them says so. In whatever order they come, the same remains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, update

from processors.custody.backups import BackupError, FileRows, HeldCases, TablePart
from streams.adapters.backup.register_rows import empty_table, line_of, of_line, rows_of
from streams.adapters.backup.target import BackupTarget, Copied
from streams.adapters.register.register import Register
from streams.adapters.register.tables import hold_calls, hold_customers, holds

HOLD_TABLES: tuple[Table, ...] = (holds, hold_calls, hold_customers)
"""In an order in which rows can be written."""

_RELEASE = ("state", "released_by", "released_at")

_Row = dict[str, Any]
_Key = tuple[Any, ...]


@dataclass
class KnownHolds:
    """Cases and what they hold, as somebody knows them: table → primary key → row."""

    rows: dict[str, dict[_Key, _Row]] = field(default_factory=lambda: {table.name: {} for table in HOLD_TABLES})

    def __len__(self) -> int:
        """How many cases."""
        return len(self.rows[holds.name])

    def add(self, other: "KnownHolds") -> None:
        """What the other knows, too."""
        for table in HOLD_TABLES:
            for row in other.rows[table.name].values():
                self._add_row(table, row)

    def add_lines(self, tables: Mapping[str, tuple[TablePart, Iterable[bytes]]]) -> None:
        """Rows as a target, a file or a register has them. Raises `BackupError` for columns that are not known."""
        for table in HOLD_TABLES:
            if table.name in tables:
                head, lines = tables[table.name]
                if not set(head.columns) <= {column.name for column in table.c}:
                    raise BackupError(f"this release knows no {table.name} as it was: restore with a newer one")
                for line in lines:
                    self._add_row(table, of_line(table, head, line))

    def lines(self, table: Table) -> list[bytes]:
        """Sorted by what identifies them."""
        rows = self.rows[table.name]
        return [line_of(rows[key][column.name] for column in table.c) for key in sorted(rows)]

    def _add_row(self, table: Table, row: _Row) -> None:
        key = tuple(row[column.name] for column in table.primary_key.columns)
        known = self.rows[table.name].get(key)
        if known is None or (table is holds and known["state"] == "open"):
            self.rows[table.name][key] = {column.name: row.get(column.name) for column in table.c}


def holds_of_register(register: Register) -> KnownHolds:
    """Raises as `Register.transaction`."""
    known = KnownHolds()
    with register.snapshot("list its holds") as tx:
        known.add_lines({table.name: (empty_table(table), rows_of(tx, table)) for table in HOLD_TABLES})
    return known


def holds_of_target(target: BackupTarget) -> KnownHolds:
    """Those that were written down in it. Raises `BackupError`."""
    known, kept = KnownHolds(), target.holds()
    if kept is not None:
        for name, rows in kept.tables.items():
            for each in rows.partitions.values():
                known.add_lines({name: (rows, target.chunks.lines(each.chunks))})
    return known


def holds_of_file(tables: Mapping[str, FileRows]) -> KnownHolds:
    """Those of a file that is kept apart."""
    known = KnownHolds()
    known.add_lines(
        {
            name: (TablePart(columns=rows.columns), (f"{line}\n".encode() for line in rows.lines))
            for name, rows in tables.items()
        }
    )
    return known


def file_rows(known: KnownHolds) -> dict[str, FileRows]:
    """The reverse."""
    return {
        table.name: FileRows(
            columns=tuple(column.name for column in table.c),
            lines=tuple(line.decode().rstrip("\n") for line in known.lines(table)),
        )
        for table in HOLD_TABLES
    }


def remember_holds(target: BackupTarget, register: Register, at: datetime) -> None:
    """Write down in the target how cases stand: as in the register, and what stands there. Raises `BackupError`."""
    known, former, copied = holds_of_target(target), target.holds(), Copied()
    known.add(holds_of_register(register))
    tables = {
        table.name: empty_table(table).model_copy(update={"partitions": {"": target.keep(known.lines(table), copied)}})
        for table in HOLD_TABLES
    }
    if former is None or former.tables != tables:
        target.write_holds(HeldCases(written_at=at, tables=tables))


def put_holds(register: Register, known: KnownHolds) -> int:
    """Have the register know of them what it does not; how many cases differ by it. Again is right, and changes none.

    Raises as `Register.transaction`.
    """
    there = holds_of_register(register)
    changed: set[_Key] = set()
    with register.transaction("take holds since the backup") as tx:
        for table in HOLD_TABLES:
            new = [row for key, row in known.rows[table.name].items() if key not in there.rows[table.name]]
            if new:
                tx.insert_all_new(table, new)
            changed.update(_case(row) for row in new)
        for key, row in known.rows[holds.name].items():
            if row["state"] == "released" and there.rows[holds.name].get(key, row)["state"] == "open":
                tx.execute(update(holds).where(*_this(row)).values({name: row[name] for name in _RELEASE}))
                changed.add(_case(row))
    return len(changed)


def _this(row: _Row) -> tuple[Any, Any]:
    return holds.c.tenant_id == row["tenant_id"], holds.c.case_id == row["case_id"]


def _case(row: _Row) -> _Key:
    return row["tenant_id"], row["case_id"]
