"""Verdicts in ClickHouse: which stands, and how often rules are right by them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_analysis, rows_for_transcript, rows_for_verdict_given
from processors.kpi.statistics import wilson
from schemas.messages.topics import CALLS_ANALYZED, CALLS_TRANSCRIBED
from schemas.messages.verdict_given import VerdictGiven
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.queries.labelled_calls import judged_calls, newest_calls
from streams.queries.search import SearchError
from streams.queries.verdicts import rule_precisions
from tests.streams.cli.terminal import Terminal

pytestmark = pytest.mark.embedded

EXAMPLES = Path(__file__).parents[1] / "examples"
T0 = datetime(2026, 3, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with connect(url) as client:
        yield client


def verdict(answer: str, /, minute: int = 0, **fields: Any) -> VerdictGiven:
    about: dict[str, object] = {"tenant_id": "acme", "call_id": "c1", "about": "call", "given_by": "qa_1"}
    return VerdictGiven.model_validate(about | {"answer": answer, "given_at": T0 + timedelta(minutes=minute)} | fields)


def on_finding(answer: str, finding: str, given_by: str = "qa_1", minute: int = 0) -> VerdictGiven:
    rule = {"detector": "reading", "rule_id": "suspected_rude", "rule_version": "v1"}
    return verdict(answer, minute, about="finding", finding_id=finding, given_by=given_by, **rule)


def write(client: Client, *verdicts: VerdictGiven) -> None:
    for each in verdicts:
        ClickHouseSink(client).write(rows_for_verdict_given(each))


def shown(client: Client) -> list[tuple[str, str]]:
    return [tuple(row) for row in client.query("SELECT given_by, answer FROM verdicts ORDER BY given_by").result_rows]


def test_the_newest_verdict_of_a_person_stands_in_whatever_order_they_come(client: Client) -> None:
    write(client, verdict("no", 5), verdict("yes", 1), verdict("no", 5), verdict("yes", given_by="qa_2"))
    assert shown(client) == [("qa_1", "no"), ("qa_2", "yes")]
    write(client, verdict("withdrawn", 9), verdict("yes", 7))
    assert shown(client) == [("qa_2", "yes")]


def test_a_verdict_may_come_before_its_call_and_then_has_its_agent(client: Client) -> None:
    analysis = CALLS_ANALYZED.decode((EXAMPLES / "calls.analyzed.v1" / "with_findings.json").read_bytes())
    write(client, verdict("yes", tenant_id=analysis.tenant_id, call_id=analysis.call_id))
    asked = "SELECT agent_id, ended_at FROM verdicts"
    for query in (asked, f"{asked} SETTINGS join_use_nulls = 1"):
        assert [tuple(row) for row in client.query(query).result_rows] == [(None, None)]
    ClickHouseSink(client).write(rows_for_analysis(analysis))
    ((agent, ended_at),) = client.query(asked).result_rows
    assert (agent, ended_at.replace(tzinfo=UTC)) == (analysis.call.agent.id, analysis.call.ended_at)


def test_a_tenant_of_whom_nothing_is_stored_is_told_from_one_without_verdicts(
    url: str,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    terminal.set(clickhouse_url=url)
    for command in (("verdicts", "precision"), ("demands", "unknown")):
        done = terminal.run(*command, "--tenant", "nosuch")
        assert done.code == SearchError.exit_code
        assert "there is no call of tenant nosuch: is its name right?" in done.err
    analysis = CALLS_ANALYZED.decode((EXAMPLES / "calls.analyzed.v1" / "with_findings.json").read_bytes())
    ClickHouseSink(client).write(rows_for_analysis(analysis))
    done = terminal.run("verdicts", "precision", "--tenant", analysis.tenant_id)
    assert done.code == 0
    assert f"no verdict on a finding of tenant {analysis.tenant_id} is stored" in done.out


def test_precision_counts_findings_by_the_majority_of_who_judged_them(client: Client) -> None:
    write(
        client,
        *(on_finding("yes", f"f{number}") for number in range(7)),
        *(on_finding("no", f"w{number}") for number in range(3)),
        *(on_finding("no", "f1", who) for who in ("qa_2", "qa_3")),  # two against one
        on_finding("no", "f2", "qa_2"),  # one against one
        on_finding("yes", "w0", minute=3),  # thought better of it
        on_finding("withdrawn", "w1", minute=3),
        verdict("yes"),
    )
    (found,) = rule_precisions(client, "acme")
    assert (found.rule_id, found.rule_version, found.judged, found.right, found.disputed) == (
        *("suspected_rude", "v1", 8, 6, 1),
    )
    low, high = wilson(6, 8)
    assert [found.precision, found.low, found.high] == pytest.approx([6 / 8, low, high])
    assert rule_precisions(client, "other") == []


@pytest.mark.parametrize("right", [0, 1, 5], ids=["none", "some", "all"])
def test_limits_are_those_of_the_registry_also_at_the_ends(right: int, client: Client) -> None:
    write(client, *(on_finding("yes" if number < right else "no", f"f{number}") for number in range(5)))
    (found,) = rule_precisions(client, "acme")
    assert [found.low, found.high] == pytest.approx(wilson(right, 5))


def test_where_nobody_decides_there_is_no_precision(client: Client) -> None:
    write(client, on_finding("yes", "f1"), on_finding("no", "f1", "qa_2"))
    (found,) = rule_precisions(client, "acme")
    assert (found.judged, found.disputed, found.precision, found.low, found.high) == (0, 1, None, None, None)


def test_judged_calls_come_with_their_masked_text_and_what_was_said_of_them(client: Client) -> None:
    transcript = CALLS_TRANSCRIBED.decode((EXAMPLES / "calls.transcribed.v1" / "heard.json").read_bytes())
    analysis = CALLS_ANALYZED.decode((EXAMPLES / "calls.analyzed.v1" / "with_findings.json").read_bytes())
    own: dict[str, Any] = {"tenant_id": transcript.tenant_id, "call_id": transcript.call_id}
    agent = next(segment for segment in transcript.segments if segment.role == "agent")
    suspicion = analysis.findings[0].model_copy(
        update={"finding_id": "f-1", "detector": "reading", "role": "agent", "start_ms": agent.start_ms}
    )
    judged = analysis.model_copy(update=own | {"call": transcript.call, "findings": (suspicion,)})
    ClickHouseSink(client).write(rows_for_transcript(transcript))
    ClickHouseSink(client).write(rows_for_analysis(judged))
    write(
        client,
        verdict("yes", **own),
        on_finding("no", "f-1").model_copy(update=own),
        verdict("yes", about="missed", kind="rude", quote="无", segment_id=agent.segment_id, **own),
        verdict("yes"),  # of a call that has no transcript
        on_finding("yes", "f-2").model_copy(
            update=own | {"rule_id": "suspected_in_call_rude", "start_ms": agent.start_ms}
        ),  # of no utterance
    )
    (told,) = client.query("SELECT rule_id FROM suspicions WHERE finding_id = 'f-1'").result_rows
    assert told == (suspicion.rule_id,)
    (call,) = judged_calls(client, transcript.tenant_id)
    assert [segment.text for segment in call.segments] == [segment.text for segment in transcript.segments]
    assert call.agent_id == transcript.call.agent.id
    assert sorted((one.about, one.answer, one.start_ms) for one in call.verdicts) == [
        ("call", "yes", None),
        ("finding", "no", agent.start_ms),
        ("missed", "yes", None),
    ]
    assert judged_calls(client, "acme") == []
    assert [one.call_id for one in newest_calls(client, transcript.tenant_id, 10)] == [transcript.call_id]
