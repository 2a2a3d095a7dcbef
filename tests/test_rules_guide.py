"""docs/rules.md names everything that the rule language has."""

from pathlib import Path

import pytest

from processors.rules.rulebook import scope_of
from processors.text.phonetic import MERGERS
from schemas.config.condition import KINDS, Anchor, Condition
from schemas.config.rule_pack import SECTIONS, Applies

GUIDE = (Path(__file__).parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_a_row(section: str) -> None:
    assert f"\n| `{section}` |" in GUIDE


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_condition_has_a_row(kind: str) -> None:
    assert f"\n| `{kind}` |" in GUIDE


@pytest.mark.parametrize("name", sorted(set(Condition.model_fields) - set(KINDS)))
def test_every_modifier_is_explained(name: str) -> None:
    assert f"`{name}`" in GUIDE


@pytest.mark.parametrize("name", [*Anchor.model_fields, *Applies.model_fields, "n_l", "f_h", "r_l"])
def test_every_part_of_an_anchor_and_of_applies_is_named(name: str) -> None:
    assert name in GUIDE


def test_the_sounds_that_can_be_merged_are_named() -> None:
    for merger in MERGERS:
        left, right = merger.split("_")
        assert merger in GUIDE or f"{left}/{right}" in GUIDE


@pytest.mark.parametrize("section", ["mandatory_scripts", "threats", "topics", "claims", "rules", "checklists"])
def test_what_a_section_starts_from_is_what_the_table_says(section: str) -> None:
    scope = scope_of(section)
    (row,) = (line for line in GUIDE.splitlines() if f"`{section}`" in line and line.count("|") == 6)
    assert f"| {scope.by} |" in row
    assert f"| {scope.sound}" in row
    assert row.rstrip().endswith("| counts |") is scope.unknown_counts
