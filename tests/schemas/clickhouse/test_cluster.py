"""What each placeholder stands for, and that every SQL file says of each statement where it is run."""

import re
from importlib import resources

import pytest

from schemas.clickhouse.cluster import ON_CLUSTER, Cluster, PlaceholderError, to_cluster_sql, to_server_sql, to_sql
from schemas.clickhouse.migrations import load_migrations, split_statements
from schemas.clickhouse.views import load_views
from streams.adapters.clickhouse.migrate import views_of
from streams.settings import Settings

CLUSTER = Cluster("analytics", "calls_db")
ON = "ON CLUSTER 'analytics'"
PATH = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"

LEDGER = (resources.files("schemas.clickhouse") / "schema_migrations.sql").read_text(encoding="utf-8")
OF_MIGRATIONS = [
    *split_statements(LEDGER),
    *(statement for migration in load_migrations() for statement in migration.statements),
]
OF_VIEWS = list(views_of(Settings()).values())


@pytest.mark.parametrize(
    ("statement", "on_one_server", "on_a_cluster"),
    [
        pytest.param(
            "CREATE OR REPLACE VIEW v {{on_cluster}}\n(a String) AS SELECT a FROM t WHERE d >= {start:Date}",
            ["CREATE OR REPLACE VIEW v\n(a String) AS SELECT a FROM t WHERE d >= {start:Date}"],
            [f"CREATE OR REPLACE VIEW v {ON}\n(a String) AS SELECT a FROM t WHERE d >= {{start:Date}}"],  # noqa: S608
            id="a view is the same on every host, and its parameters are no placeholders",
        ),
        pytest.param(
            "CREATE TABLE t {{on_cluster}} AS {{local t}} ENGINE = {{distributed t by ifNull(a, ''), b}}",
            [],
            [
                f"CREATE TABLE t {ON} AS t_local "
                "ENGINE = Distributed('analytics', 'calls_db', 't_local', sipHash64(ifNull(a, ''), b))"
            ],
            id="the table over the shards is for clusters alone",
        ),
        pytest.param(
            "CREATE TABLE {{local t}} {{on_cluster}} (a String) ENGINE = {{engine ReplacingMergeTree(v)}} ORDER BY a",
            ["CREATE TABLE t (a String) ENGINE = ReplacingMergeTree(v) ORDER BY a"],
            [f"CREATE TABLE t_local {ON} (a String) ENGINE = ReplicatedReplacingMergeTree({PATH}, v) ORDER BY a"],
            id="the table of a shard is replicated within it",
        ),
        pytest.param(
            "CREATE TABLE {{local t}} {{on_cluster}} (a String) ENGINE = {{engine MergeTree}} ORDER BY a",
            ["CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a"],
            [f"CREATE TABLE t_local {ON} (a String) ENGINE = ReplicatedMergeTree({PATH}) ORDER BY a"],
            id="an engine without arguments",
        ),
        pytest.param(
            "CREATE TABLE {{everywhere t}} {{on_cluster}} (a Date) ENGINE = {{engine MergeTree()}} ORDER BY a",
            ["CREATE TABLE t (a Date) ENGINE = MergeTree() ORDER BY a"],
            [
                f"CREATE TABLE t {ON} (a Date) ENGINE = "
                "ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}') ORDER BY a"
            ],
            id="a table that is whole on every host",
        ),
        pytest.param(
            "ALTER TABLE {{both t}} {{on_cluster}} ADD COLUMN a String COMMENT 'x' {{stored CODEC(Delta, ZSTD(1))}} "
            "AFTER b",
            ["ALTER TABLE t ADD COLUMN a String COMMENT 'x' CODEC(Delta, ZSTD(1)) AFTER b"],
            [
                f"ALTER TABLE t_local {ON} ADD COLUMN a String COMMENT 'x' CODEC(Delta, ZSTD(1)) AFTER b",
                f"ALTER TABLE t {ON} ADD COLUMN a String COMMENT 'x' AFTER b",
            ],
            id="a column is added below and then above, without what concerns the disk",
        ),
        pytest.param(
            "ALTER TABLE {{local t}} {{on_cluster}} MATERIALIZE COLUMN a SETTINGS mutations_sync = 2",
            ["ALTER TABLE t MATERIALIZE COLUMN a SETTINGS mutations_sync = 2"],
            [f"ALTER TABLE t_local {ON} MATERIALIZE COLUMN a SETTINGS mutations_sync = 2"],
            id="what lies on the disk is the business of the table there",
        ),
        pytest.param("INSERT INTO t SELECT 1", ["INSERT INTO t SELECT 1"], ["INSERT INTO t SELECT 1"], id="rows"),
    ],
)
def test_a_statement_says_where_it_is_run(statement: str, on_one_server: list[str], on_a_cluster: list[str]) -> None:
    assert list(to_server_sql(statement)) == on_one_server
    assert list(to_cluster_sql(statement, CLUSTER)) == on_a_cluster
    assert to_sql([statement] * 2, None) == tuple(on_one_server * 2)
    assert to_sql([statement] * 2, CLUSTER) == tuple(on_a_cluster * 2)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        pytest.param("ALTER TABLE {{locl t}} ADD COLUMN a String", "{{locl t}} is no placeholder", id="a typing error"),
        pytest.param("ALTER TABLE {{local}} ADD COLUMN a String", "{{local}} is no placeholder", id="no table"),
        pytest.param("DROP VIEW v {{on_cluster x}}", "{{on_cluster x}} is no placeholder", id="a cluster by name"),
        pytest.param("DROP VIEW v {{on_cluster}", "not closed, .* DROP VIEW v", id="a brace too few"),
        pytest.param("DROP VIEW v {{ on_cluster }}", "not closed, .* DROP VIEW v", id="spaces within"),
    ],
)
def test_what_is_no_placeholder_is_refused_on_one_server_too(statement: str, reason: str) -> None:
    for cluster in (None, CLUSTER):
        with pytest.raises(PlaceholderError, match=reason):
            to_sql([statement], cluster)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        pytest.param("{{engine Log}}", "no replicated form", id="an engine that is not replicated"),
        pytest.param("{{engine ReplicatedMergeTree}}", "no replicated form", id="replicated by hand"),
        pytest.param("{{distributed t}}", "must be {{distributed TABLE by KEY}}", id="no key"),
    ],
)
def test_what_a_cluster_cannot_have_is_refused_there(statement: str, reason: str) -> None:
    with pytest.raises(PlaceholderError, match=reason):
        to_cluster_sql(statement, CLUSTER)


def test_a_name_is_quoted_where_it_is_a_text() -> None:
    (table,) = to_cluster_sql("{{distributed t by a}}", Cluster("it's", "calls"))
    assert table == "Distributed('it\\'s', 'calls', 't_local', sipHash64(a))"


# --- the files


def test_every_statement_but_an_insert_is_run_on_every_host() -> None:
    for statement in [*OF_MIGRATIONS, *OF_VIEWS]:
        expected = 0 if statement.startswith("INSERT INTO ") else 1
        assert statement.count(ON_CLUSTER) == expected, statement[:80]
        assert "ON CLUSTER" not in statement, statement[:80]


def test_every_statement_about_a_table_says_which_table_of_a_cluster_it_means() -> None:
    """Without that it would be right on one server, and wrong on a cluster only."""
    one_or_both = r"\{\{(local|both|everywhere) \w+\}\}"
    above = r"\w+ \{\{on_cluster\}\} AS \{\{local \w+\}\}\nENGINE = \{\{distributed "
    for statement in OF_MIGRATIONS:
        match = re.match(r"(CREATE|ALTER|DROP) TABLE (IF (NOT )?EXISTS )?(.*)", statement, re.DOTALL)
        assert match is None or re.match(f"{one_or_both}|{above}", match[4]), statement[:80]
        if statement.startswith("CREATE TABLE"):
            assert re.search(r"^ENGINE = \{\{(engine|distributed) ", statement, re.MULTILINE), statement[:80]


@pytest.mark.parametrize("command", ["ADD COLUMN", "DROP COLUMN", "MODIFY COLUMN", "RENAME COLUMN", "COMMENT COLUMN"])
def test_a_column_that_people_see_changes_in_both_tables(command: str) -> None:
    for statement in OF_MIGRATIONS:
        if statement.startswith("ALTER TABLE") and command in statement:
            assert statement.startswith(("ALTER TABLE {{both ", "ALTER TABLE {{everywhere ")), statement[:80]
            assert not re.search(r"(?<!stored )CODEC\(", statement), "a codec is for {{stored …}} alone"


def tables() -> dict[str, tuple[str, str]]:
    """Table of a shard → how it is made there, and the statement of the table above it."""
    below, above = {}, {}
    for statement in OF_MIGRATIONS:
        if match := re.match(r"CREATE TABLE IF NOT EXISTS \{\{local (\w+)\}\}", statement):
            below[match[1]] = statement
        elif match := re.match(r"CREATE TABLE IF NOT EXISTS (\w+) ", statement):
            above[match[1]] = statement
    assert below.keys() == above.keys()
    assert len(below) > 9
    return {name: (below[name], above[name]) for name in below}


@pytest.mark.parametrize(("name", "below", "above"), [(name, *both) for name, both in tables().items()])
def test_versions_of_a_row_share_a_shard_and_so_do_the_rows_of_a_call(name: str, below: str, above: str) -> None:
    match = re.search(r"ENGINE = \{\{distributed (\w+) by (.+)\}\}", above)
    assert match
    sorted_by = re.search(r"^ORDER BY \(?(.+?)\)?$", below, re.MULTILINE)
    assert sorted_by
    assert match[1] == name
    assert f" AS {{{{local {name}}}}}\n" in above
    by_call = {"tenant_id", "call_id"} <= set(sorted_by[1].split(", "))
    assert match[2] == ("tenant_id, call_id" if by_call else sorted_by[1])


@pytest.mark.parametrize(("name", "below", "above"), [(name, *both) for name, both in tables().items()])
def test_the_table_above_says_what_the_table_is_for(name: str, below: str, above: str) -> None:
    comments = [re.findall(r"^COMMENT '.+'$", statement, re.MULTILINE) for statement in (below, above)]
    assert comments[0] == comments[1], name
    assert len(comments[0]) == 1


def test_a_materialised_view_makes_each_row_of_one_row_of_one_table_of_its_shard() -> None:
    """One that counts would count deliveries, and on each shard for itself."""
    made = [statement for statement in OF_MIGRATIONS if statement.startswith("CREATE MATERIALIZED VIEW")]
    assert made
    for statement in made:
        assert re.search(r"\{\{on_cluster\}\} TO \{\{local \w+\}\}\n", statement)
        assert re.findall(r"\bFROM (.+)", statement) == re.findall(r"\bFROM (\{\{local \w+\}\})$", statement, re.M)
        assert {"tenant_id", "call_id"} <= set(re.findall(r"\w+", statement))
        assert not re.search(r"\b(GROUP|JOIN|DISTINCT|FINAL|REFRESH|POPULATE)\b", statement)


def test_no_migration_reads_a_view_because_views_are_made_after_all_of_them() -> None:
    views = "|".join(load_views())
    for statement in OF_MIGRATIONS:
        assert not re.search(rf"\b(FROM|JOIN|TABLE) ({views})\b", statement), statement[:80]
