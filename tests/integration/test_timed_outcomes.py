"""What is asked every minute of outcomes: right by the last days, and no more of it is read when history grows."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import MISSING_RECORDINGS, OUTCOMES, rows_for_call_ended
from schemas.clickhouse.migrations import load_migrations
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.status import Unaccounted, calls_per_minute, count_unaccounted, outcome_counts
from streams.ports import SystemClock
from streams.queries.data_checks import CheckLimits, run_checks
from streams.queries.status import pipeline_status, status_tables
from streams.settings import Settings
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import an_event

pytestmark = pytest.mark.embedded

NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=8)
ANALYZED = 10**13
GRANULE = 1_024
"""Rows of timed_outcome_versions that are read together."""
Row = dict[str, object]


@pytest.fixture
def client(new_database: Callable[[], str]) -> Iterator[Client]:
    with closing(connect(new_database())) as client:
        yield client


def row(call_id: str, outcome: str, since: datetime, *, ended: datetime | None, version: int = 0) -> Row:
    reason = "" if outcome == "pending" else "heard"
    known = {"tenant_id": "acme", "call_id": call_id, "outcome": outcome, "reason": reason}
    return {**known, "ended_at": ended, "since": since, "version": version}


def write(client: Client, *rows: Row) -> None:
    ClickHouseSink(client).write({OUTCOMES: rows})


def unaccounted(client: Client, *, since: datetime = SINCE) -> Unaccounted:
    return count_unaccounted(client, older_than_s=900, since=since, now=NOW)


def test_it_is_what_the_views_show_of_the_last_days_in_whatever_order_rows_came(client: Client) -> None:
    """One part for each insert, merged halfway, so that what replaces each other lies apart and together."""
    chance = random.Random(17)
    for batch in range(30):
        write(client, *(each for _ in range(40) for each in a_row_of(chance)))
        if batch == 15:
            client.command("OPTIMIZE TABLE timed_outcome_versions FINAL")
        if batch % 5 == 0:
            compare_with_views(client)
    compare_with_views(client)
    client.command("OPTIMIZE TABLE timed_outcome_versions FINAL")
    compare_with_views(client)
    assert unaccounted(client).calls > 20
    assert set(outcome_counts(client, since=SINCE)) == {"pending", "analyzed", "refused", "purged"}


def a_row_of(chance: random.Random) -> Iterator[Row]:
    """Something of one of a thousand calls. What ended 30 days ago was announced then or now; what is decided, is
    decided later than what it replaces."""
    number = chance.randrange(1_000)
    ended = NOW - timedelta(days=30) + timedelta(minutes=number * 43)
    announced = ended + timedelta(minutes=1) if number % 3 else SINCE + timedelta(minutes=number)
    later = announced + timedelta(minutes=chance.randrange(1, 60))
    match (number * 7) % 11:
        case 0 | 1 | 2:
            yield row(f"c-{number}", "pending", announced, ended=ended)
        case 3:
            yield row(f"c-{number}", "pending", announced, ended=None)
        case 4 | 5:
            yield row(f"c-{number}", "pending", announced, ended=ended if number % 2 else None)
            if chance.random() < 0.5:
                yield row(f"c-{number}", "refused", later, ended=None, version=1)
        case 6:
            yield row(f"c-{number}", "pending", announced, ended=ended)
            yield row(f"c-{number}", "purged", announced + timedelta(hours=1), ended=ended, version=2)
        case _:
            if chance.random() < 0.8:
                yield row(f"c-{number}", "pending", announced, ended=ended)
            else:
                yield row(f"c-{number}", "analyzed", later, ended=ended, version=ANALYZED + chance.randrange(3))


def compare_with_views(client: Client) -> None:
    for days in (2, 8, 15, 40):
        since = NOW - timedelta(days=days)
        ms = {"since": int(since.timestamp() * 1000), "before": int(NOW.timestamp() * 1000) - 900_000}
        recent = "since >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
        query = f"SELECT outcome, count() FROM outcomes WHERE {recent} GROUP BY outcome"  # noqa: S608
        shown = {row[0]: row[1] for row in client.query(query, parameters=ms).result_rows}
        assert outcome_counts(client, since=since) == shown
        query = f"SELECT count(), minOrNull(since) FROM unaccounted WHERE {recent} AND since < fromUnixTimestamp64Milli({{before:Int64}}, 'UTC')"  # noqa: S608, E501
        assert unaccounted(client, since=since) == Unaccounted(*client.query(query, parameters=ms).result_rows[0])


def test_ten_times_the_history_is_not_read(client: Client) -> None:
    fill(client, days_ago=range(0, 20), calls=2_000)
    of_twenty_days = rows_read(client)
    fill(client, days_ago=range(20, 200), calls=2_000)
    fill(client, days_ago=range(200, 201), calls=2_000, is_pending=True)
    of_all = rows_read(client)
    assert all(now <= before + GRANULE for now, before in zip(of_all, of_twenty_days, strict=True))
    assert max(of_all) < 24 * GRANULE, "of 402,000 calls, 18,000 of them of the last eight days"


def fill(client: Client, *, days_ago: Sequence[int], calls: int, is_pending: bool = False) -> None:
    """So many calls a day, an hour before the moment that is asked for, the first of them without outcome."""
    insert = f"INSERT INTO {OUTCOMES} (tenant_id, call_id, outcome, reason, ended_at, since, version) SELECT 'acme', "
    for day in days_ago:
        last_ms = int((NOW - timedelta(days=day, hours=1)).timestamp() * 1000)
        call_id = f"lower(hex(cityHash64(number, {day}))), "
        ended = f"fromUnixTimestamp64Milli({last_ms} - number * 100, 'UTC') AS ended, "
        client.command(f"{insert}{call_id} 'pending', '', {ended} ended, 0 FROM numbers({calls})")
        if not is_pending:
            analyzed = f"'analyzed', 'heard', {ended} ended + INTERVAL 1 MINUTE, {ANALYZED}"
            client.command(f"{insert}{call_id} {analyzed} FROM numbers(1, {calls - 1})")
    client.command("OPTIMIZE TABLE timed_outcome_versions FINAL")


def rows_read(client: Client) -> list[int]:
    """By each question."""

    def so_far() -> int:
        query = "SELECT sum(value) FROM system.events WHERE event = 'SelectedRows'"
        return int(client.query(query).result_rows[0][0])

    overhead = -so_far() + so_far()
    read = []
    for ask in (
        lambda: outcome_counts(client, since=SINCE),
        lambda: unaccounted(client),
        lambda: calls_per_minute(client, now=NOW, minutes=5),
    ):
        before = so_far()
        ask()
        read.append(so_far() - before - overhead)
    return read


def test_what_comes_late_for_an_old_call_is_not_lost_and_an_event_that_comes_again_is_no_new_call(
    client: Client,
) -> None:
    old, recent = NOW - timedelta(days=60), NOW - timedelta(hours=2)
    for name in ("late", "waits", "again"):
        write(client, row(name, "pending", old, ended=old))
    write(client, row("again", "analyzed", old + timedelta(hours=1), ended=old, version=ANALYZED))
    client.command("OPTIMIZE TABLE timed_outcome_versions FINAL")
    write(client, row("late", "analyzed", NOW - timedelta(minutes=2), ended=old, version=ANALYZED))
    write(client, row("again", "pending", recent, ended=old))
    write(client, row("old recording", "pending", recent, ended=old))

    assert outcome_counts(client, since=SINCE) == {"analyzed": 1, "pending": 1}
    assert unaccounted(client) == Unaccounted(1, recent), "the recording of long ago that was announced today"
    assert calls_per_minute(client, now=NOW, minutes=5) == pytest.approx(1 / 5)
    assert client.query("SELECT call_id, outcome FROM outcomes ORDER BY call_id").result_rows == [
        ("again", "analyzed"),
        ("late", "analyzed"),
        ("old recording", "pending"),
        ("waits", "pending"),
    ]
    (found,) = (hit for hit in run_checks(client, CheckLimits(now=NOW)) if hit.check.id == "unaccounted")
    assert found.count == 2, "what status does not look at any more is found here"


def test_a_call_without_a_recording_counts_until_its_event_comes(client: Client) -> None:
    missing = {"tenant_id": "acme", "missing": True, "reason": "not_announced", "found_at": NOW, "version": 1}
    ended = NOW - timedelta(hours=5)
    for name, since in (("c-1", NOW), ("c-2", NOW), ("c-3", NOW - timedelta(days=9))):
        ClickHouseSink(client).write(
            {MISSING_RECORDINGS: [missing | {"call_id": name, "ended_at": ended, "since": since}]}
        )
    assert outcome_counts(client, since=SINCE) == {"not_received": 2}
    write(client, row("c-2", "pending", NOW, ended=ended))
    assert outcome_counts(client, since=SINCE) == {"not_received": 1, "pending": 1}


def test_what_was_stored_before_the_migration_is_there_after_it(engine: RunningEngine) -> None:
    empty_url = engine.url(f"test_{uuid4().hex}")
    migrate(empty_url, tuple(each for each in load_migrations() if each.number < 36), views={})
    with closing(connect(empty_url)) as client:
        for number, outcome in enumerate(("pending", "refused", "analyzed")):
            ended = None if outcome == "refused" else NOW - timedelta(hours=1)
            write(client, row(f"c-{number}", outcome, NOW - timedelta(minutes=30), ended=ended, version=number))
        migrate(empty_url)
        assert outcome_counts(client, since=SINCE) == {"analyzed": 1, "pending": 1, "refused": 1}
        assert unaccounted(client).calls == 1


@pytest.mark.parametrize("with_outcomes", [True, False])
def test_status_says_of_how_many_days_it_speaks_and_counts_how_calls_ended_only_where_it_is_to(
    new_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_outcomes: bool
) -> None:
    monkeypatch.setattr("streams.queries.status.stage_lags", lambda *_: [])
    monkeypatch.setattr("streams.queries.status.audio_waiting", lambda _: {})
    monkeypatch.setattr("streams.queries.status.write_canary", lambda _: None)
    url = new_database()
    now = SystemClock().now()
    with closing(connect(url)) as client:
        for number, age in enumerate((timedelta(hours=1), timedelta(days=2), timedelta(days=4))):
            ClickHouseSink(client).write(rows_for_call_ended(an_event(f"c-{number}", now - age), now - age))
    settings = Settings(clickhouse_url=url, data_dir=tmp_path, status_days=3)
    found = pipeline_status(settings, SystemClock(), with_outcomes=with_outcomes)
    assert found.unaccounted == 2
    assert found.outcomes == ({"pending": 2} if with_outcomes else None)
    assert "of the last 3 days 2 without outcome for too long" in found.summary()
    assert found.as_json()["days"] == 3
    titles = [str(table.title) for table in status_tables(found)]
    assert ("outcomes of the last 3 days" in titles) is with_outcomes
