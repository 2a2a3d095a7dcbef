"""The migrations on a cluster: every statement parses, and on two shards the views show what one server shows.

The embedded engine has no Keeper, so it can run neither `ON CLUSTER` nor a table that is replicated. Here the
statements are brought to each host as the servers of a cluster would do it, and the tables of a shard have one copy.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from processors.clickhouse.rows import (
    ALERT_DELIVERIES,
    ALERTS,
    CALLS,
    DEAD_LETTERS,
    OUTCOMES,
    RULE_PACKS,
    RULES,
    TRANSCRIPTS,
)
from schemas.clickhouse.cluster import Cluster, to_sql
from schemas.clickhouse.migrations import load_migrations, split_statements
from schemas.errors import OperatorError
from streams.adapters.clickhouse.connection import ClickHouseAddress, connect
from streams.adapters.clickhouse.errors import ClickHouseRefusedError, ClickHouseSchemaError
from streams.adapters.clickhouse.migrate import migrate, preparing_statements, statements_of, views_of
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.settings import Settings
from tests.integration.test_clickhouse import VIEWS, Store, as_one_batch, content, deliveries_at_random
from tests.streams.cli.terminal import Terminal
from tests.support.clickhouse_engine import CLUSTER, RunningEngine, running_cluster, running_engine

pytestmark = pytest.mark.embedded

KEYS = {
    CALLS: "tenant_id, call_id",
    TRANSCRIPTS: "tenant_id, call_id",
    OUTCOMES: "tenant_id, call_id",
    DEAD_LETTERS: "dead_letter_id",
    ALERTS: "alert_id",
    ALERT_DELIVERIES: "tenant_id, alert_id, subscriber, at, attempt, outcome",
    RULE_PACKS: "ifNull(tenant_id, ''), pack, pack_version",
    RULES: "ifNull(tenant_id, ''), pack, pack_version, rule_id",
}
"""Table → what its versions of one row have in common."""


def statements(database: str) -> list[str]:
    """Everything that `migrate` runs on the cluster, the table of migrations included."""
    url = f"http://127.0.0.1:1/{database}"
    every = list(preparing_statements(url, CLUSTER))
    for migration in load_migrations():
        every += statements_of(migration, database, CLUSTER)
    return [*every, *views(url).values()]


def views(url: str) -> dict[str, str]:
    """Every view on the cluster."""
    made = views_of(Settings.model_validate({"clickhouse_url": url}))
    database = ClickHouseAddress.parse(url).database
    return {name: to_sql((view,), Cluster(CLUSTER, database))[0] for name, view in made.items()}


def on_one_host(statement: str) -> str:
    """The statement as a host gets it, for a table that has one copy."""
    cluster = Cluster(CLUSTER, "callstream")
    assert cluster.on in statement or statement.startswith("INSERT")
    replicated, _, rest = statement.replace(f" {cluster.on}", "").partition("Replicated")
    return replicated + re.sub(r"\('/clickhouse/tables/[^']+', '[^']+'(?:\)|, (?=\w+\)))", _arguments, rest)


def _arguments(found: re.Match[str]) -> str:
    return "" if found[0].endswith(")") else "("


@dataclass
class Pair:
    """The two hosts of a cluster, with all tables."""

    hosts: tuple[Store, Store]

    def local_rows(self, query: str) -> list[list[Sequence[object]]]:
        return [host.rows(query) for host in self.hosts]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningEngine, RunningEngine]]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def pair(engines: tuple[RunningEngine, RunningEngine]) -> Iterator[Pair]:
    create, *rest = statements("callstream")
    for engine in engines:
        system = connect(engine.url("default"))
        system.command("DROP DATABASE IF EXISTS callstream SYNC")
        system.command(on_one_host(create))
        system.close()
    clients: list[Client] = [connect(engine.url()) for engine in engines]
    for statement in [*rest, *rest]:  # each statement can be run again
        for client in clients if "ON CLUSTER" in statement else clients[:1]:
            client.command(on_one_host(statement))
    one, two = (Store(e.url(), c, ClickHouseSink(c)) for e, c in zip(engines, clients, strict=True))
    yield Pair((one, two))
    for client in clients:
        client.close()


def test_every_statement_parses(engines: tuple[RunningEngine, RunningEngine]) -> None:
    client = connect(engines[0].url("default"))
    for statement in statements("callstream"):
        formatted = client.query("SELECT formatQuery({query:String})", parameters={"query": statement})
        assert f"ON CLUSTER {CLUSTER}" in formatted.result_rows[0][0] or statement.startswith("INSERT")
    client.close()


def test_the_replicated_tables_can_be_made(tmp_path: Path) -> None:
    """On a coordination service that only pretends; nothing can be written there."""
    engine = RunningEngine(tmp_path)
    engine.configure(
        "config.d",
        "<zookeeper><implementation>testkeeper</implementation></zookeeper>"
        "<macros><shard>1</shard><replica>1</replica></macros>",
    )
    try:
        engine.start()
        client = connect(engine.url("default"))
        client.command("CREATE DATABASE callstream")
        client.close()
        client = connect(engine.url())
        made = [s for s in statements("callstream") if s.startswith("CREATE TABLE") and "Replicated" in s]
        for statement in made:
            client.command(statement.replace(f" ON CLUSTER '{CLUSTER}'", ""))
        engines_of = client.query("SELECT DISTINCT engine FROM system.tables WHERE database = 'callstream'").result_rows
        assert all(name.startswith("Replicated") for (name,) in engines_of)
        distributed = sum("ENGINE = Distributed(" in statement for statement in statements("callstream"))
        assert len(made) == distributed + 4, "and four that every host has whole"
        client.close()
    finally:
        if engine.process is not None:
            engine.process.kill()
            engine.process.wait()


def test_what_is_delivered_again_by_any_host_shows_what_one_server_shows(pair: Pair, tmp_path: Path) -> None:
    chance = random.Random(7)
    every = deliveries_at_random(chance)
    with running_engine(tmp_path) as single:
        migrate(single.url())
        client = connect(single.url())
        alone = Store(single.url(), client, ClickHouseSink(client))
        for rows in every:
            alone.sink.write(rows)
        expected = content(alone)
        client.close()
    repeated = [rows for rows in every for _ in range(chance.randint(1, 3))]
    chance.shuffle(repeated)
    while repeated:
        size = chance.randint(1, 40)
        chance.choice(pair.hosts).sink.write(as_one_batch(repeated[:size]))
        del repeated[:size]
    assert {view for view in set(VIEWS) - {"purges"} if not expected[view]} == set(), "no message writes that one"
    for host in pair.hosts:
        assert content(host) == expected


def test_all_versions_of_a_row_lie_on_one_shard_and_so_does_a_call(pair: Pair) -> None:
    for rows in deliveries_at_random(random.Random(8)):
        pair.hosts[0].sink.write(rows)
    for table, key in KEYS.items():
        shards = [set(rows) for rows in pair.local_rows(f"SELECT DISTINCT {key} FROM {table}_local")]  # noqa: S608
        assert shards[0] & shards[1] == set(), table
        assert shards[0] | shards[1], table
    of_calls = (f"SELECT tenant_id, call_id FROM {table}_local" for table in (CALLS, TRANSCRIPTS, OUTCOMES))  # noqa: S608
    calls = [set(rows) for rows in pair.local_rows(" UNION ALL ".join(of_calls))]
    assert calls[0] & calls[1] == set()
    assert all(len(shard) > 5 for shard in calls)


def test_a_table_says_the_same_of_its_columns_above_as_below(pair: Pair) -> None:
    query = (
        "SELECT name, type, comment FROM system.columns "
        "WHERE database = currentDatabase() AND table = {table:String} ORDER BY position"
    )
    client = pair.hosts[1].client
    for table in KEYS:
        above, below = (
            client.query(query, parameters={"table": name}).result_rows for name in (table, f"{table}_local")
        )
        assert above == below, table
        assert above
    silent = pair.hosts[0].rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = '' "
        "UNION ALL SELECT name FROM system.columns WHERE database = currentDatabase() AND comment = ''"
    )
    assert silent == []


def test_migrating_says_on_cluster_to_the_server(engines: tuple[RunningEngine, RunningEngine]) -> None:
    """The engine refuses exactly that, which shows that it was asked."""
    with pytest.raises(ClickHouseRefusedError, match=r"creating the database: .*Replicated DDL queries are disabled"):
        migrate(engines[0].url("spread"), cluster=CLUSTER)


def test_a_database_for_one_server_is_not_spread_and_one_that_is_spread_not_taken_for_one(
    pair: Pair, engines: tuple[RunningEngine, RunningEngine]
) -> None:
    migrate(engines[0].url("alone"))
    with pytest.raises(ClickHouseSchemaError, match=r"made for one server, .* says a cluster"):
        migrate(engines[0].url("alone"), cluster=CLUSTER)
    with pytest.raises(ClickHouseSchemaError, match=r"made for a cluster, .* says one server"):
        migrate(pair.hosts[0].url)


def test_a_shard_that_is_down_is_waited_for(pair: Pair, engines: tuple[RunningEngine, RunningEngine]) -> None:
    chance = random.Random(9)
    engines[1].stop()
    try:
        with pytest.raises(Exception, match="ClickHouse") as refused:
            pair.hosts[0].sink.write(as_one_batch(deliveries_at_random(chance)))
        assert not isinstance(refused.value, OperatorError | DatabaseError)
    finally:
        engines[1].start()


def but_for_the_key(text: str) -> str:
    """Without the key of pseudonyms, which is another one whenever it is made."""
    return re.sub("MATERIALIZED '[0-9a-f]{64}'", "MATERIALIZED 'a key'", text)


class TestPrint:
    @pytest.fixture
    def terminal(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        engines: tuple[RunningEngine, RunningEngine],
    ) -> Terminal:
        terminal = Terminal(tmp_path, monkeypatch, capsys)
        terminal.set(clickhouse_url=engines[0].url("printed"))
        return terminal

    def test_it_shows_every_statement_that_would_run_and_runs_none(self, terminal: Terminal) -> None:
        shown = terminal.run("migrate", "--print", "--cluster", CLUSTER)
        assert shown.code == 0
        assert [but_for_the_key(each) for each in split_statements(shown.out)] == [
            but_for_the_key(each) for each in statements("printed")
        ]
        assert [line for line in shown.out.splitlines() if line.startswith("-- ")] == [
            *(f"-- {migration.name}" for migration in load_migrations()),
            *(f"-- view {name}" for name in views("http://127.0.0.1:1/printed")),
        ]
        again = terminal.run("migrate", "--print", "--cluster", CLUSTER).out
        assert but_for_the_key(again) == but_for_the_key(shown.out)
        assert again != shown.out

    def test_the_setting_says_the_same_as_the_option(self, terminal: Terminal) -> None:
        shown = but_for_the_key(terminal.run("migrate", "--print", "--cluster", CLUSTER).out)
        terminal.set(clickhouse_cluster=CLUSTER)
        assert but_for_the_key(terminal.run("migrate", "--print").out) == shown
        assert "ON CLUSTER" not in terminal.run("migrate", "--print", "--cluster", "").out

    def test_a_cluster_is_migrated_by_the_setting_alone(self, terminal: Terminal) -> None:
        ended = terminal.run("migrate", "--cluster", CLUSTER)
        assert ended.code == 2
        assert "CALLSTREAM_CLICKHOUSE_CLUSTER" in ended.err

    def test_migrating_with_the_setting_asks_the_servers_for_the_cluster(self, terminal: Terminal) -> None:
        terminal.set(clickhouse_cluster=CLUSTER)
        ended = terminal.run("migrate")
        assert ended.code == 3
        assert "Replicated DDL queries are disabled" in ended.err
