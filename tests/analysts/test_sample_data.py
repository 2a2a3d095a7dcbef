"""Invented calls come about as real ones do, the same each time, and never among real ones."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from processors.clickhouse.rows import TableRows
from processors.judging.pipeline import Judge
from schemas.messages.outcome import OUTCOMES
from streams.cli.main import app
from streams.demo.sample_data import (
    BATCH_CALLS,
    SAMPLE_TENANT,
    DatabaseInUseError,
    SampleSpan,
    sample_rows,
    write_sample,
)
from tests.analysts.conftest import FROM, SPAN, UNTIL
from tests.support.clickhouse_engine import RunningEngine
from tests.support.shipped_rules import shipped_judge

SMALL = SampleSpan(calls=40, days=20, until=datetime(2026, 3, 31, 16, tzinfo=UTC))


@pytest.fixture(scope="module")
def judge() -> Judge:
    return shipped_judge()


def tables(span: SampleSpan, judge: Judge) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for rows in sample_rows(span, judge):
        for table, some in rows.items():
            found[table].extend(some)
    return found


def test_the_same_seed_and_end_give_the_same_rows_and_another_seed_others(judge: Judge) -> None:
    first = tables(SMALL, judge)
    assert tables(SMALL, judge) == first
    other = tables(SampleSpan(SMALL.calls, SMALL.days, SMALL.until, seed=2), judge)
    assert other["call_versions"] != first["call_versions"]


def test_every_call_lies_within_the_days_and_has_an_event(judge: Judge) -> None:
    found = tables(SMALL, judge)
    events = [row for row in found["outcome_versions"] if row["outcome"] == "pending"]
    assert len({row["call_id"] for row in events}) == SMALL.calls
    ended = [row["ended_at"] for row in events]
    assert SMALL.until - timedelta(days=SMALL.days) <= min(ended) <= max(ended) < SMALL.until
    assert {row["tenant_id"] for rows in found.values() for row in rows} == {SAMPLE_TENANT}


def test_calls_are_written_in_batches() -> None:
    class Sink:
        def __init__(self) -> None:
            self.batches: list[TableRows] = []

        def write(self, rows: Any) -> None:
            self.batches.append(rows)

    sink = Sink()
    span = SampleSpan(calls=BATCH_CALLS + 1, days=3, until=SMALL.until)
    assert list(write_sample(span, sink, ())) == [BATCH_CALLS, BATCH_CALLS + 1]
    assert len(sink.batches) == 2


def by_first(client: Client, query: str) -> dict[str, Any]:
    """First column → second."""
    return {str(key): value for key, value in client.query(query).result_rows}


@pytest.mark.embedded
def test_what_dashboards_show_is_there(analyst: Client) -> None:
    outcomes = by_first(analyst, "SELECT outcome, count() FROM outcomes GROUP BY outcome")
    assert sum(outcomes.values()) == SPAN.calls
    assert set(outcomes) <= {*OUTCOMES, "pending"}
    assert outcomes["pending"] == 3
    assert outcomes["analyzed"] > 0.85 * SPAN.calls
    (row,) = analyst.query(
        "SELECT uniq(agent_team), uniq(industry), countIf(risk_level = 'high'), countIf(isNotNull(csat_score)), "
        "countIf(measures['sensitive_words'] > 0), countIf(measures['repeated_contact'] > 0), uniq(toDate(ended_at)) "
        "FROM calls"
    ).result_rows
    assert row[:2] == (6, 3)
    assert min(row[2:]) > 10
    ((segments, letters, kinds),) = analyst.query(
        "SELECT (SELECT count() FROM segments), (SELECT count() FROM dead_letters), "
        "(SELECT uniqExact(outcome) FROM alert_deliveries)"
    ).result_rows
    assert segments > SPAN.calls
    assert letters >= 1
    assert kinds >= 3


@pytest.mark.embedded
def test_no_detector_fails_on_it(analyst: Client) -> None:
    query = "SELECT reason, count() FROM calls ARRAY JOIN skipped_reasons AS reason GROUP BY reason"
    reasons = by_first(analyst, query)
    assert reasons["not_applicable"] > 0
    assert "detector_failed" not in reasons


@pytest.mark.embedded
def test_experienced_agents_score_better_than_new_ones(analyst: Client) -> None:
    scores = by_first(analyst, "SELECT agent_seniority, avg(score) FROM calls GROUP BY agent_seniority")
    assert scores["senior"] > scores["new"] + 1


@pytest.mark.embedded
def test_a_database_that_holds_calls_is_refused_and_unchanged(
    sample_engine: RunningEngine, writer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLSTREAM_CLICKHOUSE_URL", sample_engine.url())
    before = writer.command("SELECT count() FROM outcome_versions")
    done = CliRunner().invoke(app, ["sample-data", "--calls", "1"])
    assert isinstance(done.exception, DatabaseInUseError)
    assert "holds calls already (tenant sample)" in str(done.exception)
    assert writer.command("SELECT count() FROM outcome_versions") == before


@pytest.mark.parametrize("until", ["yesterday", "2026-03-31", "1960-01-01T00:00:00+00:00"])
def test_an_end_that_is_none_is_refused(until: str) -> None:
    done = CliRunner().invoke(app, ["sample-data", "--until", until])
    assert done.exit_code == 2
    assert "--until" in done.output


def test_the_span_of_these_tests_is_that_of_the_page() -> None:
    assert (UNTIL - FROM).days == SPAN.days
