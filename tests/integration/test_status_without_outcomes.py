"""`callstream status --no-outcomes`: for probes, which need no count of all calls that there ever were."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processors.clickhouse.rows import OUTCOMES
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.ports import SystemClock
from streams.queries.status import pipeline_status
from streams.settings import Settings

pytestmark = pytest.mark.embedded

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("with_outcomes", [True, False])
def test_status_counts_how_all_calls_ended_only_where_it_is_to(
    new_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_outcomes: bool
) -> None:
    monkeypatch.setattr("streams.queries.status.stage_lags", lambda *_: [])
    monkeypatch.setattr("streams.queries.status.audio_waiting", lambda _: {})
    monkeypatch.setattr("streams.queries.status.write_canary", lambda _: None)
    url = new_database()
    with closing(connect(url)) as client:
        event = {"tenant_id": "acme", "call_id": "c-1", "outcome": "pending", "reason": "", "since": NOW, "version": 0}
        ClickHouseSink(client).write({OUTCOMES: [{**event, "ended_at": NOW}]})
    found = pipeline_status(Settings(clickhouse_url=url, data_dir=tmp_path), SystemClock(), with_outcomes=with_outcomes)
    assert found.unaccounted == 1
    assert found.outcomes == ({"pending": 1} if with_outcomes else None)
    assert "1 without outcome for too long" in found.summary()
