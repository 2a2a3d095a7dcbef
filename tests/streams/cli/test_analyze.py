"""`callstream analyze`: one recording, for people and for programs."""

import json
import re

import pytest

from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript
from tests.processors.recordings import EXAMPLES, tone, wav
from tests.streams.cli.terminal import Terminal

pytestmark = pytest.mark.processes

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
