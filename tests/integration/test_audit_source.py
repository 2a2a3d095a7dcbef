"""What people ask the engine is in its query log, without a word of it; what the workers ask is not."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from streams.adapters.clickhouse.audit_source import ACCESS_DENIED, AskedQuery, ClickHouseAuditSource
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.statements import read_rows
from tests.support.clickhouse_engine import RunningEngine
from tests.support.processes import eventually

pytestmark = pytest.mark.embedded

WORD = "退款投诉"
TECHNICAL = frozenset({"default", "watcher", "callstream"})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine with the database that its analyst may read."""
    engine = RunningEngine(tmp_path_factory.mktemp("engine"))
    engine.start()
    try:
        migrate(engine.url())
        yield engine
    finally:
        engine.stop()


def asked(source: ClickHouseAuditSource, since: datetime, count: int) -> list[AskedQuery]:
    assert eventually(lambda: len(source.queries(since, TECHNICAL)) >= count)
    return list(source.queries(since, TECHNICAL))


def test_what_people_ask_is_told_without_its_words(own: RunningEngine) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    analyst, writer = connect(own.url(user="analyst")), connect(own.url())
    source = ClickHouseAuditSource(own.url())
    assert source.own_account == "callstream"
    analyst.query("SELECT count() FROM calls JOIN findings USING (tenant_id, call_id)")
    analyst.query("SELECT count() FROM transcripts WHERE text LIKE '%退款投诉%'")
    for wrong in (
        "SELECT '退款投诉' FROM call_versions",
        "SELECT throwIf(1, '退款投诉') FROM calls UNION ALL SELECT throwIf(1)",
        "SELEC '退款投诉'",
    ):
        with pytest.raises(ClickHouseError):
            analyst.query(wrong)
    analyst.query("SELECT * FROM search_text(phrase = '退款投诉', first = '2026-03-01', last = '2026-03-31')")
    analyst.query("SELECT 1")
    writer.query("SELECT count() FROM calls WHERE call_id = '退款投诉'")
    found = asked(source, since, 5)
    assert [(each.user, each.error, each.tables) for each in found] == [
        ("analyst", 0, ("calls", "findings")),
        ("analyst", 0, ("transcripts",)),
        ("analyst", ACCESS_DENIED, ()),
        ("analyst", 395, ("calls",)),
        ("analyst", 0, ("search_text",)),
    ]
    assert [each.began for each in found] == [True, True, False, True, True]
    assert all(since <= each.at <= datetime.now(UTC) for each in found)
    assert source.queries(since, TECHNICAL | {"analyst"}) == []
    assert source.queries(found[-1].at, TECHNICAL) == found[-1:]
    kept = read_rows(writer, "the log", "SELECT toString(tuple(* EXCEPT (exception))) FROM system.query_log")
    assert not [row for row in kept if WORD in row[0]]
    assert read_rows(writer, "users", "SELECT DISTINCT user FROM system.query_log") == [("analyst",)]
    source.close()


def test_the_query_log_is_in_memory_alone(own: RunningEngine) -> None:
    with connect(own.url()) as client:
        rows = read_rows(client, "its table", "SELECT engine FROM system.tables WHERE name = 'query_log'")
        assert rows == [("Memory",)]
    time.sleep(1.5)
    assert not [path for path in Path(own.data_dir).rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()]


def test_calls_of_a_day_are_accounted_for_by_tenant_and_outcome(own: RunningEngine) -> None:
    client = connect(own.url())
    client.command(
        "INSERT INTO outcome_versions (tenant_id, call_id, outcome, reason, ended_at, since, version) VALUES "
        "('acme', 'a', 'analyzed', 'ok', '2026-05-01 00:00:00', '2026-05-01 00:00:00', 1),"
        "('acme', 'b', 'analyzed', 'ok', '2026-05-01 23:59:59', '2026-05-02 00:00:00', 1),"
        "('acme', 'c', 'pending', '', NULL, '2026-05-01 12:00:00', 1),"
        "('acme', 'd', 'refused', 'x', '2026-05-02 00:00:00', '2026-05-01 00:00:00', 1),"
        "('globex', 'a', 'too_short', 'x', '2026-05-01 12:00:00', '2026-05-01 00:00:00', 1)"
    )
    source = ClickHouseAuditSource(own.url())
    found = {each.tenant_id: each.outcomes for each in source.account(date(2026, 5, 1))}
    assert found == {"acme": {"analyzed": 2, "pending": 1}, "globex": {"too_short": 1}}
    source.close()
    client.close()
