"""What tenants have used, month by month, counted once however often it was delivered (R93)."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_analysis, rows_for_custody_changed, rows_for_recording_accessed
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.recording_accessed import RecordingAccessed
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.queries.meters import Meters, as_csv, meters_of
from tests.streams.cli.terminal import Terminal
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import an_event, judged

pytestmark = pytest.mark.embedded

JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, number, 1) for number in range(1, 5))


def at(month: int, day: int = 10) -> datetime:
    return datetime(2026, month, day, 4, tzinfo=UTC)


def custody(kind: Any, when: datetime, **fields: Any) -> dict[str, Any]:
    event = CustodyChanged.of(kind, tenant_id="acme", actor="x", at=when, **fields)
    rows: dict[str, Any] = rows_for_custody_changed(event)
    return rows


def accessed(action: Any, when: datetime, call_id: str | None = None, refusal: str | None = None) -> dict[str, Any]:
    line = RecordingAccessed.of(
        tenant_id="acme",
        user_id="ann",
        user_role="inspector",
        action=action,
        call_id=call_id,
        client="api",
        accessed_at=when,
        refusal=refusal,
    )
    rows: dict[str, Any] = rows_for_recording_accessed(line)
    return rows


@pytest.fixture(scope="module")
def url(engine: RunningEngine) -> str:
    url = engine.url(f"meters_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    sink = ClickHouseSink(client)
    for call_id, month, tenant in (("c1", 1, "acme"), ("c2", 1, "acme"), ("c3", 3, "acme"), ("c1", 1, "bank")):
        for version in (1, 2):  # judged twice, counted once
            sink.write(rows_for_analysis(judged(an_event(call_id, at(month), tenant_id=tenant), version=version)))
    for _ in range(2):  # delivered twice
        sink.write(custody("intake_announced", at(1), call_id="c1", content_bytes=100))
        sink.write(custody("intake_announced", at(1), call_id="c2", content_bytes=50))
        sink.write(custody("intake_announced", at(3), call_id="c3", content_bytes=7))
        sink.write(custody("export_download_begun", at(3), export_id="x1", count=2))
        sink.write(custody("export_download_ended", at(3), export_id="x1", count=2, content_bytes=900))
        sink.write(accessed("searched", at(3)))
        sink.write(accessed("listened", at(3), "c3"))
        sink.write(accessed("listened", at(3), "c2", refusal="not_granted"))
        sink.write(accessed("viewed_transcript", at(3), "c3"))
    gone = f"UPDATE purged_at = '{at(3, 20):%Y-%m-%d %H:%M:%S}' WHERE tenant_id = 'acme' AND call_id = 'c1'"
    client.command(f"ALTER TABLE call_versions {gone} SETTINGS mutations_sync = 2")
    # At the end of a month in Shanghai, not in UTC.
    sink.write(accessed("searched", datetime(2026, 3, 31, 17, tzinfo=UTC)))
    client.close()
    return url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    client = connect(url)
    yield client
    client.close()


SIZE = an_event("c1", at(1)).audio.bytes
MINUTES = 4.0


def of(client: Client, month: date) -> Meters:
    (one,) = meters_of(client, month, "acme")
    return one


def test_everything_is_counted_once_in_its_month(client: Client) -> None:
    assert of(client, JANUARY) == Meters("acme", JANUARY, 2, 150, 2 * SIZE, 2, 2 * MINUTES, 0, 0, 0, 0, 0, 0)
    assert of(client, MARCH) == Meters("acme", MARCH, 1, 7, 2 * SIZE, 1, MINUTES, 1, 1, 1, 1, 2, 900)
    assert of(client, APRIL).searches == 1


def test_what_is_stored_is_told_of_a_month_in_which_nothing_happened(client: Client) -> None:
    february = of(client, FEBRUARY)
    assert (february.recordings_taken_in, february.stored_bytes) == (0, 2 * SIZE)


def test_a_recording_that_was_destroyed_is_stored_no_longer(client: Client) -> None:
    assert of(client, MARCH).stored_bytes == of(client, APRIL).stored_bytes == 2 * SIZE  # one came, one went


def test_each_tenant_has_its_own(client: Client) -> None:
    assert [each.tenant_id for each in meters_of(client, JANUARY)] == ["acme", "bank"]
    assert meters_of(client, JANUARY - timedelta(days=1)) == []


def test_the_command_prints_and_writes_them(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    terminal.set(clickhouse_url=url)
    assert "acme" in terminal.run("meters", "--month", "2026-03").out
    assert terminal.run("meters", "--month", "2026-03", "--csv", "meters.csv").code == 0
    lines = (tmp_path / "meters.csv").read_text().splitlines()
    assert lines[0].startswith("tenant_id,month,recordings_taken_in,taken_in_bytes,stored_bytes")
    assert lines[1] == f"acme,2026-03,1,7,{2 * SIZE},1,4.0,1,1,1,1,2,900"
    assert terminal.run("meters", "--month", "2026-3").code == 2
    assert as_csv([]).count("\n") == 1
