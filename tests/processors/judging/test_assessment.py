"""Every judged call has a score, a risk and a retention class; one that was not heard has the class alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from processors.detectors.sensitive_words import SensitiveWordsDetector
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.config.retention import RETENTION_FILE, RetentionPolicyError
from schemas.config.risk import RISK_FILE, RiskRulesError
from schemas.config.score_form import SCORE_FORM_FOLDER, ScoreFormError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import Transcript
from tests.processors.transcripts import NOW, heard, not_heard, said
from tests.schemas.config.yaml_change import changed
from tests.support.shipped_rules import shipped_judge, shipped_rules

JUDGE = shipped_judge()
ROOT = Path(__file__).parents[3]
TRUTH: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "calls_truth.json").read_text(encoding="utf-8"))


def test_a_call_that_was_heard_has_all_three() -> None:
    words = SensitiveWordsDetector(JUDGE.rulebooks)
    judge = Judge(JudgeSettings(), [words], rulebooks=JUDGE.rulebooks)
    analysis = judge.judge(said(("agent", "这款保本保息"), industry="finance"), NOW)
    assert analysis.scorecard is not None
    assert analysis.risk is not None
    assert (analysis.scorecard.form_id, analysis.scorecard.form_version) == ("finance", 2)
    (promise,) = (item for item in analysis.scorecard.items if item.item_id == "no_promise")
    (finding,) = analysis.findings
    assert (promise.points, promise.max_points) == (0, 8)
    assert [one.finding_id for one in promise.evidence] == [None, finding.finding_id]
    assert [part.part for part in analysis.risk.parts] == ["sensitive_word"]
    assert (analysis.risk.level, analysis.risk.score) == ("medium", 35)
    assert (analysis.retention_class, analysis.retention_days) == ("finance", 1825)
    assert CallAnalysis.decode(analysis.encode()) == analysis


@pytest.mark.parametrize("outcome", ["too_short", "no_audio", "bad_audio", "unsupported", "refused", "purged"])
def test_a_call_that_was_not_heard_has_the_class_of_its_event_alone(outcome: Outcome) -> None:
    analysis = JUDGE.judge(not_heard(outcome, duration_ms=None), NOW)
    assert (analysis.scorecard, analysis.risk) == (None, None)
    assert (analysis.retention_class, analysis.retention_days) == ("general", 180)


def test_a_refund_call_of_the_examples_is_kept_for_three_years() -> None:
    turns = [
        (turn["channel"], turn["start_ms"], turn["end_ms"], turn["text"])
        for turn in TRUTH["s06_education_refund_rule"]["turns"]
    ]
    analysis = JUDGE.judge(heard(turns, industry="education"), NOW)
    assert analysis.retention_class == TRUTH["s06_education_refund_rule"]["expect"]["retention_class"]
    assert analysis.retention_days == 1095


def test_what_was_said_makes_no_difference_in_another_industry() -> None:
    assert JUDGE.judge(said(("customer", "我要退费"), industry="finance"), NOW).retention_class == "finance"


def in_finance() -> Transcript:
    return said(("agent", "这款保本保息"), industry="finance")


def test_forms_risk_and_retention_of_ones_own_are_used(tmp_path: Path) -> None:
    forms, others = tmp_path / "forms", tmp_path / "others"
    forms.mkdir()
    others.mkdir()
    changed(SCORE_FORM_FOLDER / "finance.yaml", forms, "version: 2", "version: 9\ntenant: acme")
    risk = changed(RISK_FILE, others, "{medium: 25, high: 60}", "{medium: 5, high: 35}")
    retention = changed(RETENTION_FILE, others, "days: 1825", "days: 2000")
    settings = JudgeSettings(score_form_folders=(forms,), risk_file=risk, retention_file=retention)
    analysis = Judge(settings, rulebooks=shipped_rules()).judge(in_finance(), NOW)
    assert analysis.scorecard is not None
    assert analysis.risk is not None
    assert analysis.scorecard.form_version == 9
    assert analysis.risk.level == "high"
    assert analysis.retention_days == 2000


def test_a_judge_is_not_built_from_what_is_broken(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1", encoding="utf-8")
    with pytest.raises(ScoreFormError):
        Judge(JudgeSettings(score_form_folders=(tmp_path,)), rulebooks=shipped_rules())
    with pytest.raises(RiskRulesError):
        Judge(JudgeSettings(risk_file=broken), rulebooks=shipped_rules())
    with pytest.raises(RetentionPolicyError):
        Judge(JudgeSettings(retention_file=broken), rulebooks=shipped_rules())


def test_the_measures_of_a_judge_are_those_of_its_detectors() -> None:
    assert {"duration_ms", "sensitive_words"} <= JUDGE.measures
    assert Judge(JudgeSettings(), (), rulebooks=shipped_rules()).measures == frozenset()
