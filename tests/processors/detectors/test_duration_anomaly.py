import random
from math import exp, log
from statistics import median

import pytest

from processors.detectors.base.contract import Measure, NotMeasured
from processors.detectors.duration_anomaly import (
    DurationAnomalyDetector,
    DurationAnomalySettings,
    deviation_of,
    expected_range_ms,
)
from processors.judging.baselines import STEPS_PER_UNIT, baseline_of, baseline_of_steps, step_of
from processors.judging.call_context import NO_BACKGROUND, Background, CallContext, DurationBaseline
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.messages.finding import Finding
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import Transcript
from tests.processors.recordings import example_calls
from tests.processors.transcripts import NOW, heard, not_heard
from tests.support.shipped_rules import shipped_rules

DETECTOR = DurationAnomalyDetector(10_000, 3_600_000, baseline_min_calls=50)
FOUR_MINUTES = DurationBaseline(median=log(240_000), mad=0.4, calls=500)
CONSTANT = DurationBaseline(median=log(240_000), mad=0.0, calls=500)
ANOMALY = Measure("duration_anomaly", True)
NO_ANOMALY = Measure("duration_anomaly", False)


def lasting(duration_ms: int) -> Transcript:
    return heard([("agent", 0, 1_000, "您好")], duration_ms=duration_ms)


def results(duration_ms: int, baseline: DurationBaseline | None) -> list[object]:
    return list(DETECTOR.process(CallContext(lasting(duration_ms), Background(baseline))))


def finding_in(found: list[object]) -> Finding:
    (finding,) = (result for result in found if isinstance(result, Finding))
    return finding


@pytest.mark.parametrize(
    ("duration_ms", "deviation", "measure"),
    [
        pytest.param(240_000, 0.0, NO_ANOMALY, id="the median itself"),
        # 0.6745 · ln(8) / 0.4 = 3.506…; ln(7.9) gives 3.485
        pytest.param(1_920_000, 3.51, ANOMALY, id="eight times as long"),
        pytest.param(1_896_000, 3.49, NO_ANOMALY, id="a little less"),
        pytest.param(30_000, -3.51, ANOMALY, id="an eighth, as unusual as eight times"),
        pytest.param(31_000, -3.45, NO_ANOMALY, id="a little more than an eighth"),
        pytest.param(5_000, -6.53, ANOMALY, id="hung up at once, in a group of long calls"),
    ],
)
def test_the_modified_z_score_decides(duration_ms: int, deviation: float, measure: Measure) -> None:
    found = results(duration_ms, FOUR_MINUTES)
    assert Measure("duration_deviation", deviation) in found
    assert measure in found
    assert any(isinstance(result, Finding) for result in found) == (measure == ANOMALY)


@pytest.mark.parametrize(
    ("duration_ms", "measure"),
    [
        pytest.param(241_000, NO_ANOMALY, id="one second more than all others"),
        pytest.param(400_000, NO_ANOMALY, id="within the factor of the floor"),
        pytest.param(144_000, NO_ANOMALY, id="within it on the other side"),
        pytest.param(410_000, ANOMALY, id="beyond it"),
        pytest.param(140_000, ANOMALY, id="beyond it on the other side"),
    ],
)
def test_a_group_of_equal_durations_does_not_explode(duration_ms: int, measure: Measure) -> None:
    assert measure in results(duration_ms, CONSTANT)


@pytest.mark.parametrize(
    ("duration_ms", "measure"),
    [
        pytest.param(9_999, ANOMALY, id="a millisecond below"),
        pytest.param(10_000, NO_ANOMALY, id="the lower end is usual"),
        pytest.param(3_600_000, NO_ANOMALY, id="the upper end is usual"),
        pytest.param(3_600_001, ANOMALY, id="a millisecond above"),
        pytest.param(0, ANOMALY, id="nothing at all"),
    ],
)
@pytest.mark.parametrize(
    "baseline",
    [
        pytest.param(None, id="no baseline"),
        pytest.param(DurationBaseline(median=log(7_000), mad=0.4, calls=49), id="too few calls behind it"),
    ],
)
def test_the_fixed_range_decides_until_there_are_enough_calls(
    duration_ms: int, measure: Measure, baseline: DurationBaseline | None
) -> None:
    found = results(duration_ms, baseline)
    assert measure in found
    assert NotMeasured("duration_deviation", "no_baseline") in found


def test_enough_calls_are_the_minimum_itself() -> None:
    found = results(7_000, DurationBaseline(median=log(7_000), mad=0.4, calls=50))
    assert found == [Measure("duration_deviation", 0.0), NO_ANOMALY]


def test_the_finding_says_what_was_expected_and_on_what_basis() -> None:
    finding = finding_in(results(1_920_000, FOUR_MINUTES))
    assert (finding.category, finding.severity, finding.score_delta) == ("duration_anomaly", "medium", 0)
    assert (finding.role, finding.start_ms, finding.end_ms, finding.quote) == ("unknown", 0, 1_920_000, "")
    assert finding.attributes == {
        "basis": "baseline",
        "duration_ms": 1_920_000,
        "deviation": 3.51,
        "baseline_calls": 500,
        "expected_min_ms": 30_115,
        "expected_max_ms": 1_912_661,
    }
    fallback = finding_in(results(5_000, None))
    assert fallback.attributes == {
        "basis": "fallback",
        "duration_ms": 5_000,
        "expected_min_ms": 10_000,
        "expected_max_ms": 3_600_000,
    }


def test_the_finding_is_the_same_on_every_delivery_whatever_the_baseline_has_become() -> None:
    ids = {finding_in(results(5_000, baseline)).finding_id for baseline in (None, FOUR_MINUTES, CONSTANT)}
    assert len(ids) == 1
    other = lasting(5_000).model_copy(update={"call_id": "c-2"})
    assert finding_in(list(DETECTOR.process(CallContext(other)))).finding_id not in ids


@pytest.mark.parametrize("baseline", [FOUR_MINUTES, CONSTANT])
def test_the_expected_range_is_where_the_score_stays_below_its_limit(baseline: DurationBaseline) -> None:
    low_ms, high_ms = expected_range_ms(baseline)
    assert deviation_of(low_ms, baseline) == -3.5
    assert deviation_of(high_ms, baseline) == 3.5
    assert low_ms < exp(baseline.median) < high_ms


def test_a_baseline_is_median_and_mad_of_logarithms() -> None:
    # ln: 0, 1, 2, 3, 10 → median 2; deviations 2, 1, 0, 1, 8 → median 1
    odd = baseline_of([round(exp(value + 10)) for value in (0, 1, 2, 3, 10)])
    assert odd.calls == 5
    assert [odd.median, odd.mad] == pytest.approx([12, 1], abs=1 / STEPS_PER_UNIT)
    even = baseline_of([round(exp(value + 10)) for value in (0, 1, 2, 10)])
    assert [even.median, even.mad] == pytest.approx([11.5, 1], abs=1 / STEPS_PER_UNIT)


def test_a_baseline_is_that_of_python_to_half_a_step() -> None:
    chance = random.Random(5)
    for size in (1, 2, 3, 10, 401):
        durations_ms = [round(chance.lognormvariate(12, 0.8)) for _ in range(size)]
        found = baseline_of(durations_ms)
        logs = [log(each) for each in durations_ms]
        middle = median(logs)
        assert found.median == pytest.approx(middle, abs=0.5 / STEPS_PER_UNIT)
        assert found.mad == pytest.approx(median(abs(each - middle) for each in logs), abs=1 / STEPS_PER_UNIT)
        assert found.calls == size


def test_steps_can_be_added_up() -> None:
    assert baseline_of_steps({step_of(60_000): 2, step_of(240_000): 1}) == baseline_of([60_000, 240_000, 60_000])


@pytest.mark.parametrize("outcome", ["too_short", "bad_audio", "no_audio"])
def test_it_is_not_asked_of_calls_that_were_not_heard(outcome: Outcome) -> None:
    transcript = not_heard(outcome, duration_ms=2_942)
    analysis = Judge(JudgeSettings(), [DETECTOR], rulebooks=shipped_rules()).judge(transcript, NOW)
    assert analysis.measures == {"duration_anomaly": None, "duration_deviation": None}
    assert {skipped.reason for skipped in analysis.skipped_analysis} == {outcome}
    assert analysis.findings == ()


def test_without_audio_nothing_is_measured() -> None:
    assert list(DETECTOR.process(CallContext(not_heard("no_audio", duration_ms=None)))) == [
        NotMeasured("duration_anomaly", "duration_unknown"),
        NotMeasured("duration_deviation", "duration_unknown"),
    ]


def test_the_range_and_the_number_of_calls_are_settings() -> None:
    narrow = Judge(
        JudgeSettings((DurationAnomalySettings(duration_fallback_min_s=30, duration_fallback_max_s=60),)),
        rulebooks=shipped_rules(),
    )
    assert narrow.judge(lasting(20_000), NOW).measures["duration_anomaly"] is True
    few = Judge(JudgeSettings((DurationAnomalySettings(baseline_min_calls=3),)), rulebooks=shipped_rules())
    baseline = DurationBaseline(median=log(240_000), mad=0.4, calls=3)
    assert few.judge(lasting(240_000), NOW, Background(baseline)).measures["duration_deviation"] == 0
    assert few.judge(lasting(240_000), NOW, NO_BACKGROUND).measures["duration_deviation"] is None
    with pytest.raises(ValueError, match="duration_fallback_min_s must be less"):
        DurationAnomalySettings(duration_fallback_min_s=2, duration_fallback_max_s=1)


def test_no_example_call_is_an_anomaly_by_the_fixed_range() -> None:
    heard_ms = [call.duration_ms for call in example_calls().values() if call.duration_ms >= 5_000]
    assert len(heard_ms) == 9
    assert [duration_ms for duration_ms in heard_ms if ANOMALY in results(duration_ms, None)] == []
