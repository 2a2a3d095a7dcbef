"""Tables of ClickHouse as lines of tab-separated values, and back.

What is read is what the tables hold (`FINAL`): rows that newer ones have replaced, and rows that were deleted or
changed by lightweight statements and wait for a merge, are not in a backup and cannot come back from it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import FACTS
from processors.custody.backups import TablePart, lines_of
from schemas.clickhouse.cluster import LOCAL_SUFFIX
from streams.adapters.clickhouse.errors import translated_errors
from streams.adapters.clickhouse.rollups import STAGING
from streams.adapters.clickhouse.statements import INSERT_SETTINGS, read_rows, stream_of

LEDGER = "schema_migrations"
NOT_BACKED_UP = frozenset({LEDGER, FACTS})
"""Facts are kept by the systems that tell them, which tell them again. In a backup nothing would say which of them are
of a customer who was erased since."""
"""Which migrations were applied: the manifest says it by number, and `migrate` writes it again."""

WHOLE = ""
"""The partition of a table that is read as a whole: on a cluster, over all its shards."""

_TARGET = re.compile(r"\bTO\s+(?:`?\w+`?\.)?`?(?P<table>\w+)`?")
_READ_SETTINGS = {
    # An error must not look like an end: nothing is sent before everything is there.
    "wait_end_of_query": 1,
    "max_threads": 2,
    "output_format_tsv_crlf_end_of_line": 0,
}
_WRITE_SETTINGS = INSERT_SETTINGS | {
    "optimize_on_insert": 0,
    "insert_deduplicate": 0,
}


@dataclass(frozen=True)
class ReadTable:
    """A table that has rows of its own, and how it is read."""

    name: str
    is_replacing: bool
    is_distributed: bool
    rows: TablePart
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Partition → what says that it is unchanged; empty where nothing does."""


def read_tables(client: Client) -> list[ReadTable]:
    """The tables of the database with rows of their own, but for facts; those that views write into, behind those they
    read.

    Raises as `connect` does.
    """
    found = read_rows(
        client,
        "listing tables",
        "SELECT name, engine, engine_full, sorting_key, create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND NOT is_temporary ORDER BY name",
    )
    engines = {name: engine for name, engine, *_ in found}
    written_by_views = {
        match["table"].removesuffix(LOCAL_SUFFIX)
        for _, engine, _, _, query in found
        if engine == "MaterializedView" and (match := _TARGET.search(query))
    }
    sorting = {name: tuple(part.strip() for part in key.split(",") if part.strip()) for name, _, _, key, _ in found}
    columns = _columns(client)
    tables = []
    for name, engine, *_ in found:
        local = f"{name}{LOCAL_SUFFIX}"
        distributed = engine == "Distributed" and local in engines
        of_shard = name.endswith(LOCAL_SUFFIX) and engines.get(name.removesuffix(LOCAL_SUFFIX)) == "Distributed"
        passing = name in NOT_BACKED_UP or name.startswith((STAGING, ".inner"))
        if passing or of_shard or not (distributed or engine.endswith("MergeTree")):
            continue
        names, types = columns[name]
        rows = TablePart(columns=names, types=types, sorted_by=sorting[local if distributed else name])
        replacing = "Replacing" in (engines[local] if distributed else engine)
        prints = {WHOLE: ""} if distributed else _fingerprints(client, name)
        tables.append(ReadTable(name, replacing, distributed, rows, prints))
    return sorted(tables, key=lambda table: (table.name in written_by_views, table.name))


def _columns(client: Client) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    found = read_rows(
        client,
        "listing columns",
        "SELECT table, groupArray(name), groupArray(type) FROM (SELECT table, name, type FROM system.columns "
        "WHERE database = currentDatabase() AND default_kind IN ('', 'DEFAULT') ORDER BY table, position) "
        "GROUP BY table",
    )
    return {table: (tuple(names), tuple(types)) for table, names, types in found}


def _fingerprints(client: Client, name: str) -> dict[str, str]:
    """Partition → what says that it is unchanged: names and contents of its parts. None does where patches of
    lightweight updates lie beside them."""
    found = read_rows(
        client,
        "listing parts",
        "SELECT partition_id, toString(count()), toString(sum(rows)), "
        "toString(groupBitXor(cityHash64(name, hash_of_all_files))) FROM system.parts "
        "WHERE database = currentDatabase() AND table = {table:String} AND active GROUP BY partition_id "
        "ORDER BY partition_id",
        table=name,
    )
    patched = any(partition.startswith("patch-") for partition, *_ in found)
    return {
        partition: "" if patched else "-".join(facts)
        for partition, *facts in found
        if not partition.startswith("patch-")
    }


def lines_of_partition(client: Client, table: ReadTable, partition: str) -> Iterator[bytes]:
    """The rows of a partition, sorted as the table is. Raises as `connect` does."""
    final = " FINAL" if table.is_replacing else ""
    where = "" if partition == WHOLE else " WHERE _partition_id = {partition:String}"
    order = ", ".join(table.rows.sorted_by)
    query = f"SELECT {_listed(table.rows.columns)} FROM `{table.name}`{final}{where}"  # noqa: S608 - names of ours
    query += f" ORDER BY {order}" if order else ""
    pieces = stream_of(
        client, f"reading {table.name}", query, {"partition": partition}, "TabSeparated", dict(_READ_SETTINGS)
    )
    return lines_of(pieces)


def with_columns(table: ReadTable, as_it_was: TablePart) -> ReadTable:
    """The same table, of which those columns are read that there were."""
    rows = table.rows.model_copy(update={"columns": as_it_was.columns, "types": as_it_was.types})
    return replace(table, rows=rows)


def insert_lines(client: Client, name: str, columns: Iterable[str], lines: bytes) -> None:
    """Raises as `connect` does."""
    settings: dict[str, Any] = dict(_WRITE_SETTINGS)
    with translated_errors(f"writing {name}"):
        client.raw_insert(name, column_names=list(columns), insert_block=lines, settings=settings, fmt="TabSeparated")


def is_empty(client: Client) -> bool:
    """Whether no table has a row. Raises as `connect` does."""
    return all(
        not read_rows(client, "looking for rows", f"SELECT 1 FROM `{table.name}` LIMIT 1")  # noqa: S608 - names of ours
        for table in read_tables(client)
    )


def last_migration(client: Client) -> int:
    """The highest number that was applied. Raises as `connect` does."""
    found = read_rows(client, "reading schema_migrations", f"SELECT max(number) FROM {LEDGER}")  # noqa: S608 - a name of ours
    return int(found[0][0])


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)
