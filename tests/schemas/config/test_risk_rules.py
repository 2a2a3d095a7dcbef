"""Rules of the risk: the shipped ones hold, and what does not is refused with file, line, part and field."""

from pathlib import Path

import pytest
import yaml

from schemas.config.risk import RISK_FILE, RiskRulesError, read_risk_rules
from tests.schemas.config.test_score_form import categories_of_words
from tests.schemas.config.yaml_change import changed, line_of, problems_of


def test_the_three_triggers_of_the_requirement_are_parts() -> None:
    assert {"sensitive_word", "customer_agitated", "duration_anomaly"} <= {part.id for part in read_risk_rules().parts}


def test_every_kind_of_forbidden_word_counts() -> None:
    files = list(RISK_FILE.parent.glob("*/*.yaml"))
    words = {name for file in files for name in categories_of_words(yaml.safe_load(file.read_text(encoding="utf-8")))}
    assert "forbidden_promise" in words
    (part,) = (part for part in read_risk_rules().parts if part.id == "sensitive_word")
    assert part.findings is not None
    assert words - set(part.findings.categories) == set()


THRESHOLDS = "thresholds: {medium: 25, high: 60}"
SILENCES = "measure: {name: unexcused_silences, each: true, points: 5,"


@pytest.mark.parametrize(
    ("old", "new", "at", "where", "what"),
    [
        pytest.param(
            THRESHOLDS,
            "thresholds: {medium: 60, high: 60}",
            "thresholds",
            "field thresholds",
            "high must be more than medium",
            id="thresholds in the wrong order",
        ),
        pytest.param(
            SILENCES,
            SILENCES.replace("each: true", "each: true, above: 2"),
            "above: 2",
            "part unexcused_silence, field parts.9.measure",
            "a measure needs one of equals, above and each",
            id="two",
        ),
        pytest.param(
            SILENCES,
            SILENCES.replace("points: 5", "points: -5"),
            "points: -5",
            "part unexcused_silence, field parts.9.measure.points",
            "input should be greater than or equal to 0",
            id="a measure that calms",
        ),
        pytest.param(
            "critical: 35, high: 25",
            "critical: -35, high: 25",
            "findings:",
            "part sensitive_word, field parts.0.findings",
            "points must not be negative",
            id="a finding that calms",
        ),
        pytest.param(
            "critical: 35, high: 25",
            "grave: 35, high: 25",
            "grave: 35",
            "part sensitive_word, field parts.0.findings.points.grave.[key]",
            "input should be 'info', 'low', 'medium', 'high' or 'critical'",
            id="an unknown severity",
        ),
        pytest.param(
            "missing_script: 2.5",
            "mising_script: 2.5",
            "",
            "",
            "an override names the part mising_script, which is not there",
            id="a factor of nothing",
        ),
        pytest.param(
            "  - industries: [finance, medical, education]\n    times",
            "  - times",
            "- times",
            "overrides 1, field overrides.0",
            "an override needs tenants or industries",
            id="an override for nobody",
        ),
        pytest.param(
            "id: duration_anomaly", "id: sensitive_word", "", "", "part sensitive_word occurs twice", id="twice"
        ),
    ],
)
def test_rules_are_refused_with_file_line_part_and_field(
    old: str, new: str, at: str, where: str, what: str, tmp_path: Path
) -> None:
    file = changed(RISK_FILE, tmp_path, old, new)
    with pytest.raises(RiskRulesError) as refused:
        read_risk_rules(file)
    place = f"{line_of(file, at)}: {where}: " if at else "1: "
    assert f"risk.yaml:{place}{what}" in problems_of(refused)


def test_a_part_from_nowhere_is_refused(tmp_path: Path) -> None:
    file = changed(RISK_FILE, tmp_path, "    measure: {name: repeated_contact,", "    # {name: repeated_contact,")
    with pytest.raises(RiskRulesError) as refused:
        read_risk_rules(file)
    assert problems_of(refused) == (
        f"risk.yaml:{line_of(file, 'id: repeated_contact')}: part repeated_contact, field parts.11: "
        "a part needs findings or measure",
    )
