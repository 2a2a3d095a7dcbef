"""Which calls are selected for review: triggers that select by themselves."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from processors.judging.pipeline import Judge, JudgeSettings
from processors.judging.selection import select
from schemas.config.selection import SELECTION_FILE, SelectionOverride, SelectionRules, read_selection_rules
from schemas.messages.call_analysis import CallAnalysis, MeasureValue, Selection, Trigger
from schemas.messages.finding import Finding
from tests.processors.detectors.judged import finding
from tests.processors.transcripts import NOW, call, not_heard, said
from tests.schemas.config.yaml_change import changed
from tests.support.shipped_rules import shipped_judge

RULES = read_selection_rules()
ALL = RULES.model_copy(update={"triggers": tuple(one.model_copy(update={"active": True}) for one in RULES.triggers)})
JUDGE = shipped_judge()


def selected(
    *findings: Finding, industry: str = "general", rules: SelectionRules = RULES, **measures: MeasureValue
) -> Selection:
    return select(rules, call(industry), measures, findings)


def names(selection: Selection | None) -> Sequence[str]:
    assert selection is not None
    return [trigger.name for trigger in selection.triggers]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param(selected(), [], id="nothing"),
        pytest.param(selected(finding("forbidden_promise", "high")), ["sensitive_word"], id="trigger 1 of R49"),
        pytest.param(selected(finding("poor_service", "medium")), ["sensitive_word"], id="medium is enough"),
        pytest.param(selected(finding("poor_service", "low")), [], id="a low one alone is not worth an hour"),
        pytest.param(selected(finding("forbidden_promise", "critical", role="customer")), [], id="the customer quotes"),
        pytest.param(selected(finding("forbidden_promise", "critical", role="unknown")), [], id="nobody knows who"),
        pytest.param(selected(finding("forbidden_promise", "info")), [], id="info only shows something"),
        pytest.param(
            selected(finding("customer_agitated", "medium", role="customer")), ["customer_agitated"], id="trigger 2"
        ),
        pytest.param(selected(customer_agitated_segments=1), ["customer_agitated"], id="by its measure"),
        pytest.param(selected(customer_agitated_segments=0), [], id="a calm customer"),
        pytest.param(selected(customer_agitated_segments=None), [], id="not measured is not agitated"),
        pytest.param(selected(duration_anomaly=True), ["duration_anomaly"], id="trigger 3 of R49"),
        pytest.param(selected(duration_anomaly=False), [], id="a usual length"),
        pytest.param(selected(finding("review_threat", "medium", role="customer")), ["complaint_threat"], id="threat"),
        pytest.param(selected(customer_upset=True), [], id="not before all workers know the trigger"),
        pytest.param(selected(customer_upset=True, rules=ALL), ["customer_upset"], id="upset, as it is read"),
        pytest.param(
            selected(reading_suspicions=2, reading_selects=True, rules=ALL),
            ["reading", "suspected_violation"],
            id="suspected and worth hearing",
        ),
        pytest.param(selected(reading_suspicions=2, reading_selects=False, rules=ALL), [], id="suspected alone"),
        pytest.param(selected(reading_suspicions=0, reading_selects=True, rules=ALL), ["reading"], id="worth hearing"),
        pytest.param(selected(finding("missing_script", "medium")), [], id="a script missing where nobody demands it"),
        *(
            pytest.param(
                selected(finding("missing_script", "medium"), industry=industry), ["mandatory_script"], id=industry
            )
            for industry in ("finance", "medical", "education")
        ),
        pytest.param(selected(finding("missing_script", "low"), industry="finance"), [], id="a greeting is missing"),
        pytest.param(
            selected(
                finding("missing_script", "medium").model_copy(update={"rule_id": "general.recording_notice"}),
                industry="finance",
            ),
            [],
            id="the recording notice would select every call of a line",
        ),
        pytest.param(
            selected(finding("patient_safety", "high")),
            ["safety", "sensitive_word"],
            id="two triggers, in order of their names",
        ),
        pytest.param(selected(finding("patient_safety", "critical", role="customer")), ["safety"], id="in danger"),
        pytest.param(selected(reading_selects=True), ["reading"], id="reading selects"),
        pytest.param(selected(reading_selects=False, reading_select=0.6), [], id="reading does not select"),
        pytest.param(selected(finding("suspected_rude", "info")), [], id="a suspicion alone does not"),
    ],
)
def test_the_triggers_of_a_call(selection: Selection, expected: Sequence[str]) -> None:
    assert names(selection) == expected
    assert selection.selected is bool(expected)
    assert selection.rules_version == RULES.version


def test_a_trigger_names_what_pulled_it_and_nothing_that_was_said() -> None:
    quote = "我们这款保本"
    found = [finding("forbidden_promise", "critical", quote=quote), finding("rude", "medium", quote=quote)]
    (words, agitated) = reversed(selected(*found, customer_agitated_segments=10).triggers)
    assert words.finding_ids == tuple(one.finding_id for one in found)
    assert (words.reason, words.measure, words.value) == ("坐席敏感词 2 处", None, None)
    assert (agitated.reason, agitated.measure, agitated.value) == ("客户情绪激动", "customer_agitated_segments", 10)
    assert quote not in repr((words, agitated))


def test_selection_is_not_severity() -> None:
    """An unusual length is of low risk and is heard all the same; a grave finding of another kind selects nothing."""
    assert selected(duration_anomaly=True).selected
    assert not selected(finding("procedure_broken", "critical")).selected


OFF = SelectionOverride(tenants=("acme",), active={"duration_anomaly": False})
STRICT = SelectionOverride(industries=("finance",), min_severity={"sensitive_word": "critical"})
ON = SelectionOverride(tenants=("acme",), industries=("finance",), active={"duration_anomaly": True})


@pytest.mark.parametrize(
    ("overrides", "industry", "expected"),
    [
        pytest.param((), "finance", ["duration_anomaly", "sensitive_word"], id="none"),
        pytest.param((OFF,), "general", ["sensitive_word"], id="a trigger that a tenant has switched off"),
        pytest.param((STRICT,), "finance", ["duration_anomaly"], id="a severity of an industry"),
        pytest.param((STRICT,), "general", ["duration_anomaly", "sensitive_word"], id="another industry"),
        pytest.param((OFF, ON), "finance", ["duration_anomaly", "sensitive_word"], id="the last one stands"),
        pytest.param((OFF, ON), "general", ["sensitive_word"], id="both of tenant and industry must fit"),
    ],
)
def test_tenants_and_industries_have_their_own(
    overrides: tuple[SelectionOverride, ...], industry: str, expected: list[str]
) -> None:
    rules = RULES.model_copy(update={"overrides": overrides})
    found = selected(finding("forbidden_promise", "high"), industry=industry, rules=rules, duration_anomaly=True)
    assert names(found) == expected


def test_a_judged_call_says_what_selected_it() -> None:
    analysis = JUDGE.judge(said(("agent", "这款保本保息"), industry="finance"), NOW)
    assert analysis.selection is not None
    (words,) = (trigger for trigger in analysis.selection.certain if trigger.name == "sensitive_word")
    assert set(words.finding_ids) <= {one.finding_id for one in analysis.findings}
    assert CallAnalysis.decode(analysis.encode()) == analysis


def test_what_selects_a_call_changes_with_the_rules() -> None:
    """A replay judges the same transcript by the rules of today: triggers are those of today, too."""
    transcript = said(("agent", "这款保本保息"), industry="finance")
    before = JUDGE.judge(transcript, NOW)
    packs = tuple(
        pack.model_copy(update={"sensitive_words": (), "version": pack.version + 1}) for pack in JUDGE.rulebooks.packs
    )
    after = JUDGE.under(type(JUDGE.rulebooks)(packs)).judge(transcript, NOW)
    assert "sensitive_word" in names(before.selection)
    assert "sensitive_word" not in names(after.selection)
    assert before.lexicon_version != after.lexicon_version


def test_a_file_of_ones_own_is_used(tmp_path: Path) -> None:
    file = changed(SELECTION_FILE, tmp_path, "min_severity: medium", "min_severity: critical")
    own = Judge(JudgeSettings(selection_file=file), rulebooks=JUDGE.rulebooks)
    transcript = said(("agent", "只剩最后一个名额了"), industry="finance")
    assert "sensitive_word" in names(JUDGE.judge(transcript, NOW).selection)
    assert "sensitive_word" not in names(own.judge(transcript, NOW).selection)


def test_of_a_call_that_was_not_heard_nobody_knows() -> None:
    assert JUDGE.judge(not_heard("no_audio", duration_ms=None), NOW).selection is None


@pytest.mark.parametrize(
    ("chosen", "triggers", "problem"),
    [
        pytest.param(True, (), "selected where there is a trigger", id="by nothing"),
        pytest.param(False, ("reading",), "selected where there is a trigger", id="not, though there is a trigger"),
        pytest.param(True, ("safety", "reading"), "order of their names", id="out of order"),
        pytest.param(True, ("reading", "reading"), "order of their names", id="twice"),
    ],
)
def test_a_selection_that_contradicts_itself_is_refused(chosen: bool, triggers: tuple[str, ...], problem: str) -> None:
    pulled = tuple(Trigger.model_validate({"name": name, "reason": "x"}) for name in triggers)
    with pytest.raises(ValueError, match=problem):
        Selection(selected=chosen, triggers=pulled)
