"""Databases of before, while views stood in the migrations, become what a new one is, and lose nothing."""

import random
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import CALLS, CUSTODY_EVENTS, EXCHANGE_CALLS, FACTS, RULES, VERDICTS, TableRows
from schemas.clickhouse.migrations import load_migrations
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate, missing_migrations, views_of
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.settings import Settings
from tests.integration.test_clickhouse import VIEWS as READ
from tests.integration.test_clickhouse import Store, content, deliveries_at_random
from tests.support.clickhouse_engine import RunningEngine
from tests.support.stored_calls import LATER_OF_LETTERS, as_before_migration_16

pytestmark = pytest.mark.embedded

FORMER = load_migrations(Path(__file__).parents[1] / "data" / "migrations_with_views")
"""As they were applied before views had files of their own."""
VIEWS = views_of(Settings())


def definitions(client: Client) -> dict[str, tuple[object, ...]]:
    """Name → what the server knows of each table and view, and of its columns (none of a view with parameters)."""
    tables = client.query(
        # Each database has a key of its own for pseudonyms.
        "SELECT name, replaceRegexpAll(replaceAll(create_table_query, currentDatabase(), 'database'), "
        "'[0-9a-f]{64}', 'key'), comment "
        "FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    columns = client.query(
        "SELECT table, groupArray((name, type, comment, default_kind, "
        "replaceRegexpAll(default_expression, '[0-9a-f]{64}', 'key'), compression_codec)) "
        "FROM (SELECT * FROM system.columns WHERE database = currentDatabase() ORDER BY table, position) GROUP BY table"
    ).result_rows
    columns_of: dict[str, object] = {row[0]: row[1] for row in columns}
    return {name: (create, comment, columns_of.get(name)) for name, create, comment in tables}


@pytest.fixture(scope="module")
def of_a_new_database(engine: RunningEngine) -> dict[str, tuple[object, ...]]:
    url = engine.url(f"test_{uuid4().hex}")
    assert migrate(url, views=VIEWS) == list(load_migrations())
    client = connect(url)
    made = definitions(client)
    client.close()
    assert made.keys() >= VIEWS.keys()
    return made


@pytest.mark.parametrize("applied", [0, 1, 6, 13, 14])
def test_a_database_of_any_former_migration_becomes_what_a_new_one_is(
    applied: int, engine: RunningEngine, of_a_new_database: dict[str, tuple[object, ...]]
) -> None:
    url = engine.url(f"test_{uuid4().hex}")
    migrate(url, FORMER[:applied], views={})
    assert missing_migrations(url) == list(load_migrations()[applied:])
    assert migrate(url, views=VIEWS) == list(load_migrations()[applied:])
    assert missing_migrations(url) == []
    client = connect(url)
    assert definitions(client) == of_a_new_database
    remembered = client.query("SELECT sha256 FROM schema_migrations FINAL ORDER BY number").result_rows
    client.close()
    expected = [*FORMER[:applied], *load_migrations()[applied:]]
    assert [sha256 for (sha256,) in remembered] == [migration.sha256 for migration in expected]


def found_by_rules(rows: TableRows) -> TableRows:
    """As before there was reading: every finding is one of a rule."""
    of_rules = {"findings.detector": "sensitive_words", "findings.category": "promise"}
    return {
        table: [
            row | {name: [value] * len(cast("list[str]", row[name])) for name, value in of_rules.items()}
            for row in each
        ]
        if table == CALLS
        else each
        for table, each in rows.items()
    }


NEW_TABLES = (VERDICTS, CUSTODY_EVENTS, EXCHANGE_CALLS, FACTS, RULES)
NEW_VIEWS = (
    *("suspicions", "selected_calls", "verdicts", "rule_precision"),
    *("calls_with_customers", "own_calls", "whole_calls"),
    *("custody_events", "exchange_calls", "captures", "purges", "meters"),
    *("contact_chains", "facts", "call_facts"),
)


def test_rows_of_before_show_as_they_did(engine: RunningEngine) -> None:
    url = engine.url(f"test_{uuid4().hex}")
    migrate(url, FORMER, views={})
    client = connect(url)
    store = Store(url, client, ClickHouseSink(client))
    for rows in deliveries_at_random(random.Random(11)):
        of_then = {table: each for table, each in found_by_rules(rows).items() if table not in NEW_TABLES}
        store.sink.write(as_before_migration_16(of_then))
    views = [view for view in READ if view not in NEW_VIEWS]
    before = content(store, views=views)
    assert sum(map(len, before.values())) > 100
    assert {migration.number for migration in migrate(url, views=VIEWS)}.isdisjoint(one.number for one in FORMER)
    gained = (
        "day",
        "ended_local",
        "raised_local",
        "response_delays_ms",
        "reading",
        "selected",
        "triggers",
        "roles_doubtful",
        *("purged_at", "call_url", "customer_pseudonym", "nature", "source"),
        *("initial_call_id", "previous_call_id", "related_call_ids", "transferred_to"),
        *("hold_ms", "queue_wait_ms", "after_call_work_ms", "disconnected_by"),
        *("state", *(name for name in LATER_OF_LETTERS if name != "handled_by")),  # of a call it tells who handled that
    )
    now = content(store, without=gained, views=["whole_calls" if view == "calls" else view for view in views])
    assert now | {"calls": now["whole_calls"]} == before | {"whole_calls": before["calls"]}, (
        "calls withholds some by now"
    )
    assert {tuple(row["response_delays_ms"]) for row in store.all("calls")} == {()}
    assert {(row["selected"], *row["triggers"]) for row in store.all("calls")} == {(None,)}, "not known, not false"
    client.close()


def test_a_view_that_somebody_changed_or_dropped_is_made_anew(engine: RunningEngine) -> None:
    url = engine.url(f"test_{uuid4().hex}")
    migrate(url, views=VIEWS)
    client = connect(url)
    before = definitions(client)
    client.command("CREATE OR REPLACE VIEW calls AS SELECT 1 AS nothing")
    client.command("DROP VIEW kpi_daily")
    assert definitions(client) != before
    assert migrate(url, views=VIEWS) == []
    assert definitions(client) == before
    client.close()
