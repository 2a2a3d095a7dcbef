"""docs/measures.md tells of every measure and finding, and of no other."""

import re
from pathlib import Path

import pytest

from processors.detectors import find_detectors
from processors.detectors.agitation import AGITATED, VERY_AGITATED
from processors.detectors.base.contract import DetectorContext
from processors.detectors.emotion_coping import CopingParameters
from schemas.config.rule_pack import load_rule_packs
from tests.support.shipped_rules import shipped_rules

PAGE = (Path(__file__).parents[3] / "docs" / "measures.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first column has that heading."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def packs_of_measures() -> dict[str, set[str]]:
    """Measure → the shipped packs with a rule that takes it."""
    packs: dict[str, set[str]] = {}
    for pack in load_rule_packs():
        for _, entry in pack.entries():
            if measure := getattr(entry, "measure", None):
                packs.setdefault(measure, set()).add(pack.pack)
    return packs


def test_every_measure_has_a_row_and_every_row_a_measure() -> None:
    detectors = find_detectors(DetectorContext(shipped_rules()))
    measures = [measure for detector in detectors for measure in detector.measures]
    told = [name.strip("`") for heading in ("measure", "measure of rules") for name, *_ in rows(heading)]
    assert sorted(told) == sorted(measures)


def test_the_second_table_names_the_packs_whose_rules_take_a_measure() -> None:
    told = {name.strip("`"): set(packs.split(", ")) for name, _, packs, _ in rows("measure of rules")}
    assert told == packs_of_measures()


@pytest.mark.parametrize(("heading", "columns"), [("measure", 5), ("measure of rules", 4)])
def test_every_row_says_all_that_its_heading_asks(heading: str, columns: int) -> None:
    assert [row for row in rows(heading) if len(row) != columns or not all(row)] == []


def test_the_parameters_of_r48_are_those_of_the_code() -> None:
    coping = CopingParameters()
    section = PAGE[PAGE.index("**Coping**") :].replace("\n", " ").replace("−", "-")
    assert (
        f"at least {coping.run_characters} characters or {coping.run_ms // 1000} s of customer segments with a valence "
        f"of at most {coping.negative_valence}" in section
    )
    assert f"the {coping.following_segments} customer segments after it" in section
    assert f"A rise of at least {coping.least_rise} is coping" in section


def test_the_thresholds_of_agitation_are_those_of_the_code() -> None:
    assert f"with a probability of at least {AGITATED} " in PAGE
    assert f"`high` from {VERY_AGITATED} |" in PAGE
