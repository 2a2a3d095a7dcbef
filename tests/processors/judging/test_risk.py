"""The risk of a call: parts that add up."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.judging.risk import assess
from schemas.config.risk import RiskRules, read_risk_rules
from schemas.messages.call_analysis import MeasureValue, Risk
from schemas.messages.call_ended import CallEnded, Role
from schemas.messages.finding import Finding, Severity
from tests.processors.detectors.judged import finding, skipped
from tests.processors.transcripts import NOW, Turn, call, heard
from tests.support.shipped_rules import shipped_judge

RULES = read_risk_rules()
ROOT = Path(__file__).parents[3]
TRUTH: dict[str, dict[str, Any]] = json.loads(
    (ROOT / "tests" / "data" / "calls_truth.json").read_text(encoding="utf-8")
)


def risk_of(*findings: Finding, industry: str = "general", **measures: MeasureValue) -> Risk:
    return assess(RULES, call(industry), measures, findings, ())


def points(risk: Risk) -> dict[str, float]:
    return {part.part: part.points for part in risk.parts}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(risk_of(), {}, id="nothing"),
        pytest.param(risk_of(finding("forbidden_promise", "critical")), {"sensitive_word": 35}, id="trigger 1 of R49"),
        pytest.param(
            risk_of(finding("customer_agitated", "medium", role="customer")), {"customer_agitated": 25}, id="2"
        ),
        pytest.param(risk_of(duration_anomaly=True), {"duration_anomaly": 8}, id="trigger 3 of R49"),
        pytest.param(risk_of(duration_anomaly=False), {}, id="a usual length"),
        pytest.param(
            risk_of(finding("forbidden_promise", "critical", confidence=0.5)), {"sensitive_word": 17.5}, id="by sound"
        ),
        pytest.param(risk_of(finding("forbidden_promise", role="customer")), {}, id="the customer quotes a promise"),
        pytest.param(risk_of(finding("forbidden_promise", role="unknown")), {}, id="nobody knows who said it"),
        pytest.param(risk_of(finding("forbidden_promise", "info")), {}, id="info only shows something"),
        pytest.param(risk_of(finding("script_found", "info")), {}, id="a script that was said"),
        pytest.param(risk_of(*[finding("forbidden_promise", "critical")] * 9), {"sensitive_word": 105}, id="at most"),
        pytest.param(risk_of(finding("complaint_threat", role="customer")), {"complaint_threat": 40}, id="threat"),
        pytest.param(
            risk_of(finding("complaint_threat", role="customer"), complaint_threat=True),
            {"complaint_threat": 40},
            id="a finding and its measure are one thing",
        ),
        pytest.param(risk_of(finding("missing_script", "medium")), {"missing_script": 5}, id="a script missing"),
        pytest.param(
            risk_of(finding("missing_script", "medium"), industry="finance"), {"missing_script": 12.5}, id="regulated"
        ),
        pytest.param(risk_of(unexcused_silences=2), {"unexcused_silence": 10}, id="points for each"),
        pytest.param(risk_of(unexcused_silences=9), {"unexcused_silence": 15}, id="points for each, at most"),
        pytest.param(risk_of(agent_interruption_rate=0.2), {}, id="20 % is allowed (R43)"),
        pytest.param(risk_of(agent_interruption_rate=0.21), {"interruption": 10}, id="more than 20 %"),
        pytest.param(risk_of(customer_agitated_segments=0), {}, id="a calm customer"),
    ],
)
def test_the_points_of_a_part(found: Risk, expected: Mapping[str, float]) -> None:
    assert points(found) == expected


def test_a_reason_names_rules_and_counts_but_nothing_that_was_said() -> None:
    quote = "我们这款保本"
    risk = risk_of(
        finding("forbidden_promise", "critical", name="承诺保本", quote=quote),
        finding("forbidden_promise", "critical", name="承诺保本", quote=quote),
        finding("improper_inducement", "high", quote=quote),
        agent_interruption_rate=1 / 3,
    )
    assert risk.reasons == (
        "坐席敏感词：违规承诺 2 处（承诺保本）、不当诱导 1 处",
        "抢话打断：坐席打断率 0.33，超过 0.2",
    )
    assert quote not in risk.model_dump_json()


def test_a_reason_names_five_rules_and_says_that_there_are_more() -> None:
    (reason,) = risk_of(*[finding("forbidden_promise", "low", name=f"规则{number}") for number in range(7)]).reasons
    assert reason == "坐席敏感词：违规承诺 7 处（规则0、规则1、规则2、规则3、规则4等）"


def test_a_part_that_could_not_be_looked_for_is_named() -> None:
    measures = {"sensitive_words": None, "duration_anomaly": None, "complaint_threat": False, "claims_checked": None}
    reasons = skipped(
        sensitive_words="speaker_unknown", duration_anomaly="no_baseline", claims_checked="not_applicable"
    )
    unmeasured = assess(RULES, call(), measures, (), reasons).unmeasured
    assert {"sensitive_word", "duration_anomaly"} <= set(unmeasured)
    assert not {"complaint_threat", "false_claim"} & set(unmeasured)


def test_what_was_found_all_the_same_is_not_unmeasured() -> None:
    risk = assess(RULES, call(), {"sensitive_words": None}, [finding("forbidden_promise")], ())
    assert "sensitive_word" in points(risk)
    assert "sensitive_word" not in risk.unmeasured


def rules(**changes: Any) -> RiskRules:
    return RiskRules.model_validate(RULES.model_dump() | changes)


def level(score_by: MeasureValue, **changes: Any) -> str:
    """Of a call with one high sensitive word (25 points) and so many silences of 5 points."""
    measures = {"unexcused_silences": score_by}
    return assess(rules(**changes), call("finance"), measures, [finding("forbidden_promise")], ()).level


ACME_HIGH = {"tenants": ["acme"], "thresholds": {"medium": 5, "high": 25}}
OTHER_HIGH = {"tenants": ["other"], "thresholds": {"medium": 5, "high": 25}}
MEDICAL_HALF = {"industries": ["medical"], "times": {"sensitive_word": 0.5}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(level(0), "medium", id="at the threshold"),
        pytest.param(level(0, thresholds={"medium": 25.1, "high": 60}), "low", id="just below it"),
        pytest.param(level(3, thresholds={"medium": 25, "high": 40}), "high", id="at the upper threshold"),
        pytest.param(level(0, overrides=[ACME_HIGH]), "high", id="the tenant's own threshold"),
        pytest.param(level(0, overrides=[OTHER_HIGH]), "medium", id="that of another tenant"),
        pytest.param(level(0, overrides=[MEDICAL_HALF]), "medium", id="a factor for another industry"),
        pytest.param(level(0, overrides=[MEDICAL_HALF | {"industries": ["finance"]}]), "low", id="a factor"),
        pytest.param(level(0, overrides=[MEDICAL_HALF | {"industries": [], "tenants": ["acme"]}]), "low", id="tenant"),
        pytest.param(
            level(0, overrides=[ACME_HIGH | {"industries": ["medical"]}]), "medium", id="both must fit where both stand"
        ),
        pytest.param(
            level(0, overrides=[ACME_HIGH, {"industries": ["finance"], "thresholds": {"medium": 30, "high": 60}}]),
            "low",
            id="the last thresholds stand",
        ),
    ],
)
def test_the_level_by_thresholds_of_tenant_and_industry(found: str, expected: str) -> None:
    assert found == expected


def test_factors_of_several_overrides_multiply_and_0_switches_a_part_off() -> None:
    half = {"tenants": ["acme"], "times": {"sensitive_word": 0.5, "unexcused_silence": 0}}
    found = assess(
        rules(overrides=[half, half]), call(), {"unexcused_silences": 2}, [finding("forbidden_promise", "critical")], ()
    )
    assert points(found) == {"sensitive_word": 8.8}


def build_finding(category: str, severity: Severity, role: Role, confidence: float) -> Finding:
    return finding(category, severity, role=role, confidence=confidence)


CATEGORIES = [name for part in RULES.parts if part.findings for name in part.findings.categories]
FINDINGS = st.builds(
    build_finding,
    st.sampled_from([*CATEGORIES, "of_no_part"]),
    st.sampled_from(["info", "low", "medium", "high", "critical"]),
    st.sampled_from(["agent", "customer", "unknown"]),
    st.floats(0, 1),
)
MEASURES = st.fixed_dictionaries(
    {part.measure.name: st.sampled_from([None, True, False, 0, 2, 0.3]) for part in RULES.parts if part.measure}
)


def test_parts_add_up_to_the_score_and_another_finding_never_lowers_it() -> None:
    order = ("low", "medium", "high")
    seen = set()

    @settings(max_examples=500)
    @given(
        industry=st.sampled_from(["general", "finance", "education"]),
        measures=MEASURES,
        findings=st.lists(FINDINGS, max_size=6),
        another=FINDINGS,
    )
    def holds(industry: str, measures: dict[str, MeasureValue], findings: list[Finding], another: Finding) -> None:
        before = assess(RULES, call(industry), measures, findings, ())
        after = assess(RULES, call(industry), measures, [*findings, another], ())
        assert before.score == pytest.approx(sum(part.points for part in before.parts), abs=1e-9)
        assert before.reasons == tuple(part.reason for part in before.parts)
        assert after.score >= before.score >= 0
        assert order.index(after.level) >= order.index(before.level)
        seen.add(before.level)

    holds()
    assert seen == set(order)


# --- the example calls, each with what its detectors should report


def reported(expect: Mapping[str, Any]) -> tuple[list[Finding], dict[str, MeasureValue]]:
    """What detectors should report of an example call; the length of each is unusual for want of a baseline."""
    findings = [
        finding("missing_script", "medium")
        for name in ("recording_notice", "risk_warning")
        if expect.get(name) is False
    ]
    if expect.get("complaint_threat"):
        findings += [finding("complaint_threat", role="customer"), finding("regulator_threat", role="customer")]
        findings.append(finding("customer_agitated", "medium", role="customer", confidence=0.7))
    if expect.get("refund_rules_complete") is False:
        findings.append(finding("checklist_incomplete", "medium"))
    interruptions = (expect.get("agent_interruptions") or 0) + (expect.get("customer_interruptions") or 0)
    findings += [finding("interruption", "low") for _ in range(interruptions)]
    findings += [finding("unexcused_silence", "low") for _ in range(expect.get("unexcused_silences", 0))]
    return findings, {"duration_anomaly": True, "unexcused_silences": expect.get("unexcused_silences")}


def example_call(name: str) -> tuple[CallEnded, list[Finding]]:
    """The event of an example and what is really found in the words of it that are true."""
    turns: list[Turn] = [
        (turn["channel"] if not TRUTH[name]["mono"] else "unknown", turn["start_ms"], turn["end_ms"], turn["text"])
        for turn in TRUTH[name]["turns"]
    ]
    transcript = heard(turns, industry=name.split("_")[1])
    return transcript.call, list(shipped_judge().judge(transcript, NOW).findings)


@pytest.mark.parametrize("name", sorted(name for name, truth in TRUTH.items() if "risk" in truth["expect"]))
def test_the_risk_of_an_example_call_is_the_one_that_its_author_expects(name: str) -> None:
    expect = TRUTH[name]["expect"]
    event, words = example_call(name)
    findings, measures = reported(expect)
    risk = assess(RULES, event, measures, [*words, *findings], ())
    assert risk.level == expect["risk"], risk.reasons
