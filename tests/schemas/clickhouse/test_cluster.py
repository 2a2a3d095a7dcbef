"""What each kind of statement becomes on a cluster, and what is refused."""

import pytest

from schemas.clickhouse.cluster import EVERYWHERE, Cluster, ClusterError
from schemas.clickhouse.migrations import load_migrations

CLUSTER = Cluster("analytics", "calls_db")
ON = "ON CLUSTER 'analytics'"
PATH = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"


def squeezed(statement: str) -> str:
    return " ".join(statement.split())


def said(statement: str) -> list[str]:
    return [squeezed(each) for each in CLUSTER.said(statement)]


def distributed(table: str, key: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {table} {ON} AS {table}_local "
        f"ENGINE = Distributed('analytics', 'calls_db', '{table}_local', {key})"
    )


@pytest.mark.parametrize(
    ("statement", "local", "key"),
    [
        pytest.param(
            "CREATE TABLE IF NOT EXISTS t (tenant_id String, call_id String) ENGINE = ReplacingMergeTree(version) "
            "ORDER BY (tenant_id, ended_at, call_id)",
            f"CREATE TABLE IF NOT EXISTS t_local {ON} (tenant_id String, call_id String) "
            f"ENGINE = ReplicatedReplacingMergeTree({PATH}, version) ORDER BY (tenant_id, ended_at, call_id)",
            "sipHash64(tenant_id, call_id)",
            id="a table whose key knows the call lies by call",
        ),
        pytest.param(
            "create table t (a String) engine=MergeTree order by a settings index_granularity = 8",
            f"create table t_local {ON} (a String) engine=ReplicatedMergeTree({PATH}) order by a "
            "settings index_granularity = 8",
            "sipHash64(a)",
            id="an engine without arguments, a key without brackets",
        ),
        pytest.param(
            "CREATE TABLE t (a String) ENGINE = AggregatingMergeTree() PARTITION BY toYYYYMM(d) "
            "ORDER BY toDate(d) TTL d",
            f"CREATE TABLE t_local {ON} (a String) ENGINE = ReplicatedAggregatingMergeTree({PATH}) "
            "PARTITION BY toYYYYMM(d) ORDER BY toDate(d) TTL d",
            "sipHash64(toDate(d))",
            id="an engine with empty brackets, an expression as key",
        ),
        pytest.param(
            "CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY (ifNull(tenant_id, ''), pack)",
            f"CREATE TABLE t_local {ON} (a String) ENGINE = ReplicatedMergeTree({PATH}) "
            "ORDER BY (ifNull(tenant_id, ''), pack)",
            "sipHash64(ifNull(tenant_id, ''), pack)",
            id="a key without the call lies by the whole key",
        ),
        pytest.param(
            "CREATE TABLE t (a String COMMENT 'ENGINE = MergeTree ORDER BY (b), it''s -- no; engine', "
            "INDEX text_index a TYPE text(tokenizer = ngrams(2)) GRANULARITY 1, "
            "b String MATERIALIZED concat(a, ' AS ')) /* ENGINE = Log */ ENGINE = MergeTree ORDER BY a",
            f"CREATE TABLE t_local {ON} (a String COMMENT 'ENGINE = MergeTree ORDER BY (b), it''s -- no; engine', "
            "INDEX text_index a TYPE text(tokenizer = ngrams(2)) GRANULARITY 1, "
            "b String MATERIALIZED concat(a, ' AS ')) /* ENGINE = Log */ "
            f"ENGINE = ReplicatedMergeTree({PATH}) ORDER BY a",
            "sipHash64(a)",
            id="keywords in texts, comments and brackets are none",
        ),
    ],
)
def test_a_table_is_replicated_below_and_distributed_above(statement: str, local: str, key: str) -> None:
    assert said(statement) == [local, distributed("t", key)]


def test_a_table_of_sums_over_all_calls_is_whole_on_every_host() -> None:
    statement = (
        "CREATE TABLE IF NOT EXISTS kpi_rollup_days (day Date32) ENGINE = ReplacingMergeTree(as_of) ORDER BY day"
    )
    assert said(statement) == [
        f"CREATE TABLE IF NOT EXISTS kpi_rollup_days {ON} (day Date32) ENGINE = "
        "ReplicatedReplacingMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}', as_of) "
        "ORDER BY day"
    ]


def test_every_such_table_is_made_by_a_migration() -> None:
    statements = [statement for migration in load_migrations() for statement in migration.statements]
    for table in EVERYWHERE:
        assert any(statement.startswith(f"CREATE TABLE IF NOT EXISTS {table}\n") for statement in statements)


def test_the_table_above_says_what_the_table_is_for() -> None:
    first, second = said("CREATE TABLE t (a String COMMENT 'x') ENGINE = MergeTree ORDER BY a COMMENT 'It''s this'")
    assert first.endswith("COMMENT 'It''s this'")
    assert second == distributed("t", "sipHash64(a)") + " COMMENT 'It''s this'"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param(
            "CREATE OR REPLACE VIEW v (a String COMMENT 'x') AS SELECT a FROM t FINAL",
            f"CREATE OR REPLACE VIEW v {ON} (a String COMMENT 'x') AS SELECT a FROM t FINAL",  # noqa: S608 - nobody runs it
            id="a view",
        ),
        pytest.param(
            "CREATE VIEW IF NOT EXISTS v AS SELECT a FROM t WHERE d >= {start:DateTime64(3, 'UTC')}",
            f"CREATE VIEW IF NOT EXISTS v {ON} AS SELECT a FROM t WHERE d >= {{start:DateTime64(3, 'UTC')}}",  # noqa: S608
            id="a view with parameters",
        ),
        pytest.param(
            "CREATE DICTIONARY IF NOT EXISTS d (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't')) LAYOUT(FLAT())",
            f"CREATE DICTIONARY IF NOT EXISTS d {ON} (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't')) "
            "LAYOUT(FLAT())",
            id="a dictionary",
        ),
        pytest.param(
            "CREATE FUNCTION IF NOT EXISTS f AS (x) -> x + 1",
            f"CREATE FUNCTION IF NOT EXISTS f {ON} AS (x) -> x + 1",
            id="a function",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS w TO t (tenant_id String COMMENT 'FROM') "
            "AS SELECT tenant_id, call_id, length(text) FROM u",
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS w {ON} TO t_local (tenant_id String COMMENT 'FROM') "  # noqa: S608
            "AS SELECT tenant_id, call_id, length(text) FROM u_local",
            id="rows of a call in another form, on its shard",
        ),
        pytest.param("DROP VIEW IF EXISTS v", f"DROP VIEW IF EXISTS v {ON}", id="a view that goes"),
        pytest.param(
            "ALTER TABLE calls MODIFY SQL SECURITY DEFINER",
            f"ALTER TABLE calls {ON} MODIFY SQL SECURITY DEFINER",
            id="whose rights a view has",
        ),
        pytest.param(
            "ALTER TABLE t ADD INDEX IF NOT EXISTS i (a, b) TYPE minmax, MATERIALIZE INDEX i",
            f"ALTER TABLE t_local {ON} ADD INDEX IF NOT EXISTS i (a, b) TYPE minmax, MATERIALIZE INDEX i",
            id="what lies on the disk is the business of the table there",
        ),
        pytest.param(
            "ALTER TABLE t MATERIALIZE COLUMN a SETTINGS mutations_sync = 2",
            f"ALTER TABLE t_local {ON} MATERIALIZE COLUMN a SETTINGS mutations_sync = 2",
            id="settings stay behind the commands",
        ),
        pytest.param("INSERT INTO t SELECT 1", "INSERT INTO t SELECT 1", id="rows find their shard by themselves"),
    ],
)
def test_what_is_one_statement_there_too(statement: str, expected: str) -> None:
    assert said(statement) == [expected]


def test_a_column_is_added_below_and_then_above_without_what_concerns_the_disk() -> None:
    statement = (
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS `a.b` Array(String) DEFAULT [] COMMENT 'x, y' "
        "CODEC(Delta, ZSTD(1)) AFTER c, ADD INDEX i d TYPE minmax, MODIFY COLUMN e String"
    )
    assert said(statement) == [
        statement.replace("TABLE t ", f"TABLE t_local {ON} "),
        f"ALTER TABLE t {ON} ADD COLUMN IF NOT EXISTS `a.b` Array(String) DEFAULT [] COMMENT 'x, y' AFTER c, "
        "MODIFY COLUMN e String",
    ]


def test_a_table_goes_above_first_and_then_below() -> None:
    assert said("DROP TABLE IF EXISTS `my t` SYNC") == [
        f"DROP TABLE IF EXISTS `my t` {ON} SYNC",
        f"DROP TABLE IF EXISTS `my t_local` {ON} SYNC",
    ]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        pytest.param(
            "CREATE MATERIALIZED VIEW w TO t AS SELECT tenant_id, call_id, count() FROM u GROUP BY tenant_id, call_id",
            "must have TO, and make each row of one row",
            id="a materialised view that counts",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW w ENGINE = MergeTree ORDER BY a AS SELECT tenant_id, call_id FROM u",
            "must have TO",
            id="a materialised view that keeps its rows itself",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW w TO t AS SELECT pack FROM u",
            "tenant_id and call_id included",
            id="a materialised view of what is no call",
        ),
        pytest.param("RENAME TABLE a TO b", "does not know this kind", id="renaming"),
        pytest.param("SYSTEM RELOAD DICTIONARIES", "does not know this kind", id="a command to a server"),
        pytest.param("CREATE TABLE t AS u ENGINE = MergeTree ORDER BY a", "needs its columns", id="a copied table"),
        pytest.param("CREATE TABLE t (a String)", "needs its columns and its ENGINE", id="no engine"),
        pytest.param("CREATE TABLE t (a String) ENGINE = MergeTree", "no ORDER BY", id="no sorting key"),
        pytest.param("CREATE TABLE t (a String) ENGINE = Log", "no replicated form of Log", id="another engine"),
        pytest.param(
            "CREATE TABLE t (a String) ENGINE = ReplicatedMergeTree ORDER BY a",
            "no replicated form of ReplicatedMergeTree",
            id="replicated by hand",
        ),
        pytest.param("CREATE TABLE db.t (a UInt8) ENGINE = MergeTree ORDER BY a", "without a database", id="database"),
        pytest.param("DROP TABLE t ON CLUSTER c", "without ON CLUSTER", id="a cluster by hand"),
        pytest.param("ALTER TABLE t ATTACH PARTITION 1", "does not know this command", id="an unknown command"),
        pytest.param(
            "ALTER TABLE t ADD COLUMN a String, FREEZE",
            "does not know this command",
            id="an unknown command among known",
        ),
        pytest.param("ALTER TABLE t ADD COLUMN a String TTL d + 1", "a TTL of a column", id="a column with a TTL"),
        pytest.param("CREATE TABLE t (a UInt8 ENGINE = MergeTree ORDER BY a", "bracket is left open", id="half a one"),
    ],
)
def test_what_is_refused_says_why(statement: str, reason: str) -> None:
    with pytest.raises(ClusterError, match=reason):
        CLUSTER.said(statement)


def test_a_name_is_quoted_where_it_is_a_text() -> None:
    table = Cluster("it's", "calls").said("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")[1]
    assert "Distributed('it\\'s', 'calls', 't_local', sipHash64(a))" in table


def test_every_migration_can_be_said_to_a_cluster() -> None:
    for migration in load_migrations():
        statements = CLUSTER.statements(migration.statements)
        assert len(statements) >= len(migration.statements)
        assert all(ON in statement or statement.startswith("INSERT") for statement in statements), migration.label
