"""The command line as a person or a script meets it: help, sentences, exit codes, JSON."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from schemas.contracts import contracts_text
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript
from streams.cli.main import app
from streams.embedded.ports import free_port
from streams.settings import CONFIG_VARIABLE, setting_fields
from streams.topology import operations
from tests.processors.recordings import EXAMPLES, tone, wav
from tests.streams.cli.terminal import Terminal

REPOSITORY = Path(__file__).parents[3]
SECRET = "tiger-lily-7"
NUMBER = "13800138000"
SOUND = wav([tone(440, 1_500, 8_000)], 8_000)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it. Untyped, because typer brings a click of its own or uses another."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


class TestHelp:
    @pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "callstream")
    def test_every_command_explains_itself_and_each_of_its_options(
        self, terminal: Terminal, path: tuple[str, ...]
    ) -> None:
        shown = terminal.run(*path, "--help")
        assert (shown.code, shown.err) == (0, "")
        assert COMMANDS[path].help
        for parameter in COMMANDS[path].params:
            if parameter.param_type_name == "option":
                assert parameter.opts[0] in shown.out
            assert getattr(parameter, "help", None), f"{path} {parameter.name} has no help"

    def test_the_first_page_documents_every_exit_code(self, terminal: Terminal) -> None:
        page = terminal.run("--help").out
        _, _, codes = page.partition("Exit codes")
        for code in (
            "0  done",
            "1  done, and",
            "2  the command",
            "3  a setting",
            "4  Kafka",
            "5  a process",
            "70  a bug",
        ):
            assert code in codes

    def test_every_command_that_the_first_page_shows_exists(self, terminal: Terminal) -> None:
        shown = [line.split() for line in terminal.run("--help").out.splitlines() if line.startswith("    callstream ")]
        assert len(shown) >= 5
        assert all((words[1],) in COMMANDS for words in shown)

    def test_it_is_installed_under_its_name(self) -> None:
        installed = Path(sys.executable).parent / "callstream"
        done = subprocess.run([installed, "worker", "dream"], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert "dream is not a stage: listen, judge, store" in done.stderr


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            pytest.param(["dance"], "No such command 'dance'", id="unknown command"),
            pytest.param(["status", "--colour"], "No such option: --colour", id="unknown option"),
            pytest.param(["worker"], "Missing argument", id="no stage"),
            pytest.param(["worker", "listen", "dream"], "dream is not a stage: listen, judge, store", id="which stage"),
            pytest.param(["up", "--broker", "pigeon"], "pigeon is not a broker: kafka or tansu", id="which broker"),
            pytest.param(["up", "--listen-workers", "0"], "--listen-workers", id="no worker"),
            pytest.param(["publish"], "Missing argument", id="nothing to publish"),
            pytest.param(
                ["publish", "a.wav", "b.wav", "--call-id", "c1"], "one call id cannot name", id="one id for two"
            ),
        ],
    )
    def test_a_wrong_one_ends_with_2_and_says_what_is_wrong(
        self, terminal: Terminal, arguments: list[str], sentence: str
    ) -> None:
        ended = terminal.run(*arguments)
        assert ended.code == 2
        assert sentence in ended.err

    def test_without_a_command_there_is_the_first_page(self, terminal: Terminal) -> None:
        ended = terminal.run()
        assert ended.code == 2
        assert "First steps" in ended.out + ended.err


class TestSettings:
    @pytest.mark.parametrize(
        "command",
        [
            pytest.param(["worker", "listen"], id="worker"),
            pytest.param(["publish", "a.wav"], id="publish"),
            pytest.param(["analyze", "a.wav"], id="analyze"),
            pytest.param(["topics", "apply"], id="topics apply"),
            pytest.param(["store", "apply"], id="store apply"),
            pytest.param(["migrate"], id="migrate"),
            pytest.param(["status"], id="status"),
            pytest.param(["config"], id="config"),
            pytest.param(["up"], id="up"),
            pytest.param(["demo"], id="demo"),
        ],
    )
    def test_a_wrong_one_stops_every_start_with_3_and_is_named(self, terminal: Terminal, command: list[str]) -> None:
        terminal.set(whisper_threads="many")
        ended = terminal.run(*command)
        assert ended.code == 3
        assert ended.err.startswith("callstream: CALLSTREAM_WHISPER_THREADS does not fit")
        assert ended.err.count("\n") == 1

    def test_one_that_does_not_exist_is_named(self, terminal: Terminal) -> None:
        terminal.set(whisper_treads="2")
        ended = terminal.run("status")
        assert ended.code == 3
        assert "CALLSTREAM_WHISPER_TREADS is not a setting" in ended.err

    def test_one_that_only_shows_when_it_is_used_is_named(self, terminal: Terminal) -> None:
        terminal.set(store_kind="s3")
        ended = terminal.run("store", "apply")
        assert ended.code == 3
        assert "s3_access_key is not set, and store_kind is s3" in ended.err


class TestConfig:
    def test_it_tells_every_value_and_where_it_came_from(self, terminal: Terminal) -> None:
        terminal.set(min_call_ms="4000")
        file = terminal.file("callstream.toml", "whisper_beam_size = 1\n")
        terminal.set(config=file)
        shown = terminal.run("config", "--json")
        assert shown.code == 0
        assert set(shown.json) == set(setting_fields())
        assert shown.json["min_call_ms"] == {"value": "4000", "origin": "environment"}
        assert shown.json["whisper_beam_size"] == {"value": "1", "origin": "file"}
        assert shown.json["max_call_minutes"] == {"value": "240", "origin": "default"}

    @pytest.mark.parametrize("form", [["config"], ["config", "--json"], ["config", "--markdown"]], ids=" ".join)
    def test_secrets_are_hidden_in_every_form(self, terminal: Terminal, form: list[str]) -> None:
        terminal.set(
            customer_key_secret=SECRET,
            s3_secret_key=SECRET,
            kafka_sasl_password=SECRET,
            clickhouse_url=f"http://me:{SECRET}@127.0.0.1:8123/callstream",
        )
        shown = terminal.run(*form)
        assert shown.code == 0
        assert SECRET not in shown.out + shown.err

    def test_one_sees_whether_a_secret_is_set(self, terminal: Terminal) -> None:
        terminal.set(customer_key_secret=SECRET)
        shown = terminal.run("config", "--json").json
        assert shown["customer_key_secret"] == {"value": "********", "origin": "environment"}
        assert shown["s3_secret_key"] == {"value": "", "origin": "default"}

    def test_the_address_file_of_a_running_stack_counts_where_no_other_file_is_named(self, terminal: Terminal) -> None:
        terminal.file("data/stack.toml", 'kafka_bootstrap = "127.0.0.1:5"\n')
        assert terminal.run("config", "--json").json["kafka_bootstrap"] == {"value": "127.0.0.1:5", "origin": "file"}
        terminal.set(config=terminal.file("mine.toml", ""))
        assert terminal.run("config", "--json").json["kafka_bootstrap"]["origin"] == "default"

    def test_a_variable_goes_before_the_address_file(self, terminal: Terminal) -> None:
        terminal.file("data/stack.toml", 'kafka_bootstrap = "127.0.0.1:5"\n')
        terminal.set(kafka_bootstrap="127.0.0.1:6")
        shown = terminal.run("config", "--json").json
        assert shown["kafka_bootstrap"] == {"value": "127.0.0.1:6", "origin": "environment"}


class TestWhatDoesNotAnswer:
    def test_kafka_is_named_with_4(self, terminal: Terminal) -> None:
        terminal.set(kafka_bootstrap=f"127.0.0.1:{free_port()}")
        ended = terminal.run("topics", "apply")
        assert ended.code == 4
        assert ended.err.startswith("callstream: no Kafka broker answers")
        assert ended.err.count("\n") == 1

    @pytest.mark.parametrize("command", ["status", "migrate"])
    def test_clickhouse_is_named_with_4_and_its_password_is_not(self, terminal: Terminal, command: str) -> None:
        port = free_port()
        terminal.set(clickhouse_url=f"http://me:{SECRET}@127.0.0.1:{port}/callstream")
        ended = terminal.run(command)
        assert ended.code == 4
        assert "ClickHouse" in ended.err
        assert f"127.0.0.1:{port}" in ended.err
        assert SECRET not in ended.err

    def test_a_bucket_that_was_never_made_is_named_with_the_command_that_makes_it(self, terminal: Terminal) -> None:
        ended = terminal.run("publish", terminal.file("a.wav", SOUND))
        assert ended.code == 3
        assert "run `callstream store apply`" in ended.err
        assert terminal.run("store", "apply").code == 0
        assert (terminal.folder / "data" / "objects" / "callstream").is_dir()

    def test_jars_that_cannot_be_fetched_end_up_with_5_and_both_ways_out(self, terminal: Terminal) -> None:
        cache = terminal.folder / "cache"
        terminal.set(maven_url=f"http://127.0.0.1:{free_port()}", cache_dir=cache)
        ended = terminal.run("up")
        assert ended.code == 5
        assert "set CALLSTREAM_MAVEN_URL" in ended.err
        assert f"copy the jars into {cache}" in ended.err
        assert "`--broker tansu`, which forgets everything" in ended.err
        assert not (terminal.folder / "data" / "stack.toml").exists()


class TestPublish:
    @pytest.mark.parametrize(
        ("options", "meta", "sentence"),
        [
            pytest.param(["--customer", NUMBER], None, "customer_key_secret is not set", id="no secret"),
            pytest.param(["--ended-at", "2026-03-02T10:15:00"], None, "a.wav: ended_at: has no time zone", id="naive"),
            pytest.param(["--direction", "up"], None, "a.wav: direction: literal_error", id="direction"),
            pytest.param(["--channel-roles", "boss"], None, "a.wav: audio.channel_roles.0: literal_error", id="role"),
            pytest.param(["--tenant", "../x"], None, "a.wav: tenant_id: string_pattern_mismatch", id="tenant"),
            pytest.param(["--team", "one"], '{"agent": "A1"}', "agent: must be an object", id="agent in the metadata"),
            pytest.param(
                ["--channel-roles", "agent"], '{"audio": "x"}', "audio: must be an object", id="audio in the metadata"
            ),
            pytest.param([], "[]", "must hold one JSON object", id="metadata of another shape"),
            pytest.param([], '{"phone": 1}', "a.wav: <unknown field>: extra_forbidden", id="unknown field"),
        ],
    )
    def test_what_makes_no_event_ends_with_1_and_is_named(
        self, terminal: Terminal, options: list[str], meta: str | None, sentence: str
    ) -> None:
        file = terminal.file("a.wav", SOUND)
        with_meta = ["--meta", str(terminal.file("a.json", meta))] if meta else []
        ended = terminal.run("publish", file, *with_meta, *options)
        assert ended.code == 1
        assert sentence in ended.err
        assert NUMBER not in ended.err

    def test_a_number_that_is_none_is_not_repeated(self, terminal: Terminal) -> None:
        terminal.set(customer_key_secret=SECRET)
        ended = terminal.run("publish", terminal.file("a.wav", SOUND), "--customer", NUMBER + " 王小明")
        assert ended.code == 1
        assert "is not a phone number" in ended.err
        assert NUMBER not in ended.err
        assert "王小明" not in ended.err

    @pytest.mark.parametrize("command", ["publish", "analyze"])
    def test_a_missing_recording_ends_with_1_and_is_named(self, terminal: Terminal, command: str) -> None:
        ended = terminal.run(command, "missing.wav")
        assert ended.code == 1
        assert "missing.wav cannot be read: No such file or directory" in ended.err

    @pytest.mark.parametrize("command", ["publish", "analyze"])
    def test_missing_metadata_ends_with_1_and_is_named(self, terminal: Terminal, command: str) -> None:
        ended = terminal.run(command, terminal.file("a.wav", SOUND), "--meta", "missing.json")
        assert ended.code == 1
        assert "missing.json does not exist" in ended.err


class TestContracts:
    def test_those_of_the_repository_are_current(self, terminal: Terminal) -> None:
        ended = terminal.run("contracts", "--check", "--out", REPOSITORY)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.count(": current\n") == len(contracts_text(operations()))

    def test_missing_ones_end_with_1_until_they_are_written(self, terminal: Terminal) -> None:
        assert terminal.run("contracts", "--check").code == 1
        assert terminal.run("contracts").code == 0
        assert terminal.run("contracts", "--check").code == 0

    def test_a_changed_one_is_named(self, terminal: Terminal) -> None:
        terminal.run("contracts")
        file = Path("docs/contracts/call_ended.v1.schema.json")
        (terminal.folder / file).write_text("{}", encoding="utf-8")
        ended = terminal.run("contracts", "--check")
        assert ended.code == 1
        assert f"{file}: not current" in ended.out


def test_a_bug_ends_with_70_and_its_frames_but_not_its_text(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug() -> dict[str, str]:
        raise KeyError(f"王小明 {NUMBER}")

    monkeypatch.setattr("schemas.contracts.contracts_text", bug)
    ended = terminal.run("contracts")
    assert ended.code == 70
    assert "callstream: this is a bug: builtins.KeyError" in ended.err
    assert "in bug" in ended.err
    assert NUMBER not in ended.err
    assert "王小明" not in ended.err


# What other people's programs rely on. A name may be added; none may change or go.
TRANSCRIPT_NAMES = {"call_id", "language", "engine", "segments", "rejected", "speech", "roles_inferred"}
SEGMENT_NAMES = {"segment_id", "role", "start_ms", "end_ms", "text", "words"}
ANALYSIS_NAMES = {
    *("call_id", "tenant_id", "analysis_version", "outcome", "outcome_reason", "measures", "skipped_analysis"),
    *("findings", "topics", "scorecard", "risk"),
}
FINDING_NAMES = {
    *("finding_id", "detector", "rule_id", "rule_version", "category", "role", "start_ms", "end_ms", "quote"),
    *("matched", "severity", "score_delta", "confidence", "attributes"),
}
MEASURE_NAMES = {
    *("duration_ms", "duration_in_band", "sensitive_words", "agent_talk_share", "overlap_ms", "non_talk_ms"),
    *("unexcused_silence_ms", "excused_silence_ms", "longest_silence_ms", "agent_interruptions"),
    *("customer_interruptions", "agent_interruption_rate", "customer_interruption_rate", "agent_back_channels"),
    *("customer_back_channels", "agent_speech_rate_cpm", "customer_speech_rate_cpm", "response_delay_median_ms"),
    *("customer_agitated_segments", "customer_agitation_max", "customer_sentiment_trend", "emotion_coping"),
}


class TestAnalyzeWithoutItsRecogniser:
    """A sentence that says what to do, and no frames of the code."""

    @pytest.mark.parametrize(
        ("settings", "sentence"),
        [
            pytest.param(
                {"speech_engine": "sherpa-onnx", "sherpa_model": "/nowhere/model"},
                "callstream: sherpa_model names the folder /nowhere/model, which does not exist\n",
                id="sherpa_onnx_without_its_folder",
            ),
            pytest.param(
                {"whisper_model": "/nowhere/model"},
                "callstream: whisper_model names the folder /nowhere/model, which does not exist\n",
                id="whisper_without_its_folder",
            ),
            pytest.param(
                {"whisper_compute_type": "float16"},
                "callstream: whisper_compute_type float16 is not possible with whisper_device cpu on this machine: "
                "set it to one of ",
                id="a_precision_for_gpus",
            ),
        ],
    )
    def test_the_setting_is_named(self, terminal: Terminal, settings: dict[str, str], sentence: str) -> None:
        terminal.set(**settings)

        ended = terminal.run("analyze", terminal.file("a.wav", SOUND))

        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith(sentence)
        assert ended.err.count("\n") == 1


@pytest.mark.model
class TestAnalyze:
    def test_json_has_the_names_that_programs_rely_on(self, terminal: Terminal) -> None:
        terminal.set(whisper_beam_size="1")
        call = EXAMPLES / "s02_finance_violation.flac"
        ended = terminal.run("analyze", call, "--meta", call.with_suffix(".json"), "--json")
        assert ended.code == 0
        assert set(ended.json) == {"transcript", "analysis"}
        transcript, analysis = ended.json["transcript"], ended.json["analysis"]
        assert set(transcript) >= TRANSCRIPT_NAMES
        assert set(analysis) >= ANALYSIS_NAMES
        assert transcript["segments"]
        assert all(set(segment) >= SEGMENT_NAMES for segment in transcript["segments"])
        assert {segment["role"] for segment in transcript["segments"]} == {"agent", "customer"}
        assert set(transcript["speech"]) == {"agent", "customer"}
        assert analysis["findings"]
        assert all(set(finding) >= FINDING_NAMES for finding in analysis["findings"])
        assert set(analysis["measures"]) >= MEASURE_NAMES
        assert analysis["outcome"] == "analyzed"
        assert analysis["call_id"] == transcript["call_id"] == "s02_finance_violation"
        # What is printed is what flows on the topics.
        Transcript.decode(json.dumps(transcript).encode())
        CallAnalysis.decode(json.dumps(analysis).encode())

    def test_what_is_not_measured_is_null_with_a_reason(self, terminal: Terminal) -> None:
        ended = terminal.run("analyze", terminal.file("a.wav", SOUND), "--json")
        assert ended.code == 0
        analysis = ended.json["analysis"]
        assert (analysis["outcome"], analysis["outcome_reason"]) == ("too_short", "shorter_than_minimum")
        measures = dict(analysis["measures"])
        assert measures.pop("duration_ms") == 1_500
        assert {"duration_in_band", "sensitive_words"} < set(measures)
        assert set(measures.values()) == {None}
        assert {skipped["measure"]: skipped["reason"] for skipped in analysis["skipped_analysis"]} == dict.fromkeys(
            measures, "too_short"
        )

    def test_for_people_it_prints_who_said_what_and_what_was_found(self, terminal: Terminal) -> None:
        terminal.set(whisper_beam_size="1")
        call = EXAMPLES / "s06_education_refund_rule.flac"
        ended = terminal.run("analyze", call, "--meta", call.with_suffix(".json"))
        assert ended.code == 0
        assert ended.out.startswith("analyzed (complete), language zh\n")
        assert " s  agent    " in ended.out
        assert " s  customer " in ended.out
        assert "「保证通过」 at " in ended.out
        assert "sensitive_words = 1\n" in ended.out
        assert "(agitated 0" not in ended.out

    def test_for_people_it_marks_what_was_said_in_agitation(self, terminal: Terminal) -> None:
        call = EXAMPLES / "s04_ecommerce_angry_interrupts.flac"
        ended = terminal.run("analyze", call, "--meta", call.with_suffix(".json"))
        marked = [line for line in ended.out.splitlines() if re.search(r"  \(agitated 0\.\d\d\)$", line)]
        assert marked
        assert all(" s  customer " in line for line in marked)


def test_the_variable_that_names_the_file_is_the_documented_one(terminal: Terminal) -> None:
    assert CONFIG_VARIABLE == "CALLSTREAM_CONFIG"
    terminal.set(config=terminal.folder / "missing.toml")
    ended = terminal.run("config")
    assert ended.code == 3
    assert "missing.toml does not exist" in ended.err
