"""A call against its score form."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.judging.scoring import ScoreForms, score
from schemas.config.score_form import GROUP_WEIGHTS, ScoreForm, load_score_forms
from schemas.messages.call_analysis import Evidence, MeasureValue, Scorecard, ScoreItem
from schemas.messages.call_ended import CallEnded, Role
from schemas.messages.finding import Finding, Severity
from tests.processors.detectors.judged import finding, skipped
from tests.processors.transcripts import call

FORMS = load_score_forms()
CALL = call("finance")


def a_form(*items: Mapping[str, Any], tenant: str | None = None, industry: str = "finance") -> ScoreForm:
    """A form of these items; groups without any get one that is never measurable."""
    filled = [dict(item) for item in items]
    for group, weight in GROUP_WEIGHTS.items():
        points = sum(item["max_points"] for item in filled if item["group"] == group)
        if points < weight:
            filled.append(
                {
                    "id": f"rest_of_{group}",
                    "name": "其余",
                    "group": group,
                    "max_points": weight - points,
                    "measure": {"name": "nobody_measures_this", "full_when": True},
                }
            )
    return ScoreForm.model_validate(
        {"id": "written", "version": 3, "industry": industry, "tenant": tenant, "name": "n", "owner": "o"}
        | {"items": filled}
    )


def an_item(**changes: Any) -> dict[str, Any]:
    return {"id": "item", "name": "项目", "group": "compliance", "max_points": 10} | changes


def scored(item: Mapping[str, Any], measures: Mapping[str, MeasureValue], *findings: Finding) -> ScoreItem:
    return score(a_form(item), CALL, measures, findings, ()).items[0]


TRUE = {"name": "m", "full_when": True}
RATE = {"name": "m", "full_at": 0, "zero_at": 0.2}


@pytest.mark.parametrize(
    ("measure", "value", "points"),
    [
        pytest.param(TRUE, True, 10, id="what must be true is true"),
        pytest.param(TRUE, False, 0, id="what must be true is false"),
        pytest.param({"name": "m", "full_when": False}, False, 10, id="what must be false is false"),
        pytest.param({"name": "m", "full_when": False}, True, 0, id="what must be false is true"),
        pytest.param(TRUE, 1.0, 10, id="a truth value that came as a number"),
        pytest.param(RATE, 0, 10, id="at the full end"),
        pytest.param(RATE, 0.05, 7.5, id="a quarter of the way"),
        pytest.param(RATE, 0.2, 0, id="at the zero end"),
        pytest.param(RATE, 0.9, 0, id="beyond the zero end is not below 0"),
        pytest.param({"name": "m", "full_at": 1, "zero_at": 0}, True, 10, id="a truth value on a rising line"),
        pytest.param({"name": "m", "full_at": 0, "zero_at": -0.5}, -0.25, 5, id="a line that rises below 0"),
        pytest.param({"name": "m", "full_at": 0, "zero_at": -0.5}, 0.8, 10, id="beyond the full end is not above full"),
    ],
)
def test_points_of_a_measure(measure: Mapping[str, Any], value: MeasureValue, points: float) -> None:
    assert scored(an_item(measure=measure), {"m": value}).points == pytest.approx(points)


NO_PROMISE = an_item(needs="sensitive_words", deduct=[{"category": "forbidden_promise", "role": "agent", "points": 4}])
MEASURED = {"sensitive_words": 1}


@pytest.mark.parametrize(
    ("item", "findings", "points"),
    [
        pytest.param(NO_PROMISE, [], 10, id="nothing found costs nothing"),
        pytest.param(NO_PROMISE, [finding("forbidden_promise")], 6, id="one costs its points"),
        pytest.param(NO_PROMISE, [finding("forbidden_promise")] * 3, 0, id="many cost no more than there is"),
        pytest.param(NO_PROMISE, [finding("forbidden_promise", confidence=0.5)], 8, id="half sure costs half"),
        pytest.param(NO_PROMISE, [finding("forbidden_promise", "info")], 10, id="what only shows something is free"),
        pytest.param(NO_PROMISE, [finding("forbidden_promise", role="customer")], 10, id="the customer said it"),
        pytest.param(NO_PROMISE, [finding("rude_words")], 10, id="another category"),
        pytest.param(
            NO_PROMISE | {"deduct": [{"category": "forbidden_promise", "points": 4, "at_most": 5}]},
            [finding("forbidden_promise")] * 3,
            5,
            id="all together cost at most",
        ),
        pytest.param(
            NO_PROMISE | {"deduct": [{"rule": "finance.no_loss", "points": 7}]},
            [finding("forbidden_promise", rule_id="finance.no_loss"), finding("forbidden_promise")],
            3,
            id="one rule and not its whole category",
        ),
        pytest.param(
            an_item(measure={"name": "sensitive_words", "full_at": 0, "zero_at": 2}, deduct=NO_PROMISE["deduct"]),
            [finding("forbidden_promise")],
            1,
            id="measure and findings together",
        ),
    ],
)
def test_points_less_what_findings_cost(item: Mapping[str, Any], findings: list[Finding], points: float) -> None:
    assert scored(item, MEASURED, *findings).points == pytest.approx(points)


def test_the_evidence_is_the_measure_with_its_value_and_the_findings_with_their_words() -> None:
    promise = finding("forbidden_promise", quote="绝对不会亏损")
    item = scored(NO_PROMISE, MEASURED, promise, finding("rude_words"))
    assert item.evidence == (
        Evidence(measure="sensitive_words", value=1),
        Evidence(finding_id=promise.finding_id, start_ms=promise.start_ms, quote="绝对不会亏损"),
    )


@pytest.mark.parametrize(
    ("item", "measures", "reason"),
    [
        pytest.param(an_item(measure=TRUE), {"m": None}, "speaker_unknown", id="the reason of its measure"),
        pytest.param(an_item(measure=TRUE | {"name": "other"}), {}, "not_measured", id="no detector takes it"),
        pytest.param(NO_PROMISE, {"sensitive_words": None}, "no_speech", id="nobody looked for its findings"),
        pytest.param(
            an_item(measure=TRUE, applies={"directions": ["outbound"]}),
            {"m": True},
            "not_applicable",
            id="of the other direction",
        ),
        pytest.param(
            an_item(measure=TRUE, applies={"industries": ["medical"]}),
            {"m": True},
            "not_applicable",
            id="of another industry",
        ),
        pytest.param(
            an_item(measure=TRUE, applies={"course_types": ["k12"]}),
            {"m": True},
            "not_applicable",
            id="of another course type",
        ),
    ],
)
def test_an_item_that_is_not_measurable_has_no_points_and_says_why(
    item: Mapping[str, Any], measures: Mapping[str, MeasureValue], reason: str
) -> None:
    reasons = skipped(m="speaker_unknown", sensitive_words="no_speech")
    (first, *_) = score(a_form(item), CALL, measures, [finding("forbidden_promise")], reasons).items
    assert (first.points, first.reason, first.evidence) == (None, reason, ())


def test_a_finding_counts_once_for_an_item_that_asks_for_it_twice_in_its_evidence() -> None:
    twice = [{"category": "forbidden_promise", "points": 1}, {"rule": "pack.rule", "points": 1}]
    item = scored(NO_PROMISE | {"deduct": twice}, MEASURED, finding("forbidden_promise"))
    assert (item.points, len(item.evidence)) == (8, 2)


def card(**values: MeasureValue) -> Scorecard:
    """A form of one item of 30 in compliance, two of 10 and 20 in communication, none measurable in the others."""
    form = a_form(
        an_item(id="a", max_points=30, measure={"name": "a", "full_when": True}),
        an_item(id="b", max_points=10, group="communication", measure={"name": "b", "full_when": True}),
        an_item(id="c", max_points=20, group="communication", measure={"name": "c", "full_when": True}),
        an_item(id="d", max_points=20, group="experience", measure={"name": "d", "full_when": True}),
    )
    return score(form, CALL, values, (), ())


@pytest.mark.parametrize(
    ("found", "groups", "total"),
    [
        pytest.param(card(a=True, b=True, c=True, d=True), (100, 100, None, 100), 100, id="everything that can be"),
        pytest.param(card(a=False, b=False, c=False, d=False), (0, 0, None, 0), 0, id="nothing"),
        pytest.param(card(a=False, b=True, c=True, d=True), (0, 100, None, 100), 62.5, id="50 of 80, not of 100"),
        pytest.param(
            card(a=True, b=False, c=None, d=True), (100, 0, None, 100), 62.5, id="one item stands for its whole group"
        ),
        pytest.param(card(b=True, c=False), (None, 33.33, None, None), 33.33, id="one group stands for all"),
        pytest.param(card(), (None, None, None, None), None, id="nothing measurable is no score, not 0"),
    ],
)
def test_groups_keep_their_weight_and_leave_the_denominator_when_nothing_is_measurable(
    found: Scorecard, groups: tuple[float | None, ...], total: float | None
) -> None:
    assert tuple(found.groups[group] for group in GROUP_WEIGHTS) == groups
    assert found.score == total
    assert (found.form_id, found.form_version) == ("written", 3)


GENERAL, FINANCE = a_form(industry="general"), a_form(industry="finance")
ACME_FINANCE = a_form(industry="finance", tenant="acme")
ACME_GENERAL = a_form(industry="general", tenant="acme")
OTHER = a_form(industry="finance", tenant="other")


@pytest.mark.parametrize(
    ("forms", "of", "expected"),
    [
        pytest.param([GENERAL, FINANCE], "finance", FINANCE, id="the form of the industry"),
        pytest.param([GENERAL, FINANCE], "logistics", GENERAL, id="an industry without a form"),
        pytest.param([GENERAL, FINANCE, ACME_FINANCE], "finance", ACME_FINANCE, id="the tenant's own goes before"),
        pytest.param([GENERAL, FINANCE, OTHER], "finance", FINANCE, id="that of another tenant is for that tenant"),
        pytest.param([GENERAL, FINANCE, ACME_GENERAL], "finance", FINANCE, id="industry before the tenant's general"),
        pytest.param([GENERAL, ACME_GENERAL], "logistics", ACME_GENERAL, id="the tenant's general one"),
    ],
)
def test_which_form_scores_a_call(forms: list[ScoreForm], of: str, expected: ScoreForm) -> None:
    assert ScoreForms(forms).of(call(of)) is expected


def test_without_a_general_form_some_calls_would_have_none() -> None:
    with pytest.raises(ValueError, match="general"):
        ScoreForms([FINANCE])


def build_finding(category: str, severity: Severity, role: Role, confidence: float) -> Finding:
    return finding(category, severity, role=role, confidence=confidence)


def findings_for(form: ScoreForm) -> st.SearchStrategy[Finding]:
    """Any finding that the form asks for."""
    return st.builds(
        build_finding,
        st.sampled_from([deduction.category or "x" for item in form.items for deduction in item.deduct]),
        st.sampled_from(["info", "low", "medium", "high", "critical"]),
        st.sampled_from(["agent", "customer", "unknown"]),
        st.floats(0, 1),
    )


def measures_of(form: ScoreForm) -> st.SearchStrategy[dict[str, MeasureValue]]:
    """Any values, some null."""
    values: list[MeasureValue] = [None, True, False, 0, 1, 3, 0.1, 0.25, -0.3, 2500, 350]
    names = sorted({name for item in form.items for name in item.measures})
    return st.fixed_dictionaries({name: st.sampled_from(values) for name in names})


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_whatever_is_measured_the_score_is_0_to_100_and_another_finding_never_raises_it(form: ScoreForm) -> None:
    event: CallEnded = call(form.industry)
    lowered = 0

    @settings(max_examples=200)
    @given(measures_of(form), st.lists(findings_for(form), max_size=5), findings_for(form))
    def holds(measures: dict[str, MeasureValue], findings: list[Finding], another: Finding) -> None:
        nonlocal lowered
        before = score(form, event, measures, findings, ())
        after = score(form, event, measures, [*findings, another], ())
        if before.score is None:
            assert after.score is None
            return
        assert after.score is not None
        assert 0 <= after.score <= before.score <= 100
        assert all(0 <= item.points <= item.max_points for item in before.items if item.points is not None)
        assert all((item.points is None) == (item.reason is not None) for item in before.items)
        lowered += after.score < before.score

    holds()
    assert lowered > 10, "no finding ever cost anything"


def test_whether_a_matter_was_settled_is_pending_and_costs_the_call_that_repeats_nothing() -> None:
    """It was settled by nobody yet; the agent of the second call did not fail at the first."""
    form = a_form(
        {"id": "settled", "name": "一次解决", "group": "resolution", "max_points": 8, "by_resolution": True},
        an_item(id="claims", group="resolution", max_points=12, measure=TRUE),
    )
    for again in (True, False, None):
        card = score(form, CALL, {"repeated_contact": again}, (), ())
        (item,) = (item for item in card.items if item.item_id == "settled")
        assert (item.points, item.reason, item.evidence) == (None, "pending", ())


@pytest.mark.parametrize("form", load_score_forms(), ids=lambda form: form.label)
def test_no_shipped_form_takes_points_for_an_earlier_call(form: ScoreForm) -> None:
    assert [item.id for item in form.items if item.by_resolution] == ["resolved_at_once"]
    assert not any("repeated_contact" in item.measures for item in form.items)
    assert not any(deduction.category == "repeated_contact" for item in form.items for deduction in item.deduct)
