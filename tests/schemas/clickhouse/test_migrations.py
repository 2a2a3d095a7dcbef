"""Migrations as data: the sequence of files, their statements, and what still has to run."""

import re
from pathlib import Path

import pytest

from schemas.clickhouse.migrations import (
    CONTRACT,
    AppliedMigration,
    Migration,
    MigrationFilesError,
    MigrationRefusedError,
    load_migrations,
    pending_migrations,
    split_statements,
)

FORMER = Path(__file__).parents[2] / "data" / "migrations_with_views"
"""The migrations 1 to 14 as they were while views stood in them."""

FIRST, SECOND, THIRD = (Migration(number, "step", f"SELECT {number}") for number in (1, 2, 3))


def applied(*migrations: Migration) -> tuple[AppliedMigration, ...]:
    return tuple(AppliedMigration(m.number, m.name, m.sha256) for m in migrations)


def test_the_packaged_migrations_are_a_sequence_from_one() -> None:
    migrations = load_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert migrations[0].label == "0001_calls"


@pytest.mark.parametrize("migration", load_migrations(), ids=lambda migration: migration.label)
def test_every_statement_can_be_run_again(migration: Migration) -> None:
    repeatable = re.compile(
        r"CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS|DROP (TABLE|VIEW) IF EXISTS"
        r"|INSERT INTO \w+_versions "
        r"|ALTER TABLE \{\{\w+ \w+\}\} \{\{on_cluster\}\} (ADD|DROP) (COLUMN|INDEX) IF (NOT )?EXISTS"
        r"|ALTER TABLE \{\{\w+ \w+\}\} \{\{on_cluster\}\} (MATERIALIZE|MODIFY) COLUMN"
        r"|ALTER TABLE \{\{\w+ \w+\}\} \{\{on_cluster\}\} MODIFY SETTING "
        r"|RENAME TABLE IF EXISTS"
    )
    assert migration.statements
    for statement in migration.statements:
        assert repeatable.match(statement), statement[:60]


BEFORE_EXPANDING = 33
"""The last migration of releases whose workers refused any newer database."""


@pytest.mark.parametrize("migration", load_migrations()[BEFORE_EXPANDING:], ids=lambda migration: migration.label)
def test_a_migration_only_adds_or_is_named_a_contract(migration: Migration) -> None:
    takes_away = re.compile(r"\b(DROP|RENAME|TRUNCATE|DELETE|REPLACE)\b|MODIFY COLUMN \S+(?! *COMMENT)")
    changes = [statement for statement in migration.statements if takes_away.search(statement)]
    assert migration.name.endswith(CONTRACT) or not changes, "old workers run beside it"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param("A; B;", ("A", "B"), id="two statements, the last one closed"),
        pytest.param("A; B", ("A", "B"), id="the last one open"),
        pytest.param(";; ;", (), id="nothing between semicolons"),
        pytest.param("A 'x;y'; B", ("A 'x;y'", "B"), id="a semicolon in a text"),
        pytest.param(r"A 'it\'s; so'; B", (r"A 'it\'s; so'", "B"), id="an escaped quote in a text"),
        pytest.param("A 'it''s; so'; B", ("A 'it''s; so'", "B"), id="a doubled quote in a text"),
        pytest.param("A `x;y`; B", ("A `x;y`", "B"), id="a semicolon in a name"),
        pytest.param('A "x;y"; B', ('A "x;y"', "B"), id="a semicolon in a quoted name"),
        pytest.param("A -- x; y\n+ 1; B", ("A  \n+ 1", "B"), id="a semicolon in a line comment"),
        pytest.param("A /* x; y */; B", ("A", "B"), id="a semicolon in a block comment"),
        pytest.param("A '-- no comment'; B", ("A '-- no comment'", "B"), id="two dashes in a text"),
        pytest.param("A - 1 / 2; B", ("A - 1 / 2", "B"), id="minus and division are no comments"),
    ],
)
def test_statements_are_split_at_semicolons_outside_quotes_and_comments(sql: str, expected: tuple[str, ...]) -> None:
    assert split_statements(sql) == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param(["0001_a.sql", "0003_c.sql"], "0002 is missing", id="a gap"),
        pytest.param(["0002_b.sql"], "0001 is missing", id="it does not begin at one"),
        pytest.param(["0001_a.sql", "0001_b.sql"], "is there twice", id="a number twice"),
        pytest.param(["0001_a.sql", "2_b.sql"], "2_b.sql is not named", id="a name without four digits"),
    ],
)
def test_files_that_are_no_sequence_are_refused(names: list[str], sentence: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationFilesError, match=sentence):
        load_migrations(tmp_path)


def test_comments_stay_where_people_read_the_statements() -> None:
    sql = "-- Why; so.\nA /* b */; C;\n"
    assert split_statements(sql, comments=True) == ("-- Why; so.\nA /* b */", "C")


def test_a_file_that_is_no_migration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "README.md").write_text("text")
    assert [migration.label for migration in load_migrations(tmp_path)] == ["0001_a"]


def test_what_was_not_applied_is_pending_in_order() -> None:
    assert pending_migrations((FIRST, SECOND, THIRD), applied(FIRST)) == (SECOND, THIRD)


def test_nothing_is_pending_after_all_were_applied() -> None:
    assert pending_migrations((FIRST, SECOND), applied(SECOND, FIRST)) == ()


def test_a_file_that_was_changed_after_it_was_applied_is_refused() -> None:
    changed = Migration(1, "step", "SELECT 'something else'")
    with pytest.raises(MigrationRefusedError, match="0001_step was changed after it was applied"):
        pending_migrations((changed, SECOND), applied(FIRST))


def test_a_file_that_was_applied_while_views_stood_in_it_is_not_applied_again(tmp_path: Path) -> None:
    (tmp_path / "0001_step.sql").write_text("CREATE TABLE t")
    former = Migration(1, "step", "CREATE TABLE t; CREATE VIEW v")
    (tmp_path / "former.sha256").write_text(f"{former.sha256}  0001_step.sql\n")
    (now,) = load_migrations(tmp_path)
    assert now.sha256 != former.sha256
    assert pending_migrations((now,), applied(former)) == pending_migrations((now,), applied(now)) == ()
    with pytest.raises(MigrationRefusedError, match="was changed"):
        pending_migrations((now,), applied(FIRST))


def test_every_migration_of_before_is_known_by_its_former_checksum() -> None:
    before = load_migrations(FORMER)
    assert [each.label for each in before] == [each.label for each in load_migrations()[: len(before)]]
    assert pending_migrations(load_migrations()[: len(before)], applied(*before)) == ()


def test_a_migration_below_the_highest_applied_one_is_refused() -> None:
    with pytest.raises(MigrationRefusedError, match="do not run out of order"):
        pending_migrations((FIRST, SECOND, THIRD), applied(FIRST, THIRD))


def test_a_database_that_is_ahead_of_the_files_is_refused() -> None:
    with pytest.raises(MigrationRefusedError, match="older than the database"):
        pending_migrations((FIRST,), applied(FIRST, SECOND))


def test_workers_go_on_beside_a_newer_release_that_only_adds() -> None:
    assert pending_migrations((FIRST,), applied(FIRST, SECOND, THIRD), beside_newer=True) == ()


def test_workers_stop_beside_a_newer_release_that_takes_something_away() -> None:
    contract = Migration(2, "cut_contract", "SELECT 2")
    with pytest.raises(MigrationRefusedError, match=r"0002 \(cut_contract\)"):
        pending_migrations((FIRST,), applied(FIRST, contract, THIRD), beside_newer=True)
