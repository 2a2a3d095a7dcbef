"""The example of an analysis with a scorecard adds up as docs/scoring.md says."""

from pathlib import Path

import pytest

from schemas.config.score_form import GROUP_WEIGHTS
from schemas.messages.topics import CALLS_ANALYZED

EXAMPLE = Path(__file__).parents[2] / "examples" / CALLS_ANALYZED.name / "with_findings.json"


def test_the_example_adds_up() -> None:
    analysis = CALLS_ANALYZED.decode(EXAMPLE.read_bytes())
    card, risk = analysis.scorecard, analysis.risk
    assert card is not None
    assert risk is not None
    for group, percent in card.groups.items():
        items = [item for item in card.items if item.group == group and item.points is not None]
        possible = sum(item.max_points for item in items)
        reached = sum(item.points or 0 for item in items)
        assert percent == (pytest.approx(100 * reached / possible, abs=0.01) if items else None)
    measured = {group: percent for group, percent in card.groups.items() if percent is not None}
    weight = sum(GROUP_WEIGHTS[group] for group in measured)
    total = sum(GROUP_WEIGHTS[group] * percent for group, percent in measured.items()) / weight
    assert card.score == pytest.approx(total, abs=0.01)
    assert risk.score == sum(part.points for part in risk.parts)
    assert {one.finding_id for item in card.items for one in item.evidence if one.finding_id} == {
        finding.finding_id for finding in analysis.findings
    }
