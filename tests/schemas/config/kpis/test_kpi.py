"""The registry of KPIs: complete, consistent with packs and detectors, and strict."""

import re
from pathlib import Path

import pytest

from schemas.config.kpis.kpi import KPI_FILE, KpiRegistryError, read_kpis
from streams.analysis import build_judge
from streams.settings import Settings
from tests.schemas.config.yaml_change import changed
from tests.support.kpi_calls import COMPLETE, SCRIPTS

REGISTRY = read_kpis()


def test_every_mandatory_script_checklist_and_procedure_is_a_kpi_of_its_own() -> None:
    assert {*SCRIPTS, *COMPLETE} <= {kpi.id for kpi in REGISTRY.ratios}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_mandatory_script_is_to_be_said_always(script: str) -> None:
    kpi = REGISTRY.kpi(script)
    assert kpi is not None
    assert kpi.target == 1
    assert "R40" in kpi.requirements


def test_every_measure_that_a_kpi_reads_is_taken() -> None:
    """A measure that is misspelt would be null on every call."""
    expressions = [
        text for kpi in REGISTRY.ratios if kpi.ratio for text in (kpi.ratio.numerator, kpi.ratio.denominator)
    ]
    read = {name for text in expressions for name in re.findall(r"measures\['(\w+)'\]", text)}
    assert len(read) > 60
    assert read - build_judge(Settings()).measures == set()


@pytest.mark.parametrize(
    "requirement", ["R39", "R40", "R41", "R42", "R43", "R44", "R45", "R46", "R47", "R48", "R50", "R51"]
)
def test_every_required_metric_is_there(requirement: str) -> None:
    assert any(requirement in kpi.requirements for kpi in REGISTRY.kpis)


@pytest.mark.parametrize(
    ("kpi_id", "target"),
    [
        ("recording_completeness", 1),
        ("captured_in_time", 0.95),
        ("mandatory_scripts", 1),
        ("required_disclosures", 1),
        ("sensitive_words", 0),
        ("agent_interruption_rate", 0.2),
        ("customer_interruption_rate", 0.2),
        ("first_contact_resolution", 0.7),
        ("ai_coverage", 0.3),
        ("satisfaction_match", None),
        ("emotion_coping", None),
    ],
)
def test_targets_are_those_that_are_required(kpi_id: str, target: float | None) -> None:
    kpi = REGISTRY.kpi(kpi_id)
    assert kpi is not None
    assert kpi.target == target


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("- id: ai_coverage", "- id: recording_completeness", "occurs twice", id="an id twice"),
        pytest.param("numerator: \"outcome = 'analyzed'\"", "numerater: x", "KPI ai_coverage", id="a misspelt field"),
        pytest.param(
            "ratio: {numerator: \"outcome = 'analyzed'\"}", "scale: 1", "KPI ai_coverage", id="an unknown field"
        ),
        pytest.param(
            "    ratio: {numerator: \"outcome = 'analyzed'\"}\n", "", "either ratio or query", id="no way to compute it"
        ),
        pytest.param(
            "{numerator: \"outcome = 'analyzed'\"}",
            '{numerator: "outcome = \'analyzed\'", denominator: "2"}',
            "its denominator is 1",
            id="a share of something else than calls",
        ),
        pytest.param(
            "unit: ms\n    direction: neutral",
            "unit: ms\n    direction: neutral\n    target: 3",
            "neutral KPI has no target",
            id="a target without a direction",
        ),
    ],
)
def test_what_is_wrong_with_a_registry_is_said(old: str, new: str, problem: str, tmp_path: Path) -> None:
    file = changed(KPI_FILE, tmp_path, old, new)
    with pytest.raises(KpiRegistryError, match=problem):
        read_kpis(file)


def test_every_shipped_kpi_says_what_it_does_not_tell() -> None:
    assert [kpi.id for kpi in read_kpis().kpis if len(kpi.does_not_tell) < 20] == []
