"""docs/scoring.md says what the files that are shipped say."""

import re
from pathlib import Path

from schemas.config.retention import RETENTION_FILE, read_retention_policy
from schemas.config.risk import read_risk_rules
from schemas.config.rule_pack import load_rule_packs
from schemas.config.score_form import GROUP_WEIGHTS, load_score_forms, read_score_form
from schemas.config.selection import read_selection_rules

PAGE = (Path(__file__).parents[1] / "docs" / "scoring.md").read_text(encoding="utf-8")


def tables_after(heading: str) -> list[list[tuple[str, ...]]]:
    """The cells of the tables under a heading, without their heads, backticks left out."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    tables = [part.splitlines() for part in section.split("\n\n") if part.startswith("|")]
    return [
        [tuple(cell.strip().replace("`", "") for cell in line.strip("| ").split(" | ")) for line in table[2:]]
        for table in tables
    ]


def table_after(heading: str) -> list[tuple[str, ...]]:
    """The first of them."""
    return tables_after(heading)[0]


def test_the_forms() -> None:
    assert table_after("Scorecard") == sorted(
        ((form.name, form.industry, str(form.version), str(len(form.items))) for form in load_score_forms()),
        key=lambda row: row[1],
    )
    assert ", ".join(f"{group} {weight}" for group, weight in GROUP_WEIGHTS.items()) in PAGE


def test_the_parts_of_the_risk() -> None:
    rules = read_risk_rules()
    assert table_after("Risk") == [(part.id, part.name, f"{part.at_most:g}", part.needs) for part in rules.parts]
    assert (
        f"From {rules.thresholds.medium:g} points a call is medium, from {rules.thresholds.high:g} it is high." in PAGE
    )
    (regulated,) = rules.overrides
    assert (
        f"In finance, medicine and education a missing script weighs {regulated.times['missing_script']:g} times"
        in PAGE
    )


def test_the_triggers_of_selection() -> None:
    triggers = read_selection_rules().triggers
    assert [row[:2] for row in table_after("Selection")] == [(trigger.id, trigger.name) for trigger in triggers]


def test_the_retention_classes() -> None:
    classes = read_retention_policy(RETENTION_FILE).classes
    rows = table_after("Retention")
    assert [row[:3] for row in rows] == [(one.id, one.name, str(one.days)) for one in classes]
    for row, one in zip(rows, classes, strict=True):
        of_whom = ", ".join(one.when.industries) or "every call"
        assert row[3] == of_whom + (", by inquiry type, topic or phrase" if one.about else "")


def test_the_retention_classes_of_the_packs_that_are_longer() -> None:
    classes = read_retention_policy(RETENTION_FILE).classes
    longer = set()
    for pack in load_rule_packs():
        of_industry = [one.days for one in classes if pack.industry in one.when.industries or not one.when.industries]
        for one in pack.retention:
            if one.days > max(of_industry):
                longer.add((one.id, one.name, str(one.days), pack.pack))
    (_, rows) = tables_after("Retention")
    assert {(*row[:3], row[3].split(",")[0].removeprefix("pack ")) for row in rows} == longer


def test_the_form_that_is_shown_can_be_used(tmp_path: Path) -> None:
    example = next(block for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S) if "items:" in block)
    file = tmp_path / "example.yaml"
    file.write_text(example, encoding="utf-8")
    assert read_score_form(file).label == "acme/finance@2"
