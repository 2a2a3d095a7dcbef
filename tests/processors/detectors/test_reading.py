"""What was read is measured, and what is suspected costs nothing and alerts nobody."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from processors.alerts.raising import alerts_of
from processors.detectors.base.contract import DetectorContext
from processors.detectors.reading import ADVICE, KIND_NAMES, ReadingSettings, detector
from processors.judging.pipeline import Judge, JudgeSettings
from processors.reading.call_reader import KIND_SHARE, KINDS, VIOLATION, WEIGHTS, CallReader
from processors.reading.features import Said
from processors.text.normalized_text import normalize
from schemas.config.tenants import TenantEntry, TenantReading, Tenants
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import NOW, heard, on_one_channel, said
from tests.support.reading import as_of_an_earlier_release
from tests.support.shipped_rules import shipped_judge, shipped_rules

DETECTOR = detector(DetectorContext(shipped_rules()))
BAD = said(
    ("customer", "我要退款，你们这个课我不想上了"),
    ("agent", "姐，您加我个人微信，直接转我，私下给您便宜，别走公司账"),
    ("customer", "这样不好吧"),
    ("agent", "您要投诉就去投诉吧，爱找谁找谁，我不怕，退不了"),
)


def test_probabilities_and_suspicions_are_measured() -> None:
    values = measured(DETECTOR, BAD)
    assert set(values) | set(not_measured(DETECTOR, BAD)) == set(DETECTOR.measures)
    assert all(0 <= float(values[name] or 0) <= 1 for name in DETECTOR.measures[:3])
    assert values["reading_suspicions"] == len(found(DETECTOR, BAD))


def test_a_suspicion_quotes_what_weighed_most() -> None:
    suspicions = [one for one in found(DETECTOR, BAD) if one.matched]
    assert suspicions != []
    for one in suspicions:
        assert one.category.startswith("suspected_")
        assert one.matched in one.quote
        assert (one.severity, one.score_delta, one.role) == ("info", 0, "agent")
        assert one.attributes["model"] == one.rule_version
        segment = BAD.segments[int(one.attributes["segment_id"])]
        assert segment.text[int(one.attributes["match_start"]) : int(one.attributes["match_end"])] == one.matched


def test_a_call_is_suspected_of_a_kind_of_which_no_utterance_is_suspected_by_itself(tmp_path: Path) -> None:
    shipped = CallReader.load()
    by_utterance = found(DETECTOR, BAD)
    least = max(one.confidence for one in by_utterance) + 1e-4
    replace(shipped, agent=shipped.agent.with_threshold(VIOLATION, least)).save(tmp_path)
    strict = detector(DetectorContext(shipped_rules(), (ReadingSettings(reading_weights=tmp_path),)))
    of_call = found(strict, BAD)
    assert of_call != []
    kinds = {one.category.removeprefix("suspected_"): one for one in of_call}
    assert measured(strict, BAD)["reading_suspicions"] == 0
    reading = CallReader.load(tmp_path).read([Said(one.role, normalize(one.text).letters) for one in BAD.segments])
    likely = {kind: value for kind, value in reading.kinds().items() if value >= KIND_SHARE * least}
    assert {kind: one.confidence for kind, one in kinds.items()} == pytest.approx(likely, abs=1e-4)
    for kind, one in kinds.items():
        assert one.rule_id == f"suspected_in_call_{kind}"
        assert (one.severity, one.score_delta, one.role, one.quote, one.matched) == ("info", 0, "agent", "", "")
        assert one.attributes["likeliest_segment_id"] in (1, 3)
        assert "may_alert" not in one.attributes
    told = {one.category for one in by_utterance}
    assert not told & {one.category for one in found(DETECTOR, BAD) if one.rule_id.startswith("suspected_in_call_")}


def test_a_call_that_nobody_need_hear_is_suspected_of_nothing_as_a_whole(tmp_path: Path) -> None:
    shipped = CallReader.load()
    call = shipped.call.with_threshold("select", 1.0)
    agent = shipped.agent.with_threshold(VIOLATION, 0.999)
    replace(shipped, agent=agent, call=call).save(tmp_path)
    assert found(detector(DetectorContext(shipped_rules(), (ReadingSettings(reading_weights=tmp_path),))), BAD) == []


def test_it_costs_no_points_adds_no_risk_and_alerts_nobody() -> None:
    judge = shipped_judge()
    analysis = judge.judge(BAD, NOW)
    without = [one for one in analysis.findings if one.detector != "reading"]
    assert len(without) < len(analysis.findings)
    if analysis.risk is not None:
        assert not any("suspected" in reason for reason in analysis.risk.reasons)
    if analysis.scorecard is not None:
        read = {one.finding_id for one in analysis.findings} - {one.finding_id for one in without}
        assert not any(e.finding_id in read for item in analysis.scorecard.items for e in item.evidence)
    alerts = alerts_of(analysis, judge.category_names(analysis), "low")
    assert not any(alert.category.startswith("suspected_") for alert in alerts)


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        pytest.param(heard([("agent", 0, 900, "hello")], language="en"), "language_not_supported", id="English"),
        pytest.param(heard([]), "no_speech", id="nothing was said"),
        pytest.param(said(("unknown", "这款产品保本保息")), "speaker_unknown", id="nobody knows who speaks"),
        pytest.param(on_one_channel(said(("agent", "您好"))), "one_channel", id="one side of one channel"),
    ],
)
def test_what_cannot_be_read_is_null_with_a_reason(transcript: Transcript, reason: str) -> None:
    assert not_measured(DETECTOR, transcript) == dict.fromkeys(DETECTOR.measures, reason)
    assert found(DETECTOR, transcript) == []


def test_it_can_be_switched_off() -> None:
    off = detector(DetectorContext(shipped_rules(), (ReadingSettings(reading=False),)))
    assert not_measured(off, BAD) == dict.fromkeys(DETECTOR.measures, "switched_off")


def test_weights_of_ones_own_are_read() -> None:
    own = detector(DetectorContext(shipped_rules(), (ReadingSettings(reading_weights=WEIGHTS),)))
    assert measured(own, BAD) == measured(DETECTOR, BAD)


def of_tenant(reading: TenantReading, tenant: str = BAD.tenant_id) -> DetectorContext:
    tenants = Tenants(version=1, tenants=(TenantEntry(id=tenant, reading=reading),))
    return DetectorContext(shipped_rules(), tenants=tenants)


def test_a_tenant_has_a_threshold_of_its_own() -> None:
    model = CallReader.load().version
    suspicions = found(DETECTOR, BAD)
    least = max(one.confidence for one in suspicions) - 1e-4
    strict = detector(of_tenant(TenantReading(suspect_from=least, model=model)))
    assert [one.finding_id for one in found(strict, BAD)] == [
        one.finding_id for one in suspicions if one.confidence >= least
    ]
    assert measured(strict, BAD)["reading_suspicions"] == 1
    assert found(detector(of_tenant(TenantReading(suspect_from=least, model=model), "other")), BAD) == suspicions


def test_a_suspicion_alerts_from_the_probability_on_that_the_verdicts_of_its_tenant_have_shown() -> None:
    model, suspicions = CallReader.load().version, found(DETECTOR, BAD)
    least = max(one.confidence for one in suspicions) - 1e-4
    entry = TenantEntry(id=BAD.tenant_id, reading=TenantReading(alert_from=least, model=model))
    judge = Judge(JudgeSettings(tenants=Tenants(version=1, tenants=(entry,))), rulebooks=shipped_rules())
    analysis = judge.judge(BAD, NOW)
    read = [one for one in analysis.findings if one.detector == "reading"]
    assert [one.finding_id for one in read if one.may_alert] == [
        one.finding_id for one in suspicions if one.confidence >= least
    ]
    assert {(one.severity, one.score_delta) for one in read} == {("info", 0)}
    shipped = shipped_judge().judge(BAD, NOW)
    assert (analysis.risk, analysis.scorecard, analysis.selection) == (
        shipped.risk,
        shipped.scorecard,
        shipped.selection,
    )
    names = judge.category_names(analysis)
    (told,) = (one for one in alerts_of(analysis, names) if one.category.startswith("suspected_"))
    (finding,) = (one for one in read if one.may_alert)
    assert (told.severity, told.quote, told.rule_version) == ("high", finding.quote, model)
    assert told.title == f"坐席疑似违规：{KIND_NAMES[finding.category.removeprefix('suspected_')]}（{finding.rule_id}）"
    assert told.advice == ADVICE
    doubtful = analysis.model_copy(update={"roles_doubtful": True})
    assert not any(one.category.startswith("suspected_") for one in alerts_of(doubtful, names))
    assert not any(one.category.startswith("suspected_") for one in alerts_of(analysis, names, "critical"))


def test_the_right_to_alert_is_that_of_one_model_and_of_one_tenant(caplog: pytest.LogCaptureFixture) -> None:
    model = CallReader.load().version
    with caplog.at_level(logging.WARNING):
        other_model = detector(of_tenant(TenantReading(alert_from=0.01, model="0" * 16)))
    assert "thresholds of tenant" in caplog.text
    other_tenant = detector(of_tenant(TenantReading(alert_from=0.01, model=model), "other"))
    calibrated = detector(of_tenant(TenantReading(suspect_from=0.5, model=model)))
    for one in (DETECTOR, other_model, other_tenant, calibrated):
        assert not any(finding.may_alert for finding in found(one, BAD))


def test_every_kind_has_a_name_for_alerts() -> None:
    assert KIND_NAMES.keys() == set(KINDS)


def test_a_threshold_of_other_heads_is_not_used_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        other = detector(of_tenant(TenantReading(suspect_from=1, model="0" * 16)))
    assert "thresholds of tenant" in caplog.text
    assert found(other, BAD) == found(DETECTOR, BAD)


def test_a_tenant_has_heads_of_its_own(tmp_path: Path) -> None:
    shipped = CallReader.load()
    thresholds = shipped.agent.thresholds.copy()
    thresholds[shipped.agent.names.index(VIOLATION)] = 1
    replace(shipped, agent=replace(shipped.agent, thresholds=thresholds)).save(tmp_path)
    own = TenantReading(weights=tmp_path)
    assert found(detector(of_tenant(own)), BAD) == []
    assert found(detector(of_tenant(own, "other")), BAD) == found(DETECTOR, BAD)


def test_heads_of_an_earlier_release_are_replaced_by_those_that_are_shipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A judge that starts after an upgrade goes on with reading; what must be done is said."""
    CallReader.load().save(tmp_path)
    as_of_an_earlier_release(tmp_path / "agent.npz")
    own = TenantReading(weights=tmp_path, suspect_from=0.1, model="0" * 16)
    with caplog.at_level(logging.WARNING):
        assert found(detector(of_tenant(own)), BAD) == found(DETECTOR, BAD)
    assert f"{tmp_path / 'agent.npz'} was made for another version of callstream: train its heads again" in caplog.text
    assert "thresholds of tenant" in caplog.text
