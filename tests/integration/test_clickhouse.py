"""ClickHouse as it is: the embedded engine, migrations, the sink, and views that are right after any delivery."""

import base64
import http.client
import logging
import os
import random
import re
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from processors.clickhouse.rows import (
    ACCESS_LOG,
    ALERT_DELIVERIES,
    ALERTS,
    CALLS,
    CUSTODY_EVENTS,
    DEAD_LETTERS,
    EXCHANGE_CALLS,
    FACTS,
    MISSING_RECORDINGS,
    OUTCOMES,
    RATINGS,
    RULE_PACKS,
    RULES,
    TRANSCRIPTS,
    VERDICTS,
    TableRows,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_listed,
    rows_for_call_rated,
    rows_for_custody_changed,
    rows_for_dead_letter,
    rows_for_fact_received,
    rows_for_recording_accessed,
    rows_for_rules_published,
    rows_for_transcript,
    rows_for_unreadable,
    rows_for_verdict_given,
)
from schemas.clickhouse.migrations import Migration, MigrationRefusedError, load_migrations
from schemas.config.rule_pack import RulePack, TopicRule
from schemas.errors import OperatorError, RetryableError
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.call_analysis import (
    CallAnalysis,
    Evidence,
    Risk,
    RiskPart,
    Scorecard,
    ScoreItem,
    Selection,
    SkippedAnalysis,
    TopicMention,
    Trigger,
)
from schemas.messages.call_ended import Agent, Audio, CallEnded, Csat, Customer
from schemas.messages.call_rated import CallRated
from schemas.messages.dead_letter import DeadLetter, Handling
from schemas.messages.finding import Finding
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_LISTED,
    CALLS_RATED,
    CALLS_TRANSCRIBED,
    CUSTODY_CHANGED,
    FACTS_RECEIVED,
    RECORDINGS_ACCESSED,
    VERDICTS_GIVEN,
)
from schemas.messages.transcript import AudioFacts, EngineIdentity, Interval, Segment, Transcript, Word
from schemas.messages.verdict_given import VerdictGiven
from streams.adapters.clickhouse.connection import ClickHouseUrlError, connect
from streams.adapters.clickhouse.errors import ClickHouseAccessError, ClickHouseRefusedError, ClickHouseSchemaError
from streams.adapters.clickhouse.migrate import migrate, missing_migrations
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.status import (
    DeadLetterCount,
    Unaccounted,
    calls_per_minute,
    count_unaccounted,
    dead_letter_counts,
    outcome_counts,
)
from streams.embedded.clickhouse_engine import password_file, password_of, start_command
from streams.embedded.ports import free_port
from tests.support.alerts import NOW, an_alert
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.stored_calls import as_before_migration_16

pytestmark = pytest.mark.embedded

EXAMPLES = Path(__file__).parents[1] / "examples"
WRITTEN_BY_CLICKHOUSE = (
    *("search_text_versions", "search_text_writer"),
    *("timed_outcome_versions", "timed_outcome_writer"),
)
STORAGE = (
    *(CALLS, TRANSCRIPTS, OUTCOMES, DEAD_LETTERS, ALERTS, ALERT_DELIVERIES, RULE_PACKS, RATINGS, VERDICTS, ACCESS_LOG),
    *(EXCHANGE_CALLS, MISSING_RECORDINGS, CUSTODY_EVENTS, FACTS),
    *("kpi_rollup_rows", "kpi_rollup_days", "duration_buckets", "reader_role_versions", RULES),
)
VIEWS = (
    *(
        "calls",
        "calls_with_customers",
        "own_calls",
        "whole_calls",
        "findings",
        "suspicions",
        "selected_calls",
        "scores",
        "topics",
        "transcripts",
        "segments",
    ),
    *("outcomes", "unaccounted", "dead_letters", "alerts", "alert_deliveries", "rule_packs", "ratings", "access_log"),
    *("verdicts", "rule_precision", "custody_events", "exchange_calls", "captures", "purges", "meters"),
    *("contact_chains", "facts", "call_facts"),
)
WITH_A_PHRASE = ("search_text",)
"""Cannot be asked without one: tests/integration/test_search.py is about it."""
OF_ROLLUPS = ("kpi_calls", "kpi_rollup")
"""One needs parameters, one its worker: tests/integration/test_rollups.py is about them."""
BESIDE_FIGURES = (*("dim_rules", "dim_topics", "dim_agents", "dim_teams", "dim_queues", "changes", "kpi_freshness"),)
"""What analysts join to figures: tests/integration/test_dimensions.py and test_kpis.py are about them."""
EMOTION = ("agitated", "valence", "sound_agitated", "text_agitated", "emotion_source", "emotion_gap")
LATER = (*EMOTION, "agent_id", "agent_team", "sounds")
"""Columns of a transcript that its first table did not have."""
T0 = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)
"""Close to the end of a month: the calls of the tests lie in two partitions."""


@pytest.fixture
def empty_url(engine: RunningEngine) -> str:
    """The URL of a database that does not exist yet."""
    return engine.url(f"test_{uuid4().hex}")


@dataclass
class Store:
    """A migrated database."""

    url: str
    client: Client
    sink: ClickHouseSink

    def rows(self, query: str) -> list[Sequence[Any]]:
        return list(self.client.query(query).result_rows)

    def count(self, table: str) -> int:
        query = "SELECT count() FROM {table:Identifier}"
        return int(self.client.query(query, parameters={"table": table}).result_rows[0][0])

    def all(self, table: str) -> list[dict[str, Any]]:
        query = "SELECT * FROM {table:Identifier}"
        return [dict(row) for row in self.client.query(query, parameters={"table": table}).named_results()]


@pytest.fixture
def open_store(new_database: Callable[[], str]) -> Iterator[Callable[[], Store]]:
    opened = []

    def new() -> Store:
        url = new_database()
        client = connect(url)
        opened.append(client)
        return Store(url, client, ClickHouseSink(client))

    yield new
    for client in opened:
        client.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def an_emotional_transcript() -> Transcript:
    return CALLS_TRANSCRIBED.decode((EXAMPLES / "calls.transcribed.v1" / "with_emotion.json").read_bytes())


# --- migrations


def test_migrations_are_applied_once_and_remembered(empty_url: str) -> None:
    files = list(load_migrations())
    assert missing_migrations(empty_url) == files
    assert migrate(empty_url) == files
    assert missing_migrations(empty_url) == []
    assert migrate(empty_url) == []
    client = connect(empty_url)
    remembered = client.query("SELECT number, name, sha256 FROM schema_migrations ORDER BY number").result_rows
    client.close()
    assert [tuple(row) for row in remembered] == [(m.number, m.name, m.sha256) for m in files]


def test_pending_creates_nothing(empty_url: str, engine: RunningEngine) -> None:
    missing_migrations(empty_url)
    client = connect(engine.url("system"))
    databases = client.query("SELECT name FROM databases").result_rows
    client.close()
    assert (urlsplit(empty_url).path.strip("/"),) not in [tuple(row) for row in databases]


def test_two_migrators_at_once_do_no_harm(empty_url: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            migrate(empty_url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    client = connect(empty_url)
    assert {row[0] for row in client.query("SHOW TABLES").result_rows} == {
        *(*STORAGE, *WRITTEN_BY_CLICKHOUSE, *VIEWS, *WITH_A_PHRASE, *OF_ROLLUPS, *BESIDE_FIGURES),
        *("schema_migrations", "purge_versions", "blocked_calls"),
    }
    assert client.query("SELECT count() FROM schema_migrations FINAL").result_rows[0][0] == len(load_migrations())
    client.close()


def test_a_migration_that_failed_half_way_is_run_again_and_whole(empty_url: str) -> None:
    create = "CREATE TABLE IF NOT EXISTS first (a UInt8) ENGINE = MergeTree ORDER BY a;"
    with pytest.raises(ClickHouseRefusedError, match="migration 0001_start"):
        migrate(empty_url, (Migration(1, "start", create + "CREATE TABLE nonsense;"),), views={})
    mended = Migration(
        1, "start", create + "CREATE TABLE IF NOT EXISTS second (a UInt8) ENGINE = MergeTree ORDER BY a;"
    )
    assert migrate(empty_url, (mended,), views={}) == [mended]


def test_segments_that_were_stored_before_emotion_was_judged_have_none(empty_url: str) -> None:
    migrate(empty_url, tuple(each for each in load_migrations() if each.number < 5), views={})
    client = connect(empty_url)
    row = rows_for_transcript(a_transcript(an_event(1), segments=2))[TRANSCRIPTS][0]
    before = {name: value for name, value in row.items() if name.removeprefix("segments.") not in LATER}
    client.insert(TRANSCRIPTS, [list(before.values())], column_names=list(before))
    migrate(empty_url)
    ClickHouseSink(client).write(rows_for_transcript(an_emotional_transcript()))
    query = """SELECT agitated, valence, sound_agitated, text_agitated, emotion_source, emotion_gap
        FROM segments WHERE call_id = {call_id:String} ORDER BY segment_id"""
    old, new = (client.query(query, parameters={"call_id": call_id}).result_rows for call_id in ("call-1", "ivr2:9022"))
    client.close()
    assert old == [(None,) * 6] * 2
    assert [row[4:] for row in new] == [("fused", None), ("fused", None), ("text", None), (None, "too_short")]
    assert [row[0] for row in new[:3]] == pytest.approx([0.06, 0.81, 0.12])
    assert new[2][2] is None
    assert new[3][:4] == (None,) * 4


def test_a_changed_migration_is_refused_and_changes_nothing(empty_url: str) -> None:
    first = Migration(1, "start", "CREATE TABLE IF NOT EXISTS a (a UInt8) ENGINE = MergeTree ORDER BY a;")
    changed = Migration(1, "start", "CREATE TABLE IF NOT EXISTS b (a UInt8) ENGINE = MergeTree ORDER BY a;")
    migrate(empty_url, (first,), views={})
    with pytest.raises(MigrationRefusedError, match="was changed after it was applied"):
        migrate(empty_url, (changed,), views={})
    client = connect(empty_url)
    assert not client.command("EXISTS TABLE b")
    client.close()


def test_every_table_and_column_says_what_it_holds(store: Store) -> None:
    silent = store.rows(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' "
        "UNION ALL SELECT name, '' FROM system.tables WHERE database = currentDatabase() AND comment = ''"
    )
    assert silent == []


def test_a_view_says_the_same_of_a_column_as_the_table_below_it(store: Store) -> None:
    comments = {
        (table, column): comment
        for table, column, comment in store.rows(
            "SELECT table, name, comment FROM system.columns WHERE database = currentDatabase()"
        )
    }
    below = {
        "whole_calls": (CALLS, ""),
        "findings": (CALLS, "findings."),
        "scores": (CALLS, "score_items."),
        "topics": (CALLS, "topics."),
        "transcripts": (TRANSCRIPTS, ""),
        "segments": (TRANSCRIPTS, "segments."),
        "outcomes": (OUTCOMES, ""),
        "unaccounted": (OUTCOMES, ""),
        "dead_letters": (DEAD_LETTERS, ""),
        "alerts": (ALERTS, ""),
        "alert_deliveries": (ALERT_DELIVERIES, ""),
        "kpi_rollup": ("kpi_rollup_rows", "kpis."),
        "access_log": (ACCESS_LOG, ""),
        "custody_events": (CUSTODY_EVENTS, ""),
    }
    compared = 0
    for (view, column), comment in comments.items():
        if view in below:
            table, prefix = below[view]
            original = comments.get((table, prefix + column), comments.get((table, column), comment))
            if (view, column) != ("kpi_rollup", "day"):  # the table is from when all tenants had the same days
                assert comment == original, f"{view}.{column}"
            compared += original is not comment
    assert compared > 100


# --- connections and errors


def test_a_wrong_password_is_said_without_the_password(engine: RunningEngine) -> None:
    with pytest.raises(ClickHouseAccessError, match="check the user, the password") as refused:
        connect(f"http://callstream:hush-hush@127.0.0.1:{engine.port}/system")
    assert "hush-hush" not in str(refused.value)


def test_a_database_that_was_never_migrated_says_what_to_run(empty_url: str) -> None:
    with pytest.raises(ClickHouseSchemaError, match="callstream migrate"):
        connect(empty_url)


def test_a_clickhouse_that_does_not_run_is_tried_again() -> None:
    with pytest.raises(RetryableError, match=r"did not answer connecting to 127\.0\.0\.1"):
        connect(f"http://callstream:hush-hush@127.0.0.1:{free_port()}/callstream")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("clickhouse://u:hush-hush@host/db", id="another scheme"),
        pytest.param("http://u:hush-hush@host:port/db", id="a port that is no number"),
        pytest.param("hush-hush", id="no URL at all"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ClickHouseUrlError) as refused:
        connect(url)
    assert "hush-hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param("agent_id", None, id="null where none may be"),
        pytest.param("version", "我的卡号是六二二二", id="text where a number belongs"),
        pytest.param("risk_score", "我的卡号是六二二二", id="text where a fraction belongs"),
        pytest.param("ended_at", "我的卡号是六二二二", id="text where a time belongs"),
        pytest.param("findings.quote", ["我的卡号是六二二二"] * 9, id="more quotes than findings"),
        pytest.param("crm", {"a": None}, id="null in a map"),
    ],
)
def test_no_error_about_a_row_quotes_it(
    column: str, value: object, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    analysis = CALLS_ANALYZED.decode((EXAMPLES / "calls.analyzed.v1" / "with_findings.json").read_bytes())
    row = rows_for_analysis(analysis)[CALLS][0] | {column: value}
    with caplog.at_level(logging.DEBUG), pytest.raises(OperatorError) as refused:
        store.sink.write({CALLS: [row]})
    assert "六二二二" not in f"{refused.value} {caplog.text}"
    assert refused.value.__suppress_context__


def test_a_row_with_a_column_that_the_table_does_not_have_is_refused(store: Store) -> None:
    row = rows_for_call_ended(an_event(1), T0)[OUTCOMES][0] | {"mood": "good"}
    with pytest.raises(ClickHouseRefusedError, match="do not fit its columns"):
        store.sink.write({OUTCOMES: [row]})


# --- rows and views


def an_event(number: int, *, minutes: int | None = None) -> CallEnded:
    ended_at = T0 + timedelta(minutes=number if minutes is None else minutes, milliseconds=number)
    return CallEnded(
        tenant_id=f"tenant-{number % 2}",
        call_id=f"call-{number}",
        direction="inbound",
        started_at=ended_at - timedelta(minutes=3),
        ended_at=ended_at,
        agent=Agent(id=f"A{number % 3}"),
        customer=Customer(tags=("vip",)),
        crm={"ticket": f"T{number}"},
        audio=Audio(uri=f"s3://callstream/{number}.wav", sha256="0" * 64, bytes=44),
    )


ENGINE = EngineIdentity(name="written", version="1", model="none", settings={"beam_size": 5, "vad": True})


def a_transcript(event: CallEnded, *, segments: int, after_s: float = 60) -> Transcript:
    return Transcript(
        tenant_id=event.tenant_id,
        call_id=event.call_id,
        call=event,
        language="zh",
        engine=ENGINE,
        segments=tuple(
            Segment(
                segment_id=number,
                channel=number % 2,
                role=("agent", "customer")[number % 2],
                start_ms=number * 1_000,
                end_ms=number * 1_000 + 900,
                text=f"第{number}句，{after_s:.0f}",
                confidence=0.5,
                words=(Word(text="第", start_ms=number * 1_000, end_ms=number * 1_000 + 200, confidence=0.5),),
            )
            for number in range(segments)
        ),
        speech={"agent": (Interval(start_ms=0, end_ms=900),)},
        transcribed_at=event.ended_at + timedelta(seconds=after_s),
    )


def a_scorecard(event: CallEnded, *, version: int, findings: int) -> Scorecard:
    """One item that was measured and one that was not, in one group."""
    return Scorecard(
        form_id="general",
        form_version=version,
        score=50,
        groups={"compliance": 50, "communication": None, "resolution": None, "experience": None},
        items=(
            ScoreItem(
                item_id="no_promise",
                name="无违规承诺",
                group="compliance",
                points=5,
                max_points=10,
                evidence=(
                    Evidence(measure="sensitive_words", value=findings),
                    *(Evidence(finding_id=f"{event.call_id}/{version}/{number}") for number in range(findings)),
                ),
            ),
            ScoreItem(
                item_id="recording_notice",
                name="告知录音",
                group="compliance",
                points=None,
                max_points=20,
                reason="no_speech",
            ),
        ),
    )


def a_selection(event: CallEnded, *, version: int, findings: int) -> Selection:
    found = tuple(f"{event.call_id}/{version}/{number}" for number in range(findings))
    triggers = (Trigger(name="sensitive_word", reason=f"坐席敏感词 {findings} 处", finding_ids=found),) if found else ()
    return Selection(selected=bool(triggers), triggers=triggers, rules_version=1)


def an_analysis(event: CallEnded, *, version: int, findings: int, after_s: float = 90) -> CallAnalysis:
    return CallAnalysis(
        tenant_id=event.tenant_id,
        call_id=event.call_id,
        call=event,
        analysis_version=version,
        lexicon_version=f"lexicon-{version}",
        outcome="analyzed" if findings else "no_audio",
        outcome_reason=f"reason {version}",
        engine=ENGINE,
        audio=AudioFacts(container="wav", codec="pcm_s16le", sample_rate_hz=8_000, channels=2, duration_ms=180_000),
        measures={"duration_ms": 180_000, "duration_in_band": None, "silence_share": 0.25},
        skipped_analysis=(SkippedAnalysis(measure="duration_in_band", reason="because"),),
        findings=tuple(
            Finding(
                finding_id=f"{event.call_id}/{version}/{number}",
                detector="sensitive_words" if number < 3 else "reading",
                rule_id=f"rule-{number}",
                rule_version=str(version),
                category="promise" if number < 3 else "suspected_false_promise",
                role="agent",
                start_ms=0,
                end_ms=900,
                quote="我们保本",
                matched="保本",
                severity="high",
                attributes={"segment_id": number, "negated": False},
            )
            for number in range(findings)
        ),
        topics=(TopicMention(topic_id="refund", name="退款", role="customer", quote="我要退款", confidence=0.5),),
        scorecard=a_scorecard(event, version=version, findings=findings),
        risk=Risk(
            level="low",
            score=version,
            reasons=("坐席敏感词：违规承诺 1 处",),
            parts=(RiskPart(part="sensitive_word", points=version, reason="坐席敏感词：违规承诺 1 处"),),
            unmeasured=("interruption",),
            rules_version=1,
        ),
        selection=a_selection(event, version=version, findings=findings),
        retention_class="general",
        retention_days=180 + version,
        transcribed_at=event.ended_at,
        analyzed_at=event.ended_at + timedelta(seconds=after_s),
    )


def a_letter(offset: int, *, event: CallEnded | None = None, topic: str = CALLS_ENDED.name) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=DeadLetter.id_of("listen", topic, 0, offset),
        step="listen",
        source_topic=topic,
        source_partition=0,
        source_offset=offset,
        exception_class="InvalidMessageError",
        problems=("started_at: missing",),
        tenant_id=event.tenant_id if event else None,
        call_id=event.call_id if event else None,
        failed_at=T0 + timedelta(seconds=offset),
    )


def handled(letter: DeadLetter, what: Handling) -> DeadLetter:
    """What somebody has done about it; given up is what was not taken after a retry."""
    at = letter.failed_at + timedelta(hours=1 if what == "retried" else 2)
    told = {"handling": what, "handled_at": at, "handled_by": "ada", "handled_reason": "upgraded"}
    return letter.model_copy(update=told)


def a_delivery(alert: Alert, *, attempt: int) -> AlertDelivery:
    """The attempt of that number; the third is taken."""
    taken = attempt == 3
    return AlertDelivery(
        alert_id=alert.alert_id,
        tenant_id=alert.tenant_id,
        rule_id=alert.rule_id,
        subscriber="desk",
        channel="webhook",
        attempt=attempt,
        outcome="delivered" if taken else "failed",
        status_code=200 if taken else 503,
        at=alert.raised_at + timedelta(seconds=attempt),
    )


def a_rating(event: CallEnded, said_at: datetime, score: int) -> CallRated:
    """What the customer said; some say two things at the same moment."""
    return CallRated(
        tenant_id=event.tenant_id,
        call_id=event.call_id,
        rated_at=said_at,
        source="sms_survey",
        csat=Csat(score=score),
        customer_tags=("会员",) if score == 2 else None,
    )


def content(store: Store, without: Collection[str] = (), views: Collection[str] = VIEWS) -> dict[str, list[str]]:
    """Everything that the views show but for some columns, in an order that does not depend on storage."""

    def shown(row: Mapping[str, Any]) -> str:
        return str({name: value for name, value in row.items() if name not in without})

    return {view: sorted(shown(row) for row in store.all(view)) for view in views}


def test_every_example_message_can_be_stored(store: Store) -> None:
    for path in sorted(EXAMPLES.glob("calls.ended.v1/*.json")):
        store.sink.write(rows_for_call_ended(CALLS_ENDED.decode(path.read_bytes()), T0))
    for path in sorted(EXAMPLES.glob("calls.transcribed.v1/*.json")):
        store.sink.write(rows_for_transcript(CALLS_TRANSCRIBED.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("calls.analyzed.v1/*.json")):
        store.sink.write(rows_for_analysis(CALLS_ANALYZED.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("calls.dead_letters.v1/*.json")):
        store.sink.write(rows_for_dead_letter(CALLS_DEAD_LETTERS.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("alerts.raised.v1/*.json")):
        store.sink.write(rows_for_alert(ALERTS_RAISED.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("alerts.delivered.v1/*.json")):
        store.sink.write(rows_for_alert_delivery(ALERTS_DELIVERED.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("calls.rated.v1/*.json")):
        store.sink.write(rows_for_call_rated(CALLS_RATED.decode(path.read_bytes())))
    assert store.count("ratings") == len(list(EXAMPLES.glob("calls.rated.v1/*.json")))
    for path in sorted(EXAMPLES.glob("verdicts.given.v1/*.json")):
        store.sink.write(rows_for_verdict_given(VERDICTS_GIVEN.decode(path.read_bytes())))
    assert store.count("verdicts") == len(list(EXAMPLES.glob("verdicts.given.v1/*.json")))
    for path in sorted(EXAMPLES.glob("calls.listed.v1/*.json")):
        store.sink.write(rows_for_call_listed(CALLS_LISTED.decode(path.read_bytes())))
    assert store.count("exchange_calls") == len(list(EXAMPLES.glob("calls.listed.v1/*.json")))
    for path in sorted(EXAMPLES.glob("recordings.accessed.v1/*.json")):
        store.sink.write(rows_for_recording_accessed(RECORDINGS_ACCESSED.decode(path.read_bytes())))
    assert store.count("access_log") == len(list(EXAMPLES.glob("recordings.accessed.v1/*.json")))
    for path in sorted(EXAMPLES.glob("custody.changed.v1/*.json")):
        store.sink.write(rows_for_custody_changed(CUSTODY_CHANGED.decode(path.read_bytes())))
    assert store.count("custody_events") == len(list(EXAMPLES.glob("custody.changed.v1/*.json")))
    told = store.client.query(
        "SELECT kind, account_id, role, case_id FROM custody_events WHERE kind IN ('role_granted', 'hold_opened') "
        "ORDER BY kind"
    ).result_rows
    assert told == [("hold_opened", None, None, "court:7-C-12"), ("role_granted", "li_na", "approver", None)]
    assert store.count("alert_versions") == len(list(EXAMPLES.glob("alerts.raised.v1/*.json")))
    assert store.count("alerts") == store.count("alert_versions") - 1, "that a call was selected is no alert"
    assert store.count("alert_deliveries") == len(list(EXAMPLES.glob("alerts.delivered.v1/*.json")))
    assert store.count("calls") == len(list(EXAMPLES.glob("calls.analyzed.v1/*.json")))
    assert store.count("dead_letters") == len(list(EXAMPLES.glob("calls.dead_letters.v1/*.json")))


def test_what_is_read_back_is_what_was_written(store: Store) -> None:
    analysis = CALLS_ANALYZED.decode((EXAMPLES / "calls.analyzed.v1" / "with_findings.json").read_bytes())
    rows = rows_for_analysis(analysis)
    store.sink.write(rows)
    (read,) = store.all(CALLS)
    assert read.pop("stored_at") > read["analyzed_at"]
    assert (read.pop("purged_at"), read.pop("kept_contact")) == (None, []), "of calls that were destroyed alone"
    assert read == rows[CALLS][0]
    transcript = a_transcript(an_event(1), segments=2)
    transcript_rows = rows_for_transcript(transcript)
    store.sink.write(transcript_rows)
    (heard,) = store.all(TRANSCRIPTS)
    assert heard == transcript_rows[TRANSCRIPTS][0]


def test_an_alert_and_what_became_of_it_are_counted_once_however_often_they_come(store: Store) -> None:
    alert, again = an_alert(), an_alert(raised_at=NOW + timedelta(hours=1), severity="critical")
    for each in (alert, again, alert, again):
        store.sink.write(rows_for_alert(each))
    assert store.rows("SELECT alert_id, severity, raised_at FROM alerts") == [
        (alert.alert_id, "critical", NOW + timedelta(hours=1))
    ]
    lines = [a_delivery(alert, attempt=attempt) for attempt in (1, 2, 3)]
    for line in [*lines, *reversed(lines)]:
        store.sink.write(rows_for_alert_delivery(line))
    assert store.rows("SELECT attempt, outcome, status_code FROM alert_deliveries ORDER BY attempt") == [
        (1, "failed", 503),
        (2, "failed", 503),
        (3, "delivered", 200),
    ]


def test_an_access_is_one_line_however_often_it_is_delivered(store: Store) -> None:
    rows = [
        rows_for_recording_accessed(RECORDINGS_ACCESSED.decode(path.read_bytes()))
        for path in sorted(EXAMPLES.glob("recordings.accessed.v1/*.json"))
    ]
    for _ in range(2):
        store.sink.write(as_one_batch(rows))
    store.client.command("OPTIMIZE TABLE access_log_versions FINAL")
    read = sorted(store.all(ACCESS_LOG), key=lambda row: str(row["access_id"]))
    assert read == sorted((row for each in rows for row in each[ACCESS_LOG]), key=lambda row: str(row["access_id"]))


def test_the_log_of_access_is_kept_for_longer_than_a_year(store: Store) -> None:
    ((ttl,),) = store.rows(f"SHOW CREATE TABLE {ACCESS_LOG}")
    days = re.search(r"TTL toDateTime\(accessed_at\) \+ toIntervalDay\((\d+)\)", ttl)
    assert days is not None
    assert int(days[1]) > 366


def test_times_are_kept_to_the_millisecond_and_come_back_in_utc(store: Store) -> None:
    event = an_event(7)
    store.sink.write(rows_for_analysis(an_analysis(event, version=1, findings=1)))
    ((ended_at, text),) = store.rows("SELECT ended_at, toString(ended_at) FROM calls")
    assert ended_at == event.ended_at
    assert ended_at.tzinfo is not None
    assert text == "2026-03-31 22:07:00.007"


def test_an_item_of_the_scorecard_is_one_row_with_its_evidence(store: Store) -> None:
    store.sink.write(rows_for_analysis(an_analysis(an_event(1), version=1, findings=2)))
    measured, unmeasured = sorted(store.all("scores"), key=lambda row: str(row["item_id"]))
    assert (measured["points"], measured["max_points"], measured["reason"]) == (5, 10, None)
    assert measured["evidence_measures"] == {"sensitive_words": 2}
    assert measured["evidence_finding_ids"] == ["call-1/1/0", "call-1/1/1"]
    assert (unmeasured["points"], unmeasured["reason"]) == (None, "no_speech")
    assert [tuple(row) for row in store.rows("SELECT sum(points), sum(max_points) FROM scores")] == [(5, 30)]
    found = store.rows(
        "SELECT count() FROM findings WHERE finding_id IN (SELECT arrayJoin(evidence_finding_ids) FROM scores)"
    )
    assert [tuple(row) for row in found] == [(2,)]


def test_the_parts_of_the_risk_add_up_in_a_query(store: Store) -> None:
    store.sink.write(rows_for_analysis(an_analysis(an_event(1), version=3, findings=1)))
    (row,) = store.rows(
        "SELECT arraySum(mapValues(risk_parts)) = risk_score, risk_parts['sensitive_word'], risk_unmeasured, "
        "score_groups['communication'], score, retention_class, retention_days FROM calls"
    )
    assert tuple(row) == (True, 3, ["interruption"], None, 50, "general", 183)


def test_a_segment_is_one_row_with_its_words(store: Store) -> None:
    event = an_event(1)
    store.sink.write(rows_for_transcript(a_transcript(event, segments=3)))
    assert store.rows("SELECT segment_id, role, text, word_text, word_end_ms FROM segments ORDER BY segment_id") == [
        (0, "agent", "第0句，60", ["第"], [200]),
        (1, "customer", "第1句，60", ["第"], [1200]),
        (2, "agent", "第2句，60", ["第"], [2200]),
    ]
    assert store.rows("SELECT text, segments_count FROM transcripts") == [("第0句，60\n第1句，60\n第2句，60", 3)]


def test_counts_are_right_after_a_second_delivery_with_and_without_final(store: Store) -> None:
    rows = rows_for_analysis(an_analysis(an_event(1), version=1, findings=2))
    store.sink.write(rows)
    store.sink.write(rows)
    assert store.count("calls") == 1
    assert store.rows("SELECT count() FROM calls FINAL") == [(1,)]
    assert (store.count("findings"), store.count("outcomes")) == (2, 1)


@pytest.mark.parametrize(
    "order", [pytest.param((0, 1), id="in order"), pytest.param((1, 0), id="the older analysis arrives late")]
)
def test_findings_that_a_newer_analysis_no_longer_has_are_gone(order: tuple[int, int], store: Store) -> None:
    event = an_event(1)
    analyses = (an_analysis(event, version=1, findings=3), an_analysis(event, version=2, findings=1))
    for index in order:
        store.sink.write(rows_for_analysis(analyses[index]))
    assert store.rows("SELECT finding_id FROM findings") == [("call-1/2/0",)]
    assert store.rows("SELECT analysis_version, findings_count, outcome_reason FROM calls") == [(2, 1, "reason 2")]


def test_what_reading_suspects_is_no_finding_until_somebody_confirms_it(store: Store) -> None:
    analysis = an_analysis(an_event(1), version=1, findings=2)
    suspicion = analysis.findings[1].model_copy(
        update={"detector": "reading", "category": "suspected_rude", "rule_version": "abc", "confidence": 0.75}
    )
    measures = {"duration_ms": 9, "reading_select": 0.9, "reading_suspicions": 1}
    store.sink.write(
        rows_for_analysis(
            analysis.model_copy(update={"findings": (analysis.findings[0], suspicion), "measures": measures})
        )
    )
    assert store.rows("SELECT finding_id FROM findings") == [("call-1/1/0",)]
    assert store.rows("SELECT finding_id, kind, model, probability FROM suspicions") == [
        ("call-1/1/1", "rude", "abc", 0.75)
    ]
    assert store.rows("SELECT findings_count, measures, reading FROM calls") == [
        (1, {"duration_ms": 9}, {"select": 0.9, "suspicions": 1})
    ]


def test_a_selected_call_is_shown_once_for_each_trigger_and_guesses_are_marked(store: Store) -> None:
    analysis = an_analysis(an_event(1), version=1, findings=2)
    words = Trigger(name="sensitive_word", reason="坐席敏感词 2 处", finding_ids=("call-1/1/0", "call-1/1/1"))
    read = Trigger(name="reading", reason="语义研读建议复核", measure="reading_selects", value=True)
    selection = Selection(selected=True, triggers=(read, words))
    store.sink.write(rows_for_analysis(analysis.model_copy(update={"selection": selection})))
    triggers = "SELECT trigger, reason, finding_ids, measure, is_suspicion FROM selected_calls ORDER BY trigger"
    assert store.rows(triggers) == [
        ("reading", "语义研读建议复核", [], "reading_selects", True),
        ("sensitive_word", "坐席敏感词 2 处", ["call-1/1/0", "call-1/1/1"], None, False),
    ]
    assert store.rows("SELECT selected, triggers FROM calls") == [(True, ["reading", "sensitive_word"])]

    # Judged again, as a replay does, by rules that find less.
    again = an_analysis(an_event(1), version=2, findings=0)
    store.sink.write(rows_for_analysis(again.model_copy(update={"selection": Selection(selected=False)})))
    assert store.rows(triggers) == []
    assert store.rows("SELECT selected, triggers FROM calls") == [(False, [])]


def test_what_is_made_for_agents_and_kpis_does_not_know_what_reading_selects(store: Store) -> None:
    of_reading = Trigger(name="reading", reason="语义研读建议复核")
    of_length = Trigger(name="duration_anomaly", reason="通话时长异常")
    for number, triggers in enumerate((None, (), (of_reading,), (of_length,), (of_length, of_reading))):
        analysis = an_analysis(an_event(number), version=1, findings=0)
        selection = None if triggers is None else Selection(selected=bool(triggers), triggers=triggers)
        store.sink.write(rows_for_analysis(analysis.model_copy(update={"selection": selection})))
    assert store.rows(
        "SELECT selected, triggers FROM kpi_calls(start = '2000-01-01 00:00:00', end = '2100-01-01 00:00:00', "
        "window_days = 7) ORDER BY call_id"
    ) == [
        (None, []),
        (False, []),
        (False, []),
        (True, ["duration_anomaly"]),
        (True, ["duration_anomaly"]),
    ]


def test_that_a_call_was_selected_is_no_alert(store: Store) -> None:
    alert = ALERTS_RAISED.decode((EXAMPLES / ALERTS_RAISED.name / "call_with_evidence.json").read_bytes())
    selected = ALERTS_RAISED.decode((EXAMPLES / ALERTS_RAISED.name / "selected_for_review.json").read_bytes())
    store.sink.write(rows_for_alert(alert))
    store.sink.write(rows_for_alert(selected))
    assert store.rows("SELECT alert_id FROM alerts") == [(alert.alert_id,)]
    stored = "SELECT alert_id, severity FROM alert_versions WHERE kind = 'selected'"
    assert store.rows(stored) == [(selected.alert_id, "info")]


def test_what_a_second_reader_suspects_stands_beside_it_with_its_model_and_prompt(store: Store) -> None:
    analysis = an_analysis(an_event(1), version=1, findings=2)
    suspicion = analysis.findings[1].model_copy(
        update={
            "detector": "second_reader",
            "category": "second_reader_rude",
            "rule_version": "conduct@1",
            "confidence": 0.75,
            "attributes": {"model": "qwen", "prompt": "conduct@1"},
        }
    )
    measures = {"duration_ms": 9, "reading_select": 0.9, "second_reader_findings": 1, "second_reader_disagrees": True}
    store.sink.write(
        rows_for_analysis(
            analysis.model_copy(update={"findings": (analysis.findings[0], suspicion), "measures": measures})
        )
    )
    assert store.rows("SELECT finding_id FROM findings") == [("call-1/1/0",)]
    assert store.rows("SELECT detector, kind, model, probability FROM suspicions") == [
        ("second_reader", "rude", "qwen conduct@1", 0.75)
    ]
    assert store.rows("SELECT findings_count, measures, reading FROM calls") == [
        (1, {"duration_ms": 9}, {"select": 0.9, "second_reader_findings": 1, "second_reader_disagrees": 1})
    ]


def test_a_newer_analysis_without_findings_leaves_none(store: Store) -> None:
    event = an_event(1)
    store.sink.write(rows_for_analysis(an_analysis(event, version=1, findings=3)))
    store.sink.write(rows_for_analysis(an_analysis(event, version=2, findings=0)))
    assert store.count("findings") == 0
    assert store.rows("SELECT outcome FROM outcomes") == [("no_audio",)]


@pytest.mark.parametrize(
    "order", [pytest.param((0, 1), id="in order"), pytest.param((1, 0), id="the older arrives late")]
)
def test_a_shorter_transcript_leaves_no_segment_of_a_longer_one(order: tuple[int, int], store: Store) -> None:
    event = an_event(1)
    transcripts = (a_transcript(event, segments=5, after_s=60), a_transcript(event, segments=2, after_s=61))
    for index in order:
        store.sink.write(rows_for_transcript(transcripts[index]))
    assert store.rows("SELECT text FROM segments ORDER BY segment_id") == [("第0句，61",), ("第1句，61",)]


def test_a_call_is_shown_as_said_and_as_judged_by_one_analysis_in_whatever_order_the_rows_come(store: Store) -> None:
    """A worker with an old model is late; so is one that judges its transcript by newer rules. One call an order."""
    orders = list(permutations(range(5)))
    deliveries = []
    for number in range(len(orders)):
        event = an_event(number)
        old, new = (a_transcript(event, segments=4 - n, after_s=60 + n) for n in (0, 1))
        of_old = {"transcribed_at": old.transcribed_at}
        judged = an_analysis(event, version=2, findings=1, after_s=70)
        analyses = (
            judged.model_copy(update={"transcribed_at": new.transcribed_at}),
            an_analysis(event, version=2, findings=3, after_s=80).model_copy(update=of_old),
            an_analysis(event, version=3, findings=4, after_s=90).model_copy(update=of_old),
        )
        rows = [*map(rows_for_transcript, (old, new)), *map(rows_for_analysis, analyses)]
        deliveries.append([rows[place] for place in orders[number]])
    for batch in zip(*deliveries, strict=True):
        store.sink.write(as_one_batch(batch))
    shown = store.rows(
        "SELECT DISTINCT dateDiff('second', ended_at, calls.transcribed_at),"
        " calls.transcribed_at = told.transcribed_at, told.segments_count,"
        " findings_count, analysis_version, dateDiff('second', ended_at, outcomes.since)"
        " FROM calls JOIN transcripts AS told USING (tenant_id, call_id, ended_at)"
        " JOIN outcomes USING (tenant_id, call_id, ended_at)"
    )
    assert shown == [(61, True, 3, 1, 2, 70)]
    assert store.rows("SELECT text, count() FROM segments GROUP BY text ORDER BY text") == [
        (f"第{n}句，61", len(orders)) for n in range(3)
    ]
    assert store.count("findings") == store.count("calls") == len(orders)


def test_after_the_migration_a_late_worker_does_not_replace_what_was_stored_before_it(empty_url: str) -> None:
    migrate(empty_url, tuple(each for each in load_migrations() if each.number < 16), views={})
    client = connect(empty_url)
    now = datetime.now(UTC).replace(microsecond=0)
    event = an_event(1)
    said_then = {"transcribed_at": now - timedelta(hours=1)}
    new, zombie = (
        an_analysis(event, version=2, findings=findings).model_copy(update=update | {"analyzed_at": at})
        for findings, update, at in (
            (1, {"transcribed_at": now}, now),
            (3, said_then, now + timedelta(hours=1)),
        )
    )
    old = an_analysis(an_event(3), version=1, findings=2)
    for analysis in (new, old):
        for table, (row,) in as_before_migration_16(rows_for_analysis(analysis)).items():
            client.insert(table, [list(row.values())], column_names=list(row))
    migrate(empty_url)
    ClickHouseSink(client).write(rows_for_analysis(zombie))
    query = "SELECT call_id, findings_count, reason FROM calls JOIN outcomes USING (call_id) ORDER BY call_id"
    assert client.query(query).result_rows == [("call-1", 1, "reason 2"), ("call-3", 2, "reason 1")]
    ClickHouseSink(client).write(rows_for_analysis(old.model_copy(update={"findings": (), "analysis_version": 2})))
    assert client.query("SELECT count() FROM findings WHERE call_id = 'call-3'").result_rows == [(0,)]
    client.close()


def test_a_conflicting_event_does_not_take_the_outcome_from_the_call_that_was_heard(store: Store) -> None:
    event = an_event(1)
    store.sink.write(rows_for_analysis(an_analysis(event, version=1, findings=1)))
    store.sink.write(rows_for_dead_letter(a_letter(5, event=event)))
    store.sink.write(rows_for_call_ended(event, event.ended_at))
    assert store.rows("SELECT outcome FROM outcomes") == [("analyzed",)]
    assert store.count("dead_letters") == 1


def test_an_unreadable_event_ends_as_refused_in_either_order(store: Store) -> None:
    letters = [a_letter(1), a_letter(2)]
    pending_rows = [rows_for_unreadable(CALLS_ENDED.name, 0, offset, None, T0) for offset in (1, 2)]
    for rows in (pending_rows[0], rows_for_dead_letter(letters[0]), rows_for_dead_letter(letters[1]), pending_rows[1]):
        store.sink.write(rows)
    assert store.rows("SELECT call_id, outcome FROM outcomes ORDER BY call_id") == [
        ("calls.ended.v1/0/1", "refused"),
        ("calls.ended.v1/0/2", "refused"),
    ]
    assert store.count("unaccounted") == 0


def test_events_of_many_years_in_one_batch_block_nobody(store: Store) -> None:
    rows: TableRows = {CALLS: []}
    for number in range(150):
        event = an_event(number, minutes=-number * 60 * 24 * 31)
        rows[CALLS] += rows_for_analysis(an_analysis(event, version=1, findings=0))[CALLS]
    store.sink.write(rows)
    assert store.count("calls") == 150


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_any_order_and_any_repetition_of_deliveries_shows_the_same(seed: int, open_store: Callable[[], Store]) -> None:
    chance = random.Random(seed)
    deliveries = deliveries_at_random(chance)
    clean, disturbed = open_store(), open_store()
    for rows in deliveries:
        clean.sink.write(rows)
    repeated = [rows for rows in deliveries for _ in range(chance.randint(1, 3))]
    chance.shuffle(repeated)
    while repeated:
        size = chance.randint(1, 12)
        disturbed.sink.write(as_one_batch(repeated[:size]))
        del repeated[:size]
    expected = content(clean)
    assert content(disturbed) == expected
    written = set(VIEWS) - {"purges"}  # which a purge writes, and no message
    assert {view for view in written if not expected[view]} == set(), "each view must have something to get wrong"


def deliveries_at_random(chance: random.Random) -> list[TableRows]:
    """All kinds of messages of 30 calls, each once, in the order in which they would be made."""
    deliveries = []
    for number in range(30):
        event = an_event(number, minutes=number * 10)
        if number % 3 == 2:
            event = event.model_copy(update={"previous_call_id": f"call-{number - 2}"})
        deliveries.append(rows_for_call_ended(event, event.ended_at))
        for after_s in range(60, 60 + chance.randint(0, 2)):
            deliveries.append(rows_for_transcript(a_transcript(event, segments=chance.randint(0, 5), after_s=after_s)))
        for version in range(1, 1 + chance.randint(0, 3)):
            findings = chance.randint(0, 4)
            deliveries.append(rows_for_analysis(an_analysis(event, version=version, findings=findings)))
            for score in range(1, 1 + findings):
                said_at = NOW + timedelta(hours=score % 2)
                deliveries.append(rows_for_call_rated(a_rating(event, said_at, score)))
            raised_at = NOW + timedelta(minutes=number, seconds=version)
            alert = an_alert(number, raised_at=raised_at, hits=version)
            deliveries.append(rows_for_alert(alert))
            deliveries.append(rows_for_alert_delivery(a_delivery(alert, attempt=version)))
            judged = {
                "about": "finding",
                "finding_id": f"f-{number}",
                "detector": "rules",
                "rule_id": "r",
                "rule_version": "1",
            }
            for minute, say in enumerate(chance.choices(("yes", "no", "withdrawn"), k=version)):
                told = {"answer": say, "given_by": f"qa-{version}", "given_at": NOW - timedelta(minutes=minute // 2)}
                about = {"tenant_id": event.tenant_id, "call_id": event.call_id} | judged
                deliveries.append(rows_for_verdict_given(VerdictGiven.model_validate(about | told)))
        if chance.random() < 0.2:
            letter = a_letter(number, event=event)
            deliveries += map(rows_for_dead_letter, (letter, handled(letter, "retried"), handled(letter, "discarded")))
    for offset in range(100, 106):
        deliveries.append(rows_for_unreadable(CALLS_ENDED.name, 0, offset, None, T0))
        if offset % 2:
            deliveries.append(rows_for_dead_letter(a_letter(offset)))
    deliveries.append(rows_for_dead_letter(a_letter(200, topic=CALLS_TRANSCRIBED.name)))
    for version in range(1, 4):
        demand = TopicRule(id="move", name="移机", phrases=("移机",), match=("我要移机",), no_match=("我要退款",))
        pack = RulePack(pack="own", version=version, industry="general", owner="tests", topics=(demand,))
        published = RulesPublished(pack=pack, published_at=NOW + timedelta(minutes=version), published_by="tests")
        deliveries.append(rows_for_rules_published(published))
    for path in sorted(EXAMPLES.glob("recordings.accessed.v1/*.json")):
        deliveries.append(rows_for_recording_accessed(RECORDINGS_ACCESSED.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("custody.changed.v1/*.json")):
        deliveries.append(rows_for_custody_changed(CUSTODY_CHANGED.decode(path.read_bytes())))
    for path in sorted(EXAMPLES.glob("calls.listed.v1/*.json")):
        listed = CALLS_LISTED.decode(path.read_bytes())
        later = {"listed_at": listed.listed_at + timedelta(hours=1), "recorded": not listed.recorded}
        deliveries += map(rows_for_call_listed, (listed, listed.model_copy(update=later)))
    for place, path in enumerate(sorted(EXAMPLES.glob("facts.received.v1/*.json"))):
        fact = FACTS_RECEIVED.decode(path.read_bytes())
        corrected = fact.model_copy(update={"fields": {"status": "corrected"}})
        of_calls = fact.model_copy(update={"tenant_id": "tenant-1", "entity": "agent", "key": f"A{place}"})
        for offset, each in enumerate((fact, corrected, of_calls)):
            deliveries.append(rows_for_fact_received(each, NOW, 3 * place + offset))
    return deliveries


def as_one_batch(parts: Sequence[TableRows]) -> TableRows:
    batch: TableRows = {}
    for part in parts:
        for table, rows in part.items():
            batch.setdefault(table, []).extend(rows)
    return batch


def test_the_views_show_what_a_reference_in_python_says(store: Store) -> None:
    events = [an_event(number) for number in range(6)]
    analyses = [an_analysis(event, version=1, findings=number) for number, event in enumerate(events[:4])]
    for event in events:
        store.sink.write(rows_for_call_ended(event, event.ended_at))
    for analysis in [*analyses, *reversed(analyses)]:
        store.sink.write(rows_for_analysis(analysis))
    store.sink.write(rows_for_dead_letter(a_letter(4, event=events[4])))
    assert store.rows("SELECT call_id, findings_count FROM calls ORDER BY call_id") == [
        (analysis.call_id, len(analysis.findings)) for analysis in analyses
    ]
    assert {row[0] for row in store.rows("SELECT finding_id FROM findings")} == {
        finding.finding_id for analysis in analyses for finding in analysis.findings
    }
    assert store.rows("SELECT call_id, outcome FROM outcomes ORDER BY call_id") == [
        ("call-0", "no_audio"),
        ("call-1", "analyzed"),
        ("call-2", "analyzed"),
        ("call-3", "analyzed"),
        ("call-4", "refused"),
        ("call-5", "pending"),
    ]


@pytest.mark.parametrize("view", ["calls", "findings", "segments", "transcripts"])
def test_a_look_up_of_one_call_goes_through_its_index(view: str, store: Store) -> None:
    events = [an_event(number) for number in (0, 2, 4)]
    store.sink.write(as_one_batch([rows_for_transcript(a_transcript(event, segments=1)) for event in events]))
    analyses = [an_analysis(event, version=1, findings=1) for event in events]
    store.sink.write(as_one_batch([rows_for_analysis(analysis) for analysis in analyses]))
    query = "EXPLAIN indexes = 1 SELECT * FROM {view:Identifier} WHERE call_id = 'call-1x'"
    plan = "\n".join(row[0] for row in store.client.query(query, parameters={"view": view}).result_rows)
    assert re.search(r"Name: call_id_index.*?Granules: 0/1", plan, flags=re.DOTALL)


def test_the_state_of_a_letter_is_what_became_of_its_message(store: Store) -> None:
    """`a_letter(n)` is of n seconds after noon, and a call ends n minutes after; refused at 12:00:0n each."""
    judged, waiting, conflicting, early, gone = (an_event(number) for number in range(1, 6))
    letters = {
        "open": a_letter(2, event=waiting),
        "resolved": a_letter(1, event=judged),
        "retried": handled(a_letter(6), "retried"),
        "discarded": handled(a_letter(7, event=judged), "discarded"),
        "purged": a_letter(5, event=gone),
        "of another event": a_letter(3, event=conflicting).model_copy(
            update={"exception_class": "ConflictingCallError"}
        ),
        "refused after it was judged": a_letter(99_999, event=early),
        "of what is no call": a_letter(8, event=judged, topic=CALLS_RATED.name).model_copy(update={"step": "store"}),
    }
    for event in (judged, conflicting, early):
        store.sink.write(rows_for_analysis(an_analysis(event, version=1, findings=1)))
    purged = {"tenant_id": gone.tenant_id, "call_id": gone.call_id, "outcome": "purged", "reason": "request"}
    store.sink.write({OUTCOMES: [{**purged, "ended_at": None, "since": NOW, "version": 2}]})
    for letter in letters.values():
        for delivered in (letter, letter.model_copy(update={"handling": None, "handled_at": None})):
            store.sink.write(rows_for_dead_letter(delivered))
    states = {row[0]: row[1] for row in store.rows("SELECT dead_letter_id, state FROM dead_letters")}
    assert {name: states[letter.dead_letter_id] for name, letter in letters.items()} == {
        **{name: name for name in ("open", "resolved", "retried", "discarded", "purged")},
        "of another event": "open",
        "refused after it was judged": "open",
        "of what is no call": "open",
    }
    in_view = store.rows(
        "SELECT step, exception_class, count() FROM dead_letters WHERE state = 'open' AND failed_at >= '2026-01-01' "
        "GROUP BY step, exception_class ORDER BY count() DESC, step, exception_class"
    )
    counted = dead_letter_counts(store.client, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert counted == [DeadLetterCount(*row) for row in in_view]
    assert counted[0].letters == 2
    assert dead_letter_counts(store.client, since=datetime(2027, 1, 1, tzinfo=UTC)) == []


def test_the_numbers_of_status(store: Store) -> None:
    now = T0 + timedelta(minutes=60)
    for number in (1, 2, 3, 59):
        store.sink.write(rows_for_call_ended(an_event(number), an_event(number).ended_at))
    store.sink.write(rows_for_analysis(an_analysis(an_event(1), version=1, findings=1, after_s=58 * 60)))
    store.sink.write(rows_for_dead_letter(a_letter(7)))
    since = now - timedelta(days=8)
    assert outcome_counts(store.client, since=since) == {"analyzed": 1, "pending": 3, "refused": 1}
    oldest = an_event(2).ended_at
    assert count_unaccounted(store.client, older_than_s=900, since=since, now=now) == Unaccounted(
        calls=2, oldest_since=oldest
    )
    assert count_unaccounted(store.client, older_than_s=86_400, since=since, now=now) == Unaccounted(
        calls=0, oldest_since=None
    )
    assert dead_letter_counts(store.client, since=since) == [DeadLetterCount("listen", "InvalidMessageError", 1)]
    assert calls_per_minute(store.client, now=now, minutes=5) == pytest.approx(1 / 5)


# --- who may do what


def test_the_analyst_reads_the_views_with_the_settings_of_clients(engine: RunningEngine) -> None:
    migrate(engine.url())
    analyst = connect(engine.url(user="analyst"))
    assert analyst.query("SELECT count() FROM calls SETTINGS final = 1").result_rows == [(0,)]
    analyst.close()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("INSERT INTO outcome_versions (call_id) VALUES ('x')", id="write a row"),
        pytest.param("DROP VIEW calls", id="drop a view"),
        pytest.param("SELECT * FROM system.processes", id="see the queries of others"),
        pytest.param("SELECT * FROM file('/etc/passwd', 'LineAsString')", id="read a file"),
        pytest.param("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", id="ask another host"),
    ],
)
def test_the_analyst_may_not(statement: str, engine: RunningEngine) -> None:
    migrate(engine.url())
    analyst = connect(engine.url(user="analyst"))
    with pytest.raises(DatabaseError, match=r"ACCESS_DENIED|READONLY|getcwd"):
        analyst.query(statement)
    analyst.close()


@pytest.mark.parametrize("user", ["callstream", "analyst"])
@pytest.mark.parametrize(
    "call",
    [
        pytest.param("file('{file}')", id="by its path"),
        pytest.param("file('{file}', 'none')", id="with a default"),
        pytest.param("file('../callstream.password')", id="by a path from the working directory"),
        pytest.param("arrayMap(path -> file(path), ['{file}'])", id="inside another function"),
    ],
)
def test_nobody_reads_a_file_of_the_machine_by_a_function(call: str, user: str, engine: RunningEngine) -> None:
    migrate(engine.url())
    client = connect(engine.url(user=user))
    with pytest.raises(DatabaseError, match="getcwd"):
        client.query("SELECT " + call.format(file=password_file(engine.data_dir, "callstream")))
    client.close()


@pytest.mark.parametrize("user", ["callstream", "analyst"])
@pytest.mark.parametrize(
    "query", ["SELECT * FROM Python(x)", "SELECT * FROM Python(x) SETTINGS allow_python_table_function = 1"]
)
def test_nobody_stops_the_engine_by_asking_python(query: str, user: str, engine: RunningEngine) -> None:
    migrate(engine.url())
    client = connect(engine.url(user=user))
    with pytest.raises(DatabaseError, match=r"FUNCTION_NOT_ALLOWED|READONLY|PROHIBITED"):
        client.query(query)
    assert client.query("SELECT 1").result_rows == [(1,)]
    client.close()


@pytest.mark.parametrize("statement", ["SELECT * FROM file('/etc/passwd', 'LineAsString')", "SYSTEM STOP LISTEN HTTP"])
def test_the_writer_reaches_neither_files_nor_the_server(statement: str, store: Store) -> None:
    with pytest.raises(DatabaseError, match=r"ACCESS_DENIED|getcwd"):
        store.client.command(statement)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        pytest.param("default", "", id="the holder of the server, who has no password"),
        pytest.param("callstream", "", id="without a password"),
        pytest.param("watcher", "watcher", id="a guessed password"),
    ],
)
def test_nobody_gets_in_without_a_password(user: str, password: str, engine: RunningEngine) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=10)
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    connection.request("POST", "/", b"SELECT 1", {"Authorization": f"Basic {credentials}"})
    assert connection.getresponse().status != http.client.OK
    connection.close()


def test_only_the_owner_can_read_passwords_and_configuration(engine: RunningEngine) -> None:
    private = [password_file(engine.data_dir, user) for user in ("callstream", "analyst")]
    private += [engine.data_dir / "config" / name for name in ("config.xml", "users.xml")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in private] == [0o600] * 4
    users = (engine.data_dir / "config" / "users.xml").read_text()
    assert password_of(engine.data_dir, "callstream") not in users


def test_processes_that_ask_for_a_password_at_once_get_the_same(tmp_path: Path) -> None:
    passwords: set[str] = set()
    threads = [threading.Thread(target=lambda: passwords.add(password_of(tmp_path, "callstream"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passwords) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["callstream.password"]


# --- starting and stopping


def test_rows_survive_a_stop_and_a_kill(tmp_path: Path) -> None:
    with running_engine(tmp_path) as engine:
        migrate(engine.url())
        for number, how in enumerate((signal.SIGTERM, signal.SIGKILL)):
            client = connect(engine.url())
            ClickHouseSink(client).write(rows_for_call_ended(an_event(number), T0))
            assert engine.stop(how) == (0 if how is signal.SIGTERM else -signal.SIGKILL)
            with pytest.raises(RetryableError):
                ClickHouseSink(client).write(rows_for_call_ended(an_event(number), T0))
            client.close()
            engine.start()
        client = connect(engine.url())
        assert client.query("SELECT call_id FROM outcomes ORDER BY call_id").result_rows == [("call-0",), ("call-1",)]
        client.close()


def test_a_sink_goes_on_with_the_same_client_after_the_engine_was_killed(tmp_path: Path) -> None:
    with running_engine(tmp_path) as engine:
        migrate(engine.url())
        client = connect(engine.url())
        sink = ClickHouseSink(client)
        sink.write(rows_for_call_ended(an_event(1), T0))
        engine.stop(signal.SIGKILL)
        engine.start()
        sink.write(rows_for_call_ended(an_event(1), T0))
        sink.write(rows_for_call_ended(an_event(2), T0))
        assert outcome_counts(client, since=T0) == {"pending": 2}
        client.close()


def _start_fails_with(data_dir: Path, port: int, environment: dict[str, str] | None = None) -> str:
    ended = subprocess.run(
        start_command(data_dir, port), capture_output=True, timeout=60, env={**os.environ, **(environment or {})}
    )
    assert ended.returncode == 5
    return ended.stderr.decode()


def test_a_second_engine_on_the_same_data_says_so(engine: RunningEngine) -> None:
    sentence = _start_fails_with(engine.data_dir, free_port())
    assert sentence == (
        f"Another ClickHouse engine is running on {engine.data_dir}; stop it, or choose another data directory.\n"
    )


def test_a_port_that_is_taken_is_named(engine: RunningEngine, tmp_path: Path) -> None:
    assert f"Port {engine.port} of 127.0.0.1 is not free" in _start_fails_with(tmp_path, engine.port)


def test_a_missing_engine_names_the_extra_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "chdb").mkdir(parents=True)
    (hidden / "chdb" / "__init__.py").write_text("")
    sentence = _start_fails_with(tmp_path / "data", free_port(), {"PYTHONPATH": str(hidden)})
    assert sentence == "The embedded ClickHouse engine is not installed: pip install 'callstream[embedded]'.\n"
