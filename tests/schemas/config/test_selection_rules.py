"""Rules of selection: the shipped ones hold, and what does not is refused with file, line, trigger and field."""

from pathlib import Path
from typing import get_args

import pytest

from schemas.config.risk import read_risk_rules
from schemas.config.selection import SELECTION_FILE, SelectionRulesError, read_selection_rules
from schemas.config.subscription import CertainTrigger
from schemas.messages.call_analysis import SUSPECTING, TRIGGER_NAMES
from tests.schemas.config.yaml_change import changed, line_of, problems_of

RULES = read_selection_rules()


def test_every_trigger_is_there_and_the_three_of_the_requirement_are_active() -> None:
    assert {trigger.id for trigger in RULES.triggers} == set(TRIGGER_NAMES)
    assert sorted(TRIGGER_NAMES) == list(TRIGGER_NAMES)
    active = {trigger.id for trigger in RULES.triggers if trigger.active}
    assert {"sensitive_word", "customer_agitated", "duration_anomaly"} <= active


def test_a_sensitive_word_is_the_same_to_risk_and_selection() -> None:
    (part,) = (part.findings for part in read_risk_rules().parts if part.id == "sensitive_word")
    (trigger,) = (trigger.findings for trigger in RULES.triggers if trigger.id == "sensitive_word")
    assert part is not None
    assert trigger is not None
    assert set(part.categories) == set(trigger.categories)
    assert part.roles == trigger.roles == ("agent",)


def test_subscribers_can_ask_for_every_trigger_but_suspicions() -> None:
    assert set(get_args(CertainTrigger)) == set(TRIGGER_NAMES) - set(SUSPECTING)


@pytest.mark.parametrize(
    ("old", "new", "at", "where", "what"),
    [
        pytest.param(
            "id: safety",
            "id: danger",
            "id: danger",
            "trigger danger, field triggers.5.id",
            "input should be 'complaint_threat', 'customer_agitated'",
            id="a trigger that is not known",
        ),
        pytest.param(
            "id: safety",
            "id: reading",
            "",
            "",
            "trigger reading occurs twice",
            id="twice",
        ),
        pytest.param(
            "{name: reading_selects, equals: true}",
            "{name: reading_selects}",
            "{name: reading_selects}",
            "trigger reading, field triggers.7.measure",
            "a measure needs either equals or above",
            id="a measure without a condition",
        ),
        pytest.param(
            "findings: {categories: [patient_safety], min_severity: medium}",
            "active: true",
            "id: safety",
            "trigger safety, field triggers.5",
            "a trigger needs findings or measure",
            id="a trigger that nothing pulls",
        ),
        pytest.param(
            "categories: [patient_safety], min_severity: medium",
            "min_severity: medium",
            "findings: {min_severity: medium}",
            "trigger safety, field triggers.5.findings",
            "findings need categories or rules",
            id="every finding",
        ),
        pytest.param(
            "active: {mandatory_script: true}",
            "active: {}",
            "- industries",
            "overrides 1, field overrides.0",
            "an override needs active or min_severity",
            id="an override that says nothing",
        ),
        pytest.param(
            "  - industries: [finance, medical, education]\n    active",
            "  - active",
            "- active",
            "overrides 1, field overrides.0",
            "an override needs tenants or industries",
            id="an override for nobody",
        ),
        pytest.param(
            "active: {mandatory_script: true}",
            "min_severity: {reading: high}",
            "",
            "",
            "an override has a min_severity for the trigger reading, which has no findings",
            id="a severity of a measure",
        ),
    ],
)
def test_rules_are_refused_with_file_line_trigger_and_field(
    old: str, new: str, at: str, where: str, what: str, tmp_path: Path
) -> None:
    file = changed(SELECTION_FILE, tmp_path, old, new)
    with pytest.raises(SelectionRulesError) as refused:
        read_selection_rules(file)
    place = f"{line_of(file, at)}: {where}: " if at else "1: "
    assert any(problem.startswith(f"selection.yaml:{place}{what}") for problem in problems_of(refused)), problems_of(
        refused
    )


def test_an_override_of_a_trigger_that_was_left_out_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "selection.yaml"
    file.write_text(
        "version: 1\nowner: quality\n"
        "triggers:\n  - {id: safety, name: 安全, findings: {categories: [patient_safety]}}\n"
        "overrides:\n  - {tenants: [acme], active: {reading: false}}\n",
        encoding="utf-8",
    )
    with pytest.raises(SelectionRulesError) as refused:
        read_selection_rules(file)
    assert problems_of(refused) == ("selection.yaml:1: an override names the trigger reading, which is not there",)
