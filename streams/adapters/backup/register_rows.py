"""Rows of the register as lines of JSON, the same on SQLite and PostgreSQL, and back."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Column, Date, DateTime, LargeBinary, Table, bindparam, func, select, text

from processors.custody.backups import BackupError, TablePart
from streams.adapters.register.partitions import prepare_days
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import call_keys, day_keys, intakes, leftovers, metadata, wrapping_keys

KEY_TABLES: tuple[Table, ...] = (wrapping_keys, day_keys, call_keys)
"""What the keys part holds, in an order in which rows can be written."""

_ROWS_AT_ONCE = 1_000
_READ_AT_ONCE = 5_000


def other_tables() -> tuple[Table, ...]:
    """Every table of the register but those of keys, in an order in which rows can be written."""
    keys = {table.name for table in KEY_TABLES}
    return tuple(table for table in metadata.sorted_tables if table.name not in keys)


def empty_table(table: Table) -> TablePart:
    """What is said of a table before its rows."""
    return TablePart(
        columns=tuple(column.name for column in table.c),
        sorted_by=tuple(column.name for column in table.primary_key.columns),
    )


def rows_of(tx: Transaction, table: Table, *where: Any, columns: Sequence[str] = ()) -> Iterator[bytes]:
    """The rows of a table as lines, of these columns or all, sorted by its primary key."""
    wanted = [table.c[name] for name in columns] if columns else list(table.c)
    statement = select(*wanted).where(*where).order_by(*table.primary_key.columns)
    found = tx.connection.execute(statement, execution_options={"yield_per": _READ_AT_ONCE})
    for row in found:
        yield line_of(row)


def line_of(values: Iterable[Any]) -> bytes:
    """One row."""
    content = [_as_json(value) for value in values]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def days_of_keys(tx: Transaction) -> list[date]:
    """The days of which the register has keys of calls."""
    return [row[0] for row in tx.execute(select(call_keys.c.day).distinct().order_by(call_keys.c.day))]


def put_rows(register: Register, name: str, rows: TablePart, lines: Iterable[bytes], *, replace: bool = False) -> int:
    """Write rows into a table, a part in each transaction; how many. With `replace` they take the place of others.

    Raises `BackupError` for columns that this release does not know, and as `Register.transaction`.
    """
    table = metadata.tables.get(name)
    if table is None or not set(rows.columns) <= {column.name for column in table.c}:
        raise BackupError(f"this release knows no {name} as it was: restore with the release that made the backup")
    columns = [table.c[column] for column in rows.columns]
    identity = any(column.identity is not None for column in columns)
    at, count = iter(lines), 0
    while batch := [_values(columns, line) for line in islice(at, _ROWS_AT_ONCE)]:
        if table is call_keys and register.file is None:
            for day in sorted({each["day"] for each in batch}):
                prepare_days(register, day, 0)
        with register.transaction("take rows of a backup") as tx:
            if replace:
                key = table.primary_key.columns
                tx.execute(
                    table.delete().where(*(column == bindparam(f"its_{column.name}") for column in key)),
                    [{f"its_{column.name}": row[column.name] for column in key} for row in batch],
                )
            tx.execute(_insert(tx, table, columns, identity=identity), batch)
        count += len(batch)
    if identity and count and register.file is None:
        with register.transaction("take rows of a backup") as tx:
            for column in columns:
                if column.identity is not None:
                    last = tx.execute(select(func.max(column))).scalar()
                    place = {"table": table.name, "column": column.name, "last": last}
                    tx.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"), place)
    return count


def of_line(table: Table, rows: TablePart, line: bytes) -> dict[str, Any]:
    """The values of a row, by column."""
    return _values([table.c[column] for column in rows.columns], line)


def is_empty(register: Register) -> bool:
    """Whether there are no tables yet, or no rows in them but wrapping keys, which `migrate` makes."""
    if register.revision() is None:
        return True
    with register.reading("be looked at") as tx:
        return all(
            tx.execute(select(text("1")).select_from(table).limit(1)).first() is None
            for table in (*other_tables(), day_keys, call_keys)
        )


def forget_wrapping_keys(register: Register) -> None:
    """Those that `migrate` made in an empty register: the backup has its own."""
    with register.transaction("forget its wrapping keys") as tx:
        tx.execute(wrapping_keys.delete())


def forget_what_was_under_way(register: Register) -> None:
    """Uploads that had not ended look as if they never would, and `sweep` would remove recordings that were stored a
    moment after the register was read. Whoever was sending sends again."""
    with register.transaction("forget what was under way") as tx:
        tx.execute(intakes.delete().where(intakes.c.state == "reserved"))
        tx.execute(leftovers.delete())


def _insert(tx: Transaction, table: Table, columns: Sequence[Column[Any]], *, identity: bool) -> Any:
    names = ", ".join(f'"{column.name}"' for column in columns)
    places = ", ".join(f":{column.name}" for column in columns)
    given = " OVERRIDING SYSTEM VALUE" if identity and tx.is_postgresql else ""
    statement = text(f'INSERT INTO "{table.name}" ({names}){given} VALUES ({places})')  # noqa: S608 - names of ours
    return statement.bindparams(*(bindparam(column.name, type_=column.type) for column in columns))


def _as_json(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return value


def _values(columns: Sequence[Column[Any]], line: bytes) -> dict[str, Any]:
    fields = json.loads(line)
    return {column.name: _of_json(column, field) for column, field in zip(columns, fields, strict=True)}


def _of_json(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    kind = getattr(column.type, "impl_instance", column.type)
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value)
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value)
    if isinstance(kind, Date):
        return date.fromisoformat(value)
    return value
