"""The ten example recordings through a running stack with the real recogniser, read back from ClickHouse."""

import io
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import jiwer
import opencc
import pytest
from rich.console import Console

from benchmarks.character_errors import read_aloud
from processors.kpi.rollups import BY_HAND
from processors.pii.masking import PLACEHOLDER_OF
from schemas.messages.call_ended import CallEnded, Csat
from schemas.messages.call_rated import CallRated
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_RATED, message_key
from streams.adapters.clickhouse.connection import connect
from streams.adapters.kafka.client import Publisher, lags
from streams.cli.analyze import analyze_file
from streams.demo import demo
from streams.demo.examples import EXAMPLE_TENANT, example_recordings
from streams.embedded.stack import Stack, stages_of
from streams.embedded.supervisor import READY_FD
from streams.ports import SystemClock
from streams.settings import CONFIG_VARIABLE, PREFIX, load_settings, variable_of
from streams.stages.rollup import build_rollups
from streams.topology import consumer_groups, worker_stage
from tests.contracts.s3_server import ServerUnavailableError
from tests.contracts.versitygw_server import running_versitygw
from tests.e2e.expectations import READ, Judged, expected_value
from tests.processors.recordings import example_calls
from tests.support.cases import every_case
from tests.support.stack import publish_examples, rows, running_stack, wait_for_outcomes, wait_until

CALLS = sorted(example_calls())
MISDIAL = "s08_misdial"
HEARD = [call_id for call_id in CALLS if call_id != MISDIAL]
MONO = "s09_mono_logistics"
VIOLATION = "s02_finance_violation"

Row = dict[str, Any]


class Pipeline:
    """A stack through which every example has gone, and what then stands in its tables."""

    def __init__(self, stack: Stack, published: Sequence[CallEnded]) -> None:
        self.stack = stack
        self.published = {call.call_id: call for call in published}
        self.calls = {row["call_id"]: row for row in self.rows("SELECT * FROM whole_calls")}
        self.segments: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows("SELECT * FROM segments ORDER BY call_id, segment_id"):
            self.segments[row["call_id"]].append(row)
        self.findings = self.rows("SELECT * FROM findings ORDER BY call_id, start_ms")
        self.topics = self.rows("SELECT * FROM topics")

    def rows(self, sql: str) -> list[Row]:
        return rows(self.stack, sql)

    def found_by(self, detector: str) -> list[Row]:
        return [finding for finding in self.findings if finding["detector"] == detector]

    def judged(self, call_id: str) -> Judged:
        """What stands of a call in the tables."""
        call = self.calls[call_id]
        said = "".join(segment["text"] for segment in self.segments[call_id])
        return Judged(
            call["outcome"],
            call["measures"],
            self.words_found().get(call_id, []),
            [row["name"] for row in self.topics if row["call_id"] == call_id],
            call["risk_level"],
            call["retention_class"],
            frozenset(kind for kind, name in PLACEHOLDER_OF.items() if f"[{name}" in said),
        )

    def words_found(self) -> dict[str, list[str]]:
        """Call id → sensitive words as the rule has them, in the order in which they were said."""
        found: dict[str, list[str]] = defaultdict(list)
        for finding in self.found_by("sensitive_words"):
            found[finding["call_id"]].append(finding["attributes"]["word"])
        return dict(found)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tansu", marks=[pytest.mark.embedded, pytest.mark.model, pytest.mark.end_to_end]),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.model, pytest.mark.long]),
        pytest.param("tansu, with S3 over TLS", marks=[pytest.mark.versitygw, pytest.mark.model, pytest.mark.long]),
    ],
)
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    broker, _, store = request.param.partition(", with ")
    with ExitStack() as stack_and_store:
        settings: dict[str, object] = {}
        if store:
            try:
                server = stack_and_store.enter_context(running_versitygw(tmp_path_factory.mktemp("s3")))
            except ServerUnavailableError as reason:
                pytest.skip(str(reason))
            settings = {
                "store_kind": "s3",
                "s3_endpoint": server.endpoint,
                "s3_access_key": server.access_key,
                "s3_secret_key": server.secret_key,
            }
            environment = stack_and_store.enter_context(pytest.MonkeyPatch.context())
            environment.setenv("SSL_CERT_FILE", str(server.certificate))
        stack = stack_and_store.enter_context(running_stack(broker, tmp_path_factory.mktemp("stack"), settings))
        published = publish_examples(stack, CALLS)
        wait_for_outcomes(stack, CALLS, within_s=280)
        yield Pipeline(stack, published)


class TestExampleCalls:
    def test_each_stands_exactly_once_in_the_table_of_calls(self, pipeline: Pipeline) -> None:
        assert [row["call_id"] for row in pipeline.rows("SELECT call_id FROM calls ORDER BY call_id")] == CALLS
        assert pipeline.rows("SELECT DISTINCT tenant_id FROM calls") == [{"tenant_id": EXAMPLE_TENANT}]

    def test_each_has_the_outcome_that_it_should(self, pipeline: Pipeline) -> None:
        outcomes = pipeline.rows("SELECT call_id, outcome, reason FROM outcomes ORDER BY call_id")
        assert [(row["call_id"], row["outcome"], row["reason"]) for row in outcomes] == [
            (call_id, "too_short", "shorter_than_minimum") if call_id == MISDIAL else (call_id, "analyzed", "complete")
            for call_id in CALLS
        ]
        assert {call_id: row["outcome"] for call_id, row in pipeline.calls.items()} == {
            row["call_id"]: row["outcome"] for row in outcomes
        }

    def test_how_long_each_took_to_be_taken_in_is_known(self, pipeline: Pipeline) -> None:
        found = {row["call_id"]: row for row in pipeline.rows("SELECT * FROM captures")}
        assert sorted(found) == CALLS
        assert {row["source"] for row in found.values()} == {"publish"}
        assert all(row["capture_ms"] is not None for row in found.values())

    def test_nothing_is_unaccounted_for_or_refused(self, pipeline: Pipeline) -> None:
        assert pipeline.rows("SELECT * FROM unaccounted") == []
        assert pipeline.rows("SELECT * FROM dead_letters") == []

    @pytest.mark.parametrize("call_id", CALLS)
    def test_what_telephony_knows_of_a_call_stands_beside_it(self, pipeline: Pipeline, call_id: str) -> None:
        (file,) = (path for path in example_recordings() if path.stem == call_id)
        facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        call = pipeline.calls[call_id]
        assert call["started_at"] == datetime.fromisoformat(facts["started_at"])
        assert call["ended_at"] == datetime.fromisoformat(facts["ended_at"])
        assert (call["agent_id"], call["agent_team"]) == (facts["agent"]["id"], facts["agent"].get("team"))
        assert (call["direction"], call["industry"]) == (facts["direction"], facts["industry"])
        assert (call["queue"], call["order_id"]) == (facts.get("queue"), facts.get("order_id"))
        assert list(call["customer_tags"]) == facts.get("customer", {}).get("tags", [])
        assert call["csat_score"] == facts.get("csat", {}).get("score")
        assert call["crm"] == facts.get("crm", {})

    @pytest.mark.parametrize("call_id", CALLS)
    def test_its_length_is_that_of_the_recording(self, pipeline: Pipeline, call_id: str) -> None:
        assert abs(pipeline.calls[call_id]["duration_ms"] - example_calls()[call_id].duration_ms) <= 1


class TestWhatBecomesKnownLater:
    def test_an_answer_of_the_customer_reaches_ratings_and_the_kpis_of_the_day(self, pipeline: Pipeline) -> None:
        call = pipeline.published["s05_ecommerce_refund_silence"]
        rated = CallRated(
            tenant_id=call.tenant_id,
            call_id=call.call_id,
            rated_at=call.ended_at,
            source="sms_survey",
            csat=Csat(score=2),
            resolved=False,
        )
        publisher = Publisher(pipeline.stack.settings)
        publisher.publish([ProducerRecord(CALLS_RATED.name, message_key(call.tenant_id, call.call_id), rated.encode())])
        publisher.close()
        stored = "SELECT rating, resolved FROM ratings"
        wait_until(
            pipeline.stack,
            lambda: pipeline.rows(stored) == [{"rating": 25, "resolved": False}],
            lambda: "the answer of the customer in ratings",
        )
        build_rollups(pipeline.stack.settings, BY_HAND).refresh()
        (day,) = pipeline.rows(
            "SELECT sum(calls) AS calls FROM kpi_rollup_rows WHERE grain = 'day' AND dimension = 'tenant'"
        )
        assert day["calls"] == len(CALLS)


class TestWords:
    @pytest.mark.parametrize("call_id", HEARD)
    def test_most_of_what_was_said_stands_in_the_segments_of_its_call(self, pipeline: Pipeline, call_id: str) -> None:
        """Far from a measure of the recogniser: it shows text that is lost, repeated or of another call."""
        said = "".join(turn.text for turn in example_calls()[call_id].turns)
        understood = "".join(segment["text"] for segment in pipeline.segments[call_id])
        assert jiwer.cer(read_aloud(said), read_aloud(understood)) < 0.4

    def test_a_call_that_was_not_heard_has_no_segments(self, pipeline: Pipeline) -> None:
        assert MISDIAL not in pipeline.segments

    @pytest.mark.parametrize("call_id", HEARD)
    def test_segments_are_in_the_order_of_time_and_words_inside_the_call(
        self, pipeline: Pipeline, call_id: str
    ) -> None:
        segments = pipeline.segments[call_id]
        assert [segment["segment_id"] for segment in segments] == list(range(len(segments)))
        starts = [segment["start_ms"] for segment in segments]
        assert starts == sorted(starts)
        for segment in segments:
            assert segment["start_ms"] < segment["end_ms"] <= pipeline.calls[call_id]["duration_ms"]
            assert segment["text"] == "".join(segment["word_text"])
            times = list(zip(segment["word_start_ms"], segment["word_end_ms"], strict=True))
            assert times == sorted(times)
            assert all(start <= end for start, end in times)

    def test_both_sides_are_told_apart_by_their_channel(self, pipeline: Pipeline) -> None:
        for call_id in HEARD:
            roles = {(segment["channel"], segment["role"]) for segment in pipeline.segments[call_id]}
            assert roles == ({(0, "unknown")} if call_id == MONO else {(0, "agent"), (1, "customer")})

    def test_all_of_it_is_in_simplified_characters(self, pipeline: Pipeline) -> None:
        simplified = opencc.OpenCC("t2s")
        texts = [segment["text"] for segments in pipeline.segments.values() for segment in segments]
        texts += [finding[column] for finding in pipeline.findings for column in ("quote", "matched")]
        assert [text for text in texts if simplified.convert(text) != text] == []
        assert simplified.convert("這個問題") == "这个问题"


class TestFindings:
    def test_forbidden_words_are_found_where_the_agent_said_them_and_nowhere_else(self, pipeline: Pipeline) -> None:
        found = pipeline.words_found()
        assert set(found) == {VIOLATION, "s06_education_refund_rule"}
        assert found["s06_education_refund_rule"] == ["保证通过"]
        promises = found[VIOLATION]
        assert promises[0] in ("保本", "保本保息")
        assert promises[1:] == ["绝对不会亏损", "内部有名额"]

    def test_a_finding_quotes_what_was_said_and_tells_where(self, pipeline: Pipeline) -> None:
        assert pipeline.found_by("sensitive_words")
        for finding in pipeline.found_by("sensitive_words"):
            attributes = finding["attributes"]
            segment = pipeline.segments[finding["call_id"]][int(attributes["segment_id"])]
            hit = segment["text"][int(attributes["match_start"]) : int(attributes["match_end"])]
            assert hit
            assert finding["matched"].startswith(hit)
            assert finding["matched"] in finding["quote"]
            assert (finding["role"], segment["role"]) == ("agent", "agent")
            assert segment["start_ms"] <= finding["start_ms"] < finding["end_ms"]
            if "last_segment_id" not in attributes:
                assert hit == finding["matched"]
                assert finding["end_ms"] <= segment["end_ms"]

    def test_a_finding_lies_in_the_turn_in_which_the_words_were_said(self, pipeline: Pipeline) -> None:
        turns = example_calls()[VIOLATION].turns
        for word in ("绝对不会亏损", "内部有名额"):
            (finding,) = (row for row in pipeline.found_by("sensitive_words") if row["attributes"]["word"] == word)
            (turn,) = (turn for turn in turns if word in turn.text)
            assert turn.start_ms <= finding["start_ms"] < finding["end_ms"] <= turn.end_ms + 500

    def test_they_are_counted_on_the_call(self, pipeline: Pipeline) -> None:
        counted = {call_id: row["measures"]["sensitive_words"] for call_id, row in pipeline.calls.items()}
        assert counted == {
            call_id: None if call_id in (MISDIAL, MONO) else len(pipeline.words_found().get(call_id, []))
            for call_id in CALLS
        }

    @pytest.mark.parametrize(
        ("call_id", "skipped"),
        [
            pytest.param(MONO, {"sensitive_words": "speaker_unknown"}, id="one channel: nobody knows who speaks"),
            pytest.param(
                MISDIAL,
                {"sensitive_words": "too_short", "duration_in_band": "too_short", "duration_anomaly": "too_short"},
                id="nothing was heard",
            ),
            pytest.param(
                VIOLATION,
                {
                    "duration_deviation": "no_baseline",
                    "repeated_contact": "outbound_call",
                    "contacts_before_7d": "outbound_call",
                },
                id="all that there is to measure in the one call of its kind",
            ),
        ],
    )
    def test_what_was_not_measured_has_a_reason(
        self, pipeline: Pipeline, call_id: str, skipped: dict[str, str]
    ) -> None:
        call = pipeline.calls[call_id]
        assert skipped.items() <= dict(zip(call["skipped_measures"], call["skipped_reasons"], strict=True)).items()

    def test_what_is_null_has_a_reason_and_nothing_else_has(self, pipeline: Pipeline) -> None:
        for call in pipeline.calls.values():
            own = ("like_", "second_reader_")
            read = {
                name if name.startswith(own) else f"reading_{name}": value for name, value in call["reading"].items()
            }
            values = call["measures"] | read
            assert {name for name, value in values.items() if value is None} == set(call["skipped_measures"])

    @pytest.mark.parametrize("call_id", [call_id for call_id in CALLS if call_id not in (MISDIAL, MONO)])
    def test_interruptions_and_silences_are_those_of_the_calls(self, pipeline: Pipeline, call_id: str) -> None:
        expected = example_calls()[call_id].conversation
        measures = pipeline.calls[call_id]["measures"]
        assert {name: measures[name] for name in expected} == expected


@pytest.fixture(scope="session")
def analyzed() -> dict[str, Judged]:
    """Every example through `callstream analyze`, which needs neither broker nor database."""
    settings = load_settings().settings
    return {
        file.stem: Judged.of(*analyze_file(file, file.with_suffix(".json"), settings, SystemClock()))
        for file in example_recordings()
    }


def check_expectations(judged_of: Callable[[str], Judged]) -> None:
    with every_case() as cases:
        for call_id in CALLS:
            for name, value in example_calls()[call_id].expect.items():
                with cases.case(call_id, name):
                    assert READ[name](judged_of(call_id)) == expected_value(name, value)


class TestExpectations:
    """All that must be found in the example calls (tests/data/calls_truth.json), by both ways to it."""

    def test_a_call_in_the_tables_has_everything_that_it_must_have(self, pipeline: Pipeline) -> None:
        check_expectations(pipeline.judged)

    @pytest.mark.model
    @pytest.mark.processes
    @pytest.mark.long
    def test_so_has_one_that_was_analyzed_without_a_stack(self, analyzed: dict[str, Judged]) -> None:
        check_expectations(analyzed.__getitem__)

    def test_agitation_is_highest_where_the_customer_is_angry(self, pipeline: Pipeline) -> None:
        highest = {call_id: row["measures"]["customer_agitation_max"] for call_id, row in pipeline.calls.items()}
        known = {call_id: value for call_id, value in highest.items() if value is not None}
        assert max(known, key=lambda call_id: known[call_id]) == "s04_ecommerce_angry_interrupts"
        assert len(known) >= 8


class TestSecrets:
    def test_the_environment_of_a_process_holds_those_of_its_stage_alone(self, pipeline: Pipeline) -> None:
        stack = pipeline.stack
        clickhouse, customers = (
            secret.get_secret_value() for secret in (stack.settings.clickhouse_url, stack.settings.customer_key_secret)
        )
        assert clickhouse
        assert customers
        for stage in stages_of(stack.settings):
            held = environment_of(stack, "listen-0" if stage == "listen" else stage)
            groups = worker_stage(stage).setting_groups
            assert (clickhouse in held.values()) is ("ClickHouse" in groups), stage
            assert (customers in held.values()) is (stage in ("serve", "collect")), stage
            assert (variable_of("kafka_sasl_password") in held) is ("Kafka" in groups), stage
        for name in ("clickhouse", "kafka" if stack.settings.kafka_flavour == "apache" else "tansu"):
            settings = {variable for variable in environment_of(stack, name) if variable.startswith(PREFIX)}
            assert settings <= {READY_FD}, name


def environment_of(stack: Stack, name: str) -> dict[str, str]:
    """That with which the child was started."""
    pairs = Path(f"/proc/{stack.supervisor.pid(name)}/environ").read_text(encoding="utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


class TestReading:
    def test_the_status_of_the_command_line_agrees(self, pipeline: Pipeline) -> None:
        settings = pipeline.stack.settings
        wait_until(
            pipeline.stack,
            lambda: all(lag.messages == 0 for lag in lags(settings, consumer_groups())),
            lambda: f"no lag; there is {lags(settings, consumer_groups())}",
        )
        address_file = pipeline.stack.announce()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli.main", "status", "--json"],
            env=environment | {CONFIG_VARIABLE: str(address_file)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        status = json.loads(done.stdout)
        assert status["outcomes"] == {"analyzed": len(HEARD), "too_short": 1}
        assert (status["unaccounted"], status["oldest_unaccounted"], status["dead_letters"]) == (0, None, [])
        assert {(lag["stage"], lag["topic"]) for lag in status["lags"]} == {
            (stage, topic) for stage, topics in consumer_groups().items() for topic in topics
        }
        assert [lag for lag in status["lags"] if lag["messages"]] == []
        assert status["calls_per_minute"] > 0
        assert [lag for lag in status["lags"] if lag["oldest_waits_s"] is not None] == []
        assert status["problems"] == []
        stages = set(stages_of(settings))
        assert {(one["stage"], one["state"]) for one in status["local"]["workers"]} == {(s, "works") for s in stages}
        assert {child["name"].removesuffix("-0") for child in status["local"]["children"]} >= stages

    def test_the_table_of_the_demo_shows_every_call_with_what_was_found(self, pipeline: Pipeline) -> None:
        client = connect(pipeline.stack.settings.clickhouse_url.get_secret_value())
        screen = io.StringIO()
        Console(file=screen, width=250).print(demo.table_of_calls(client))
        client.close()
        shown = screen.getvalue()
        for expected in (*CALLS, "too_short", "绝对不会亏损", "内部有名额", "保证通过"):
            assert expected in shown
