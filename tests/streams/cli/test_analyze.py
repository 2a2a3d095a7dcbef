"""`callstream analyze`: one recording, for people and for programs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript
from tests.processors.recordings import EXAMPLES, tone, wav
from tests.streams.cli.terminal import Terminal
from tests.support import speech_service
from tests.support.receiver import Receiver, Reply, running_receiver

pytestmark = pytest.mark.processes

TRANSCRIPTS = EXAMPLES.parent / "transcripts"
SOUND = wav([tone(440, 1_500, 8_000)], 8_000)

# What other people's programs rely on. A name may be added; none may change or go.
TRANSCRIPT_NAMES = {"call_id", "language", "engine", "segments", "rejected", "speech", "roles_inferred"}
SEGMENT_NAMES = {"segment_id", "role", "start_ms", "end_ms", "text", "words"}
ANALYSIS_NAMES = {
    *("call_id", "tenant_id", "analysis_version", "outcome", "outcome_reason", "measures", "skipped_analysis"),
    *("findings", "topics", "scorecard", "risk", "selection"),
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


@pytest.mark.loopback
class TestAnalyzeWithASpeechService:
    def test_a_recording_is_heard_by_the_service(self, terminal: Terminal) -> None:
        with running_receiver() as service:
            service.choose = speech_service.answering(speech_service.scripted)
            terminal.set(**api_settings(service))
            call = EXAMPLES / "s01_ecommerce_calm.flac"
            ended = terminal.run("analyze", call, "--meta", call.with_suffix(".json"), "--json")
        assert ended.code == 0
        transcript, analysis = ended.json["transcript"], ended.json["analysis"]
        assert analysis["engine"]["name"] == "openai-api"
        assert analysis["outcome"] == "analyzed"
        assert {segment["role"] for segment in transcript["segments"]} == {"agent", "customer"}
        assert {"sound", "text", "fused"} >= {
            segment["emotion"]["source"] for segment in transcript["segments"] if segment["emotion"]
        }
        assert speech_service.KEY not in ended.out

    @pytest.mark.parametrize(
        ("status", "code", "sentence"),
        [
            pytest.param(401, 3, "the speech service refuses the key: check speech_api_key", id="a wrong key"),
            pytest.param(503, 4, "the speech service did not recognise a turn in 1 attempts: HTTP 503", id="away"),
        ],
    )
    def test_what_is_wrong_with_it_is_one_sentence(
        self, terminal: Terminal, status: int, code: int, sentence: str
    ) -> None:
        with running_receiver(Reply(status)) as service:
            terminal.set(**api_settings(service), speech_api_attempts=1)
            ended = terminal.run("analyze", EXAMPLES / "s01_ecommerce_calm.flac")
        assert (ended.code, ended.out) == (code, "")
        assert ended.err.startswith(f"callstream: {sentence}")
        assert ended.err.count("\n") == 1


def api_settings(service: Receiver) -> dict[str, str]:
    return {
        "speech_engine": "openai-api",
        "speech_api_url": service.url("/v1"),
        "speech_api_model": speech_service.MODEL,
        "speech_api_key": speech_service.KEY,
    }


WRITTEN: dict[str, Any] = {
    "call": {"industry": "finance", "agent": {"id": "A1"}},
    "utterances": [
        {"role": "agent", "text": "这款产品保本保息，没有风险。"},
        {"role": "customer", "text": "我叫王小明，手机号是一三八零零一三八零零零。"},
    ],
}
TIMED: dict[str, Any] = {
    **WRITTEN,
    "utterances": [
        {**one, "start_ms": 2_500 * number, "end_ms": 2_500 * number + 2_000}
        for number, one in enumerate(WRITTEN["utterances"])
    ],
}

NOTE = (
    "no rule pack at hand is for the industry banking (there are packs for ecommerce, education, finance, medical, "
    "telecom): only general rules apply\n"
)


class TestAnalyzeTranscript:
    """Without audio, recogniser, broker or database."""

    def test_json_has_the_names_that_programs_rely_on(self, terminal: Terminal) -> None:
        file = terminal.file("a.json", json.dumps(WRITTEN))
        ended = terminal.run("analyze", "--transcript", file, "--json")
        assert ended.code == 0
        assert set(ended.json) == {"transcript", "analysis"}
        transcript, analysis = ended.json["transcript"], ended.json["analysis"]
        assert set(transcript) >= TRANSCRIPT_NAMES
        assert set(analysis) >= ANALYSIS_NAMES
        assert set(analysis["measures"]) >= MEASURE_NAMES
        assert all(set(segment) >= SEGMENT_NAMES for segment in transcript["segments"])
        assert all(set(finding) >= FINDING_NAMES for finding in analysis["findings"])
        assert analysis["measures"]["sensitive_words"] == 2
        unmeasured = {name for name, value in analysis["measures"].items() if value is None}
        assert unmeasured == {skipped["measure"] for skipped in analysis["skipped_analysis"]}
        Transcript.decode(json.dumps(transcript).encode())
        CallAnalysis.decode(json.dumps(analysis).encode())

    def test_it_is_the_same_every_time(self, terminal: Terminal) -> None:
        call = WRITTEN["call"] | {"started_at": "2026-03-02T10:00:00Z", "ended_at": "2026-03-02T10:01:00Z"}
        file = terminal.file("a.json", json.dumps(WRITTEN | {"call": call}))
        first, again = (terminal.run("analyze", "--transcript", file, "--json").json for _ in range(2))
        assert first["analysis"].pop("analyzed_at") <= again["analysis"].pop("analyzed_at")
        assert first == again

    @pytest.mark.parametrize("as_json", [[], ["--json"]])
    def test_it_is_masked(self, terminal: Terminal, as_json: list[str]) -> None:
        ended = terminal.run("analyze", "--transcript", terminal.file("a.json", json.dumps(WRITTEN)), *as_json)
        assert "我叫[姓名]，手机号是[手机号]。" in ended.out
        assert "王小明" not in ended.out
        assert "一三八零零" not in ended.out

    @pytest.mark.parametrize("as_json", [[], ["--json"]])
    def test_no_control_character_reaches_the_terminal(self, terminal: Terminal, as_json: list[str]) -> None:
        utterances = [{"role": "customer", "text": "我叫王\u200b小明\x00\x1b[2J，手机号是1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣。"}]
        file = terminal.file("a.json", json.dumps(WRITTEN | {"utterances": utterances}))
        ended = terminal.run("analyze", "--transcript", file, *as_json)
        assert "我叫[姓名]，手机号是[手机号]。" in ended.out
        assert not {character for character in ended.out if not character.isprintable()} - {"\n"}

    @pytest.mark.parametrize(
        ("industry", "noted"),
        [
            pytest.param("banking", True, id="no pack has this industry"),
            pytest.param("finance", False, id="a pack has"),
            pytest.param("general", False, id="for every call"),
        ],
    )
    def test_an_industry_without_rules_is_noted(self, terminal: Terminal, industry: str, noted: bool) -> None:
        file = terminal.file("a.json", json.dumps(WRITTEN | {"call": {"industry": industry}}))
        ended = terminal.run("analyze", "--transcript", file, "--json")
        assert (ended.code, ended.json["analysis"]["outcome"]) == (0, "analyzed")
        assert ended.err == (NOTE if noted else "")

    def test_for_people_a_time_is_printed_only_where_there_is_one(self, terminal: Terminal) -> None:
        untimed = terminal.run("analyze", "--transcript", terminal.file("a.json", json.dumps(WRITTEN)))
        timed = terminal.run("analyze", "--transcript", terminal.file("b.json", json.dumps(TIMED)))
        assert untimed.out.startswith("analyzed (complete), language zh\n         -  agent    这款产品")
        assert "「保本保息」\n" in untimed.out
        assert "     2.5 s  customer 我叫[姓名]" in timed.out
        assert "「保本保息」 at 0." in timed.out

    def test_metadata_goes_before_what_the_file_says(self, terminal: Terminal) -> None:
        call = EXAMPLES / "s04_ecommerce_angry_interrupts.json"
        file = terminal.file("a.json", json.dumps(WRITTEN))
        ended = terminal.run("analyze", "--transcript", file, "--meta", call, "--json")
        assert ended.json["analysis"]["call"]["industry"] == "ecommerce"

    def test_several_give_a_line_each_in_their_order(self, terminal: Terminal) -> None:
        told = {"utterances": [{"role": "agent", "text": "您好，您请讲"}]}
        files = [terminal.file(f"{name}.json", json.dumps(told | {"call": {"call_id": name}})) for name in "abc"]
        for arguments in (["--transcript", *files], [arg for file in files for arg in ("--transcript", file)]):
            ended = terminal.run("analyze", *arguments, "--json")
            assert ended.code == 0
            assert [json.loads(line)["analysis"]["call_id"] for line in ended.out.splitlines()] == ["a", "b", "c"]
        for_people = terminal.run("analyze", "--transcript", *files)
        assert [line for line in for_people.out.splitlines() if line.startswith("== ")] == [
            f"== {one}" for one in files
        ]

    def test_one_that_cannot_be_read_holds_up_none_of_the_others(self, terminal: Terminal) -> None:
        good, bad = terminal.file("a.json", json.dumps(WRITTEN)), terminal.file("b.json", '{"utterances": []}')
        ended = terminal.run("analyze", "--transcript", bad, good, "nowhere.json", "--json")
        first, second, third = map(json.loads, ended.out.splitlines())
        assert ended.code == 1
        assert "utterances" in first["error"]
        assert second["analysis"]["outcome"] == "analyzed"
        assert third["error"].startswith("nowhere.json cannot be read")
        assert ended.err.splitlines() == [first["error"], third["error"]]

    def test_segments_is_another_name_of_utterances(self, terminal: Terminal) -> None:
        named = {"call": WRITTEN["call"], "segments": WRITTEN["utterances"]}
        one, other = (
            terminal.run("analyze", "--transcript", terminal.file("a.json", json.dumps(each)), "--json").json
            for each in (WRITTEN, named)
        )
        assert other["analysis"]["findings"] == one["analysis"]["findings"]
        wrong = terminal.file("b.json", json.dumps(named | {"segments": [{"role": "boss", "text": "您好"}]}))
        assert "segments.0.role" in terminal.run("analyze", "--transcript", wrong).err

    @pytest.mark.parametrize("file", sorted(TRANSCRIPTS.glob("*.json")), ids=lambda file: file.stem)
    def test_the_examples_are_judged(self, terminal: Terminal, file: Path) -> None:
        ended = terminal.run("analyze", "--transcript", file, "--json")
        assert ended.code == 0
        analysis = ended.json["analysis"]
        assert analysis["outcome"] == "analyzed"
        assert {"finance.guaranteed_principal", "finance.no_risk"} <= {one["rule_id"] for one in analysis["findings"]}
        assert analysis["measures"]["recording_notice"] is True
        assert analysis["measures"]["agent_interruptions"] == 0
        assert "王小明" not in ended.out

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            pytest.param([], "give a recording, or a transcript with --transcript", id="neither"),
            pytest.param(["a.wav", "b.wav"], "give one recording", id="two recordings"),
            pytest.param(["a.json"], "a transcript goes with --transcript", id="a transcript without its option"),
        ],
    )
    def test_one_of_the_two_is_wanted(self, terminal: Terminal, arguments: list[str], sentence: str) -> None:
        ended = terminal.run("analyze", *arguments)
        assert ended.code == 2
        assert sentence in ended.err


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
        assert analysis["selection"]["selected"] is True
        assert "sensitive_word" in [trigger["name"] for trigger in analysis["selection"]["triggers"]]
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
        assert re.search(r"^selected by: .*sensitive_word \(坐席敏感词\)", ended.out, re.MULTILINE)
        assert "(agitated 0" not in ended.out

    def test_for_people_it_marks_what_was_said_in_agitation(self, terminal: Terminal) -> None:
        call = EXAMPLES / "s04_ecommerce_angry_interrupts.flac"
        ended = terminal.run("analyze", call, "--meta", call.with_suffix(".json"))
        marked = [line for line in ended.out.splitlines() if re.search(r"  \(agitated 0\.\d\d\)$", line)]
        assert marked
        assert all(" s  customer " in line for line in marked)
