import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from processors.detectors.base.contract import Detector, Measure, NotMeasured, Result
from processors.detectors.duration import DurationSettings
from processors.detectors.sensitive_words import SensitiveWordsDetector
from processors.judging.call_context import CallContext
from processors.judging.pipeline import ANALYSIS_VERSION, Judge, JudgeSettings
from schemas.config.rule_pack import RulePackError
from schemas.messages.call_analysis import CallAnalysis, SkippedAnalysis
from schemas.messages.finding import Finding
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import Transcript
from tests.processors.transcripts import NOW, heard, not_heard, said
from tests.support.shipped_rules import shipped_judge, shipped_rules

JUDGE = shipped_judge()


@dataclass(frozen=True)
class Scripted:
    """A detector that yields what the test says, or raises."""

    name: ClassVar[str] = "scripted"
    measures: ClassVar[tuple[str, ...]] = ("first", "second")
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    results: tuple[Result, ...] = ()
    error: Exception | None = None

    def process(self, context: CallContext) -> Iterable[Result]:
        assert context.transcript.outcome is None, "it needs speech"
        yield from self.results
        if self.error is not None:
            raise self.error


def judged(transcript: Transcript, *detectors: Detector) -> CallAnalysis:
    return Judge(JudgeSettings(), detectors, rulebooks=shipped_rules()).judge(transcript, NOW)


def unmeasured(analysis: CallAnalysis) -> set[str]:
    """The measures that are null."""
    return {name for name, value in analysis.measures.items() if value is None}


def test_a_call_that_was_heard_is_analyzed() -> None:
    transcript = said(("customer", "你好"), ("agent", "这款保本保息"), industry="finance")
    analysis = JUDGE.judge(transcript, NOW)
    assert (analysis.outcome, analysis.outcome_reason) == ("analyzed", "complete")
    assert analysis.analysis_version == ANALYSIS_VERSION
    assert (analysis.call, analysis.engine, analysis.audio) == (transcript.call, transcript.engine, transcript.audio)
    assert (analysis.transcribed_at, analysis.analyzed_at) == (transcript.transcribed_at, NOW)
    assert analysis.measures["sensitive_words"] == 1
    assert [f.matched for f in analysis.findings if f.detector == "sensitive_words"] == ["保本保息"]
    assert CallAnalysis.decode(analysis.encode()) == analysis


def test_a_call_in_which_nothing_was_said_is_analyzed_and_says_so() -> None:
    analysis = JUDGE.judge(heard([], duration_ms=20_000), NOW)
    assert (analysis.outcome, analysis.outcome_reason) == ("analyzed", "no_speech")
    assert (analysis.measures["duration_ms"], analysis.measures["duration_in_band"]) == (20_000, False)
    assert analysis.measures["sensitive_words"] is None
    assert SkippedAnalysis(measure="sensitive_words", reason="no_speech") in analysis.skipped_analysis
    assert {skipped.measure for skipped in analysis.skipped_analysis} == unmeasured(analysis)


@pytest.mark.parametrize("outcome", ["too_short", "bad_audio", "unsupported", "refused", "purged"])
def test_the_outcome_of_a_call_that_was_not_heard_is_passed_on_with_its_length(outcome: Outcome) -> None:
    analysis = JUDGE.judge(not_heard(outcome, duration_ms=2_942), NOW)
    assert (analysis.outcome, analysis.outcome_reason) == (outcome, "because")
    assert {name: value for name, value in analysis.measures.items() if value is not None} == {"duration_ms": 2_942}
    assert {"duration_in_band", "sensitive_words"} < unmeasured(analysis)
    of_other_calls = {"repeated_contact", "contacts_before_7d"}
    reasons = {skipped.measure: skipped.reason for skipped in analysis.skipped_analysis}
    assert reasons.keys() == unmeasured(analysis)
    assert {reasons[measure] for measure in reasons.keys() - of_other_calls} == {outcome}
    assert {reasons[measure] for measure in of_other_calls} <= {outcome, "customer_unknown"}


def test_without_audio_every_measure_is_skipped_with_the_outcome() -> None:
    analysis = JUDGE.judge(not_heard("no_audio", duration_ms=None), NOW)
    assert set(analysis.measures.values()) == {None}
    # Whether a customer called before is not asked of the recording.
    assert {skipped.reason for skipped in analysis.skipped_analysis} == {"no_audio", "customer_unknown"}
    assert {skipped.measure for skipped in analysis.skipped_analysis} == set(analysis.measures)


def test_a_call_that_was_not_heard_is_not_shown_to_a_detector_that_needs_speech() -> None:
    analysis = judged(not_heard("bad_audio", duration_ms=None), Scripted(error=RuntimeError("asked nevertheless")))
    assert {skipped.reason for skipped in analysis.skipped_analysis} == {"bad_audio"}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Scripted(error=ValueError("客户的话")), id="raises at once"),
        pytest.param(
            Scripted((Measure("first", 1), Measure("second", 2)), ValueError("客户的话")), id="raises after its results"
        ),
        pytest.param(Scripted((Measure("first", 1),)), id="forgets a measure"),
        pytest.param(
            Scripted((Measure("first", 1), NotMeasured("first", "x"), Measure("second", 2))), id="says one twice"
        ),
        pytest.param(Scripted((Measure("first", 1), Measure("third", 3))), id="measures what it does not own"),
        pytest.param(Scripted((Measure("first", float("nan")), Measure("second", 2))), id="measures no number"),
        pytest.param(Scripted((Measure("first", 1), NotMeasured("second", "Not A Slug"))), id="gives no proper reason"),
    ],
)
def test_a_failing_detector_costs_only_its_own_measures(broken: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    sound = SensitiveWordsDetector(shipped_rules())
    with caplog.at_level(logging.DEBUG):
        analysis = judged(said(("agent", "这款保本保息"), industry="finance"), broken, sound)
    assert analysis.outcome == "analyzed"
    assert analysis.measures == {"first": None, "second": None, "sensitive_words": 1}
    assert [(skipped.measure, skipped.reason) for skipped in analysis.skipped_analysis] == [
        ("first", "detector_failed"),
        ("second", "detector_failed"),
    ]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "scripted" in record.getMessage()
    assert "Error" in record.getMessage()
    assert "客户" not in caplog.text
    assert "保本" not in caplog.text


def test_findings_are_in_the_order_of_the_call_and_none_is_twice() -> None:
    transcript = said(("agent", "我们内部有名额"), ("agent", "这款保本保息"), industry="finance")
    detector = SensitiveWordsDetector(shipped_rules())
    found = [result for result in detector.process(CallContext(transcript)) if isinstance(result, Finding)]
    twice = Scripted((*reversed(found), *found, Measure("first", 0), Measure("second", 0)))
    analysis = judged(transcript, twice)
    assert [finding.matched for finding in analysis.findings] == ["内部有名额", "保本保息"]


def test_the_duration_band_comes_from_the_settings() -> None:
    transcript = heard([("agent", 0, 1_000, "您好")], duration_ms=20_000)
    narrow = Judge(
        JudgeSettings((DurationSettings(duration_band_min_s=10, duration_band_max_s=30),)), rulebooks=shipped_rules()
    )
    assert JUDGE.judge(transcript, NOW).measures["duration_in_band"] is False
    assert narrow.judge(transcript, NOW).measures["duration_in_band"] is True


def test_the_packs_that_were_used_are_named() -> None:
    in_finance = JUDGE.judge(said(("agent", "您好"), industry="finance"), NOW).lexicon_version
    assert in_finance.startswith("finance@6,general@6#")
    assert JUDGE.judge(said(("agent", "您好"), industry="logistics"), NOW).lexicon_version.startswith("general@6#")
    assert JUDGE.judge(heard([], language="en"), NOW).lexicon_version == "none"


def test_a_folder_of_ones_own_is_used(tmp_path: Path) -> None:
    tmp_path.joinpath("acme.yaml").write_text(
        "{pack: acme, industry: finance, language: zh, version: 3, owner: acme, sensitive_words: [{id: house_word,"
        " category: forbidden, severity: low, score_delta: -1, words: [聚宝盆], advice: 说产品名,"
        " match: [聚宝盆很好], no_match: [没有聚宝盆]}]}",
        encoding="utf-8",
    )
    judge = Judge(JudgeSettings(rule_folders=(tmp_path,)))
    findings = judge.judge(said(("agent", "聚宝盆很好"), industry="finance"), NOW).findings
    (finding,) = (found for found in findings if found.detector == "sensitive_words")
    assert (finding.rule_id, finding.rule_version) == ("acme.house_word", "3")


def test_a_judge_is_not_built_from_a_broken_pack(tmp_path: Path) -> None:
    tmp_path.joinpath("acme.yaml").write_text("pack: 1", encoding="utf-8")
    with pytest.raises(RulePackError):
        Judge(JudgeSettings(rule_folders=(tmp_path,)))
