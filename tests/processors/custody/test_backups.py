"""What a backup is made of: sums, cuts, what goes when a call is erased, which backups stay."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.backups import (
    BackupError,
    Keeping,
    KeptRows,
    KeysPart,
    Manifest,
    ObjectLine,
    RowSum,
    TablePart,
    backups_to_keep,
    canonical,
    columns_that_go,
    cut,
    keep_rows,
    lines_of,
    merged_keys,
    object_of,
    read_document,
    signed_bytes,
    text_of,
    without_erased,
    without_words,
)

NOW = datetime(2026, 6, 15, 3, tzinfo=UTC)
LINES = st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b" ") + b"\n"), max_size=60)


@given(LINES, st.randoms())
def test_a_sum_does_not_depend_on_the_order_and_is_undone_by_taking_away(lines: list[bytes], chance: object) -> None:
    one, other = RowSum(), RowSum()
    for line in lines:
        one.add(line)
    shuffled = list(lines)
    chance.shuffle(shuffled)  # type: ignore[attr-defined] # a random.Random
    for line in shuffled:
        other.add(line)
    assert (one.rows, one.checksum) == (other.rows, other.checksum)
    for line in lines:
        one.take_away(line)
    assert (one.rows, one.checksum) == (0, "0" * 64)


def test_twice_the_same_row_is_not_none() -> None:
    total = RowSum()
    total.add(b"a\n")
    total.add(b"a\n")
    assert total.checksum != "0" * 64
    assert total.rows == 2


@given(LINES, st.integers(1, 50))
def test_chunks_hold_all_lines_in_order(lines: list[bytes], least: int) -> None:
    total = RowSum()
    chunks = list(cut(lines, total, least_bytes=least, most_bytes=least * 3))
    assert b"".join(each.lines for each in chunks) == b"".join(lines)
    assert sum(each.chunk.rows for each in chunks) == total.rows == len(lines)
    assert list(lines_of(each.lines for each in chunks)) == lines


def test_a_row_between_others_changes_few_chunks() -> None:
    lines = [f"row {number:06d} {'x' * 60}\n".encode() for number in range(60_000)]
    before = {each.chunk.sha256 for each in cut(lines, RowSum(), least_bytes=20_000)}
    more = [*lines[:30_000], b"a row that comes between\n", *lines[30_000:]]
    after = [each.chunk.sha256 for each in cut(more, RowSum(), least_bytes=20_000)]
    assert len(before) > 20
    assert len([name for name in after if name not in before]) <= 2


@given(st.binary(max_size=300), st.integers(1, 20))
def test_lines_come_whole_from_pieces_that_end_anywhere(data: bytes, size: int) -> None:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    whole = data if data.endswith(b"\n") or not data else data + b"\n"
    assert b"".join(lines_of(pieces)) == whole


TABLE = TablePart(
    columns=(
        *("tenant_id", "call_id", "agent_id", "customer_key", "order_id", "crm", "findings.quote", "findings.score"),
        *("findings.attributes", "tags", "team"),
    ),
    types=(
        *("LowCardinality(String)", "String", "String", "Nullable(String)", "Nullable(String)"),
        *("Map(LowCardinality(String), String)", "Array(String)", "Array(Float64)"),
        *("Array(Map(LowCardinality(String), String))", "Array(LowCardinality(String))"),
        "LowCardinality(Nullable(String))",
    ),
    sorted_by=("tenant_id", "call_id"),
)
LINE = b"acme\tc1\tA1\tkkk\tO-1\t{'a':'b, }'}\t['it\\'s','[x]']\t[1.5,2]\t[{'w':'}{'},{}]\t['vip']\tnorth\n"


def test_what_may_be_words_or_find_a_person_goes_from_a_table_that_nobody_has_decided_on() -> None:
    positions = columns_that_go("a_new_table", TABLE)
    assert [TABLE.columns[at] for at in positions] == [
        *("customer_key", "order_id", "crm", "findings.quote", "findings.attributes")
    ]
    assert without_words(LINE, positions, TABLE) == (
        b"acme\tc1\tA1\t\\N\t\\N\t{}\t['','']\t[1.5,2]\t[{},{}]\t['vip']\tnorth\n"
    )


def test_rows_of_erased_calls_are_emptied_or_left_out_and_others_are_not_touched() -> None:
    other = LINE.replace(b"c1", b"c2")
    erased = {("acme", "c1")}
    left = list(without_erased("call_versions", TABLE, [LINE, other], erased, of_clickhouse=True))
    assert left[1] == other
    assert b"it" not in left[0]
    assert list(without_erased("transcript_versions", TABLE, [LINE, other], erased, of_clickhouse=True)) == [other]
    assert list(without_erased("access_log_versions", TABLE, [LINE], erased, of_clickhouse=True)) == [LINE]
    intakes = TablePart(columns=("tenant_id", "call_id", "event"))
    rows = [b'["acme","c1","x"]\n', b'["beta","c1","y"]\n']
    assert list(without_erased("intakes", intakes, rows, erased, of_clickhouse=False)) == rows[1:]
    assert list(without_erased("tombstones", intakes, rows, erased, of_clickhouse=False)) == rows


def test_a_call_id_is_read_as_it_was_before_it_was_escaped() -> None:
    assert text_of(rb"a\tb\\c\'d") == "a\tb\\c'd"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("recordings/acme/2026/01/02/c.1.0123456789abcdef.wav", ("recordings", "acme", "c.1", True)),
        ("recordings/acme/2026/01/02/c1.0123456789ab.wav", ("recordings", "acme", "c1", False)),
        ("renditions/acme/2026/01/02/c1.0123456789abcdef.converted.opus", ("renditions", "acme", "c1", True)),
        ("renditions/acme/2026/01/02/c1.0123456789abcdef.peaks", ("renditions", "acme", "c1", True)),
        ("transcripts/acme/2026/01/02/a.b.1", ("transcripts", "acme", "a.b", True)),
        ("received/acme/2026/01/02/c1.0123456789abcdef", ("received", "acme", "c1", True)),
        ("archive/acme/2026/01/02/c1.0123456789abcdef.opus", ("archive", "acme", "c1", True)),
        ("archive/acme/2026/01/02/c1.0123456789abcdef.g729", ("archive", "acme", "c1", True)),
        ("archive/acme/2026/01/02/c1.1.parquet", ("archive", "acme", "c1", True)),
        (
            "archive/acme/2026/01/02/c1.0123456789abcdef.1.parquet",
            ("archive", "acme", "c1.0123456789abcdef", True),
        ),
        ("transcripts/acme/c1.json", ("transcripts", "acme", "c1", False)),
        ("call_days/acme/c1", None),
        ("models/heads.npz", None),
    ],
)
def test_the_key_of_an_object_says_of_which_call_it_is(key: str, told: tuple[str, str, str, bool] | None) -> None:
    found = object_of(key)
    assert told == (None if found is None else (found.kind, found.tenant_id, found.call_id, found.sealed))


def test_an_object_that_took_the_place_of_another_has_a_copy_of_its_own() -> None:
    first = ObjectLine("transcripts/a/2026/01/02/c.1", 10, "2026-01-02T00:00:00+00:00", "0" * 64)
    assert ObjectLine.of(first.line()) == first
    assert first.copy_id != ObjectLine(first.key, 10, "2026-01-03T00:00:00+00:00", "0" * 64).copy_id


def test_a_key_leaves_the_backup_by_a_tombstone_alone() -> None:
    live = {("a", "1", "audio"): b"new", ("a", "2", "audio"): b"two"}
    kept = {("a", "1", "audio"): b"old", ("a", "3", "audio"): b"lost", ("a", "4", "audio"): b"gone"}
    merged, unexplained = merged_keys(live, kept, {("a", "4")})
    assert merged == {("a", "1", "audio"): b"new", ("a", "2", "audio"): b"two", ("a", "3", "audio"): b"lost"}
    assert unexplained == 1


def kept(keeping: Keeping, days_ago: list[float]) -> list[float]:
    backups = {str(each): NOW - timedelta(days=each) for each in days_ago}
    return sorted(float(each) for each in backups_to_keep(backups, keeping, NOW))


def test_the_last_of_each_day_week_and_month_stay() -> None:
    every_half_day = [each / 2 for each in range(800)]
    assert kept(Keeping(3, 0, 0), every_half_day) == [0, 0.5, 1.5]
    assert len(kept(Keeping(7, 5, 12), every_half_day)) <= 7 + 5 + 12
    assert max(kept(Keeping(7, 5, 12), every_half_day)) > 300


def test_none_that_is_older_than_promised_stays_but_the_newest() -> None:
    assert max(kept(Keeping(7, 5, 12, not_older_than_days=35), [each / 2 for each in range(800)])) <= 35
    assert kept(Keeping(0, 0, 0, not_older_than_days=1), [40, 50]) == [40]
    assert kept(Keeping(0, 0, 0), []) == []


def test_a_manifest_never_passes_for_the_keys_part() -> None:
    part = KeysPart(written_at=NOW, register_revision="0003", tables={})
    assert signed_bytes(part).startswith(b"callstream backup 1 KeysPart\n")
    assert read_document(KeysPart, canonical(part), "the keys part") == part
    with pytest.raises(BackupError, match="backup x is not one of this release"):
        read_document(Manifest, canonical(part), "backup x")


def test_rows_are_kept_with_what_they_are() -> None:
    held: list[bytes] = []
    rows = keep_rows([b"a\n", b"b\n"], lambda each: held.append(each.lines), "print")
    assert held == [b"a\nb\n"]
    assert (rows.rows, rows.fingerprint, len(rows.chunks)) == (2, "print", 1)
    assert KeptRows.model_validate_json(rows.model_dump_json()) == rows
