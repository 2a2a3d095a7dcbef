"""What an export is made of, from ClickHouse: versions that change with what they are of, and these calls alone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from pyarrow import parquet

from processors.clickhouse.rows import rows_for_analysis, rows_for_transcript
from processors.custody.muting import muting_id, muting_of
from schemas.messages.finding import Finding
from schemas.messages.transcript import EngineIdentity, Segment, Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.queries.export_material import VIEWS, ClickHouseMaterial
from streams.queries.parquet_export import CUSTOMER_COLUMNS
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import CUSTOMER, an_event, judged

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
SHA = "a" * 64


def write(client: Client, call_id: str, words: tuple[str, ...], *, tenant: str = "acme", version: int = 1) -> None:
    call = an_event(call_id, NOON, customer=CUSTOMER, tenant_id=tenant)
    finding = Finding(
        finding_id=f"{call_id}/1",
        detector="sensitive_words",
        rule_id="rule",
        rule_version="1",
        category="promise",
        role="customer",
        start_ms=0,
        end_ms=900,
        quote=words[0] if words else "-",
        severity="high",
    )
    transcript = Transcript(
        tenant_id=tenant,
        call_id=call_id,
        call=call,
        engine=judged(call).engine,
        segments=tuple(
            Segment(segment_id=number, channel=0, role="customer", start_ms=number, end_ms=9, text=text, confidence=1)
            for number, text in enumerate(words)
        ),
        transcribed_at=NOON + timedelta(seconds=version),
    )
    analysis = judged(call, version=version).model_copy(
        update={"findings": (finding,), "transcribed_at": transcript.transcribed_at}
    )
    sink = ClickHouseSink(client)
    sink.write(rows_for_transcript(transcript))
    sink.write(rows_for_analysis(analysis))


@pytest.fixture(scope="module")
def url(engine: RunningEngine) -> str:
    url = engine.url(f"material_{uuid4().hex}")
    migrate(url)
    return url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    client = connect(url)
    for table in ("call_versions", "transcript_versions"):
        client.command(f"TRUNCATE TABLE {table}")
    write(client, "c1", ("您好", "再见"))
    write(client, "c2", ("退款",))
    write(client, "silent", ())
    write(client, "c1", ("别的",), tenant="bank")
    yield client
    client.close()


@pytest.mark.usefixtures("client")
def test_a_call_is_found_with_what_is_asked_for_and_whose_it_is(url: str) -> None:
    material = ClickHouseMaterial(url)
    found = material.find("acme", ["c1", "c2", "silent", "c9"], ["audio_masked", "text"])
    assert sorted(found) == ["c1", "c2"]
    call = found["c1"]
    assert (call.target.tenant_id, call.target.agent_id) == ("acme", an_event("c1", NOON).agent.id)
    assert call.exported.recording == an_event("c1", NOON).audio.sha256
    assert call.exported.text is not None
    assert len(call.exported.text) == 64
    assert call.exported.analysis is None
    assert material.find("acme", ["silent"], ["audio_masked"])["silent"].exported.text is None
    assert material.find("acme", ["c1"], ["parquet"])["c1"].exported.recording is None
    assert material.find("bank", ["c2"], ["text"]) == {}


def test_versions_change_with_what_they_are_of(url: str, client: Client) -> None:
    material = ClickHouseMaterial(url)
    before = material.find("acme", ["c1"], ["parquet"])["c1"].exported
    assert material.find("acme", ["c1"], ["parquet"])["c1"].exported == before
    write(client, "c1", ("您好", "再见"), version=2)
    judged_again = material.find("acme", ["c1"], ["parquet"])["c1"].exported
    assert judged_again.text == before.text
    assert judged_again.analysis != before.analysis
    write(client, "c1", ("您好", "再会"), version=3)
    assert material.find("acme", ["c1"], ["text"])["c1"].exported.text != before.text


def test_the_muting_is_that_of_the_transcript_or_why_there_is_none(url: str, client: Client) -> None:
    material = ClickHouseMaterial(url)
    found = material.find("acme", ["c1", "silent"], ["audio_masked"])
    assert {each.not_mutable for each in found.values()} == {None}
    assert found["c1"].exported.muting == muting_id(round(NOON.timestamp() * 1000) + 1_000)
    assert material.find("acme", ["c1"], ["audio_unmasked", "text"])["c1"].exported.muting is None
    write(client, "c1", ("您好", "再见"), version=2)
    assert material.find("acme", ["c1"], ["audio_masked"])["c1"].exported.muting != found["c1"].exported.muting

    sink, later = ClickHouseSink(client), NOON + timedelta(seconds=9, microseconds=1_999)
    call = an_event("c2", NOON, customer=CUSTOMER)
    received = EngineIdentity(name="received", version="1", model="", settings={"times": "none"})
    for fields, why in (
        ({"engine": judged(call).engine}, None),
        ({"engine": received}, "times_unknown"),
        ({"engine": judged(call).engine, "outcome": "too_short", "outcome_reason": "short"}, "not_analyzed"),
    ):
        client.command("TRUNCATE TABLE transcript_versions")
        transcript = Transcript(tenant_id="acme", call_id="c2", call=call, transcribed_at=later, **fields)
        sink.write(rows_for_transcript(transcript))
        heard = material.find("acme", ["c2"], ["audio_masked"])["c2"]
        assert (heard.exported.muting, heard.not_mutable) == (muting_of(transcript) if why is None else None, why)
    client.command("TRUNCATE TABLE transcript_versions")
    unheard = material.find("acme", ["c2"], ["audio_masked"])["c2"]
    assert (unheard.exported.muting, unheard.not_mutable) == (None, "not_heard_yet")


@pytest.mark.usefixtures("client")
def test_the_calls_of_a_day_are_those_of_the_tenants_day(url: str) -> None:
    material = ClickHouseMaterial(url)
    day = date(2026, 3, 1)
    assert material.ended_on("acme", day, day, 10) == ["c1", "c2", "silent"]
    assert material.ended_on("acme", day, day, 2) == ["c1", "c2"]
    assert material.ended_on("acme", date(2026, 3, 2), date(2026, 3, 3), 10) == []


@pytest.mark.usefixtures("client")
def test_segments_come_in_their_order(url: str) -> None:
    rows = list(ClickHouseMaterial(url).segments("acme", "c1"))
    assert [(row["segment"], row["text"]) for row in rows] == [(0, "您好"), (1, "再见")]


@pytest.mark.usefixtures("client")
def test_tables_hold_these_calls_alone_marked_and_without_customers(url: str, tmp_path: Path) -> None:
    names = []
    ids = ["c1", *(f"none-{number}" for number in range(9_999))]
    for name, chunks in ClickHouseMaterial(url).tables("acme", ids, "for 第一法院"):
        file = tmp_path / f"{name}.parquet"
        file.write_bytes(b"".join(chunks))
        table = parquet.read_table(file)
        assert CUSTOMER_COLUMNS.isdisjoint(table.column_names)
        rows = table.to_pylist()
        assert {(row["tenant_id"], row["call_id"], row["exported_for"]) for row in rows} <= {
            ("acme", "c1", "for 第一法院")
        }
        assert rows or name in ("scores", "topics")
        names.append(name)
    assert tuple(names) == VIEWS


def test_what_is_no_id_of_a_call_gets_into_no_statement(url: str) -> None:
    (_, chunks), *_ = ClickHouseMaterial(url).tables("acme", ["c1') OR 1 --"], "mark")
    with pytest.raises(ValueError, match="1 ids that no call has"):
        list(chunks)
