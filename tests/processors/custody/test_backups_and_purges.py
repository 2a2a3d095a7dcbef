"""What backups take out of an erased call is at least what a purge takes out of the tables."""

import re

import pytest

from processors.clickhouse.purge_sql import OF_A_PERSON
from processors.custody.backups import (
    COLUMNS_THAT_GO,
    ROWS_THAT_GO,
    ROWS_THAT_GO_WHERE,
    TablePart,
    object_of,
    without_erased,
)
from streams.adapters.backup.clickhouse_rows import NOT_BACKED_UP
from streams.adapters.object_store.purging import OBJECT_NAMES

STAMP = "purged_at"
"""Says when the call was destroyed; nothing goes by it."""
MORE = {"dead_letter_versions": {"problems"}}
"""What backups take away besides: a problem may have been written by an older release."""


def test_the_same_rows_and_columns_go_from_tables_and_from_backups() -> None:
    whole = {each.table for each in OF_A_PERSON if not each.blank and "about" not in each.rows}
    some = {each.table: each.rows for each in OF_A_PERSON if not each.blank and "about" in each.rows}
    blanked = {each.table: {name.strip("`") for name, _ in each.blank} - {STAMP} for each in OF_A_PERSON if each.blank}

    assert whole - NOT_BACKED_UP == ROWS_THAT_GO
    assert some.keys() == ROWS_THAT_GO_WHERE.keys()
    for table, (column, value) in ROWS_THAT_GO_WHERE.items():
        assert some[table].startswith(f"{column} = '{value}' AND ")
    named = {table: set(columns) for table, columns in COLUMNS_THAT_GO.items() if columns}
    assert {table: columns | MORE.get(table, set()) for table, columns in blanked.items()} == named


def test_what_an_inspector_wrote_down_as_missed_goes_whole_and_other_verdicts_lose_their_words() -> None:
    table = TablePart(
        columns=("tenant_id", "call_id", "about", "target_id", "quote"),
        types=("String", "String", "String", "String", "Nullable(String)"),
        sorted_by=("tenant_id", "call_id"),
        partitions={},
    )
    lines = [
        b"acme\tc1\tmissed\tdigest\tsaid\n",
        b"acme\tc1\tfinding\tf1\tsaid\n",
        b"acme\tc2\tmissed\tdigest\tsaid\n",
    ]
    left = list(without_erased("verdict_versions", table, lines, {("acme", "c1")}, of_clickhouse=True))
    assert left == [b"acme\tc1\tfinding\tf1\t\\N\n", lines[2]]


@pytest.mark.parametrize("prefix", OBJECT_NAMES)
def test_objects_that_a_purge_destroys_are_taken_out_of_backups(prefix: str) -> None:
    names = {"renditions": "c1.0123456789abcdef.peaks", "transcripts": "c1.1", "received": "c1.0123456789abcdef"}
    name = names.get(prefix, "c1.0123456789abcdef.wav")
    assert re.fullmatch(OBJECT_NAMES[prefix].format(call="c1"), name)

    found = object_of(f"{prefix}/acme/2026/01/02/{name}")

    assert found is not None
    assert (found.kind, found.tenant_id, found.call_id) == (prefix, "acme", "c1")
