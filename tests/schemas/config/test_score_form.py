"""Score forms: what is shipped holds, and what does not is refused with file, line, item and field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.config.score_form import (
    GROUP_WEIGHTS,
    SCORE_FORM_FOLDER,
    ScoreForm,
    ScoreFormError,
    load_score_forms,
    read_score_form,
)
from tests.schemas.config.yaml_change import changed, line_of, problems_of

FINANCE = SCORE_FORM_FOLDER / "finance.yaml"
SCHEMAS = SCORE_FORM_FOLDER.parent
NOTICE = "measure: {name: recording_notice, full_when: true}"


def test_there_is_a_form_for_each_industry_and_one_for_the_rest() -> None:
    forms = load_score_forms()
    assert {form.industry for form in forms} == {"general", "finance", "ecommerce", "education", "medical", "telecom"}
    assert all(form.tenant is None and form.id == form.industry for form in forms)
    assert all(form.weights == GROUP_WEIGHTS for form in forms)


def categories_of_words(value: Any) -> Iterator[str]:
    """Of every rule about words that must not be said, anywhere in a file."""
    if isinstance(value, dict):
        if "words" in value and "category" in value:
            yield value["category"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from categories_of_words(part)


@pytest.mark.parametrize("industry", ["general", "finance", "ecommerce", "education", "medical"])
def test_every_kind_of_forbidden_word_of_an_industry_costs_points_on_its_form(industry: str) -> None:
    files = [file for name in (industry, "general") for file in SCHEMAS.glob(f"*/{name}.yaml")]
    words = {name for file in files for name in categories_of_words(yaml.safe_load(file.read_text(encoding="utf-8")))}
    assert words
    form = read_score_form(SCORE_FORM_FOLDER / f"{industry}.yaml")
    assert words - {deduction.category for item in form.items for deduction in item.deduct} == set()


@pytest.mark.parametrize(
    ("old", "new", "at", "where", "what"),
    [
        pytest.param(
            "max_points: 6\n",
            "max_points: 0\n",
            "max_points: 0",
            "item risk_warning, field items.1.max_points",
            "input should be greater than 0",
            id="an item without points",
        ),
        pytest.param(
            "max_points: 6\n",
            "max_points: 6\n    max_point: 6\n",
            "max_point: 6",
            "item risk_warning, field items.1.max_point",
            "extra inputs are not permitted",
            id="a field that does not exist",
        ),
        pytest.param(
            "group: compliance",
            "group: law",
            "group: law",
            "item recording_notice, field items.0.group",
            "input should be 'compliance', 'communication', 'resolution' or 'experience'",
            id="an unknown group",
        ),
        pytest.param(
            NOTICE,
            "measure: {name: recording_notice}",
            "measure: {name: recording_notice}",
            "item recording_notice, field items.0.measure",
            "a measure needs either full_when, or full_at and zero_at",
            id="a measure that does not say how",
        ),
        pytest.param(
            NOTICE,
            "measure: {name: x, full_at: 1}",
            "{name: x",
            "item recording_notice, field items.0.measure",
            "a measure needs either full_when, or full_at and zero_at",
            id="a line with one end",
        ),
        pytest.param(
            NOTICE,
            "measure: {name: x, full_at: 1, zero_at: 1}",
            "{name: x",
            "item recording_notice, field items.0.measure",
            "full_at and zero_at must differ",
            id="a line without length",
        ),
        pytest.param(
            NOTICE,
            "needs: recording_notice",
            "id: recording_notice",
            "item recording_notice, field items.0",
            "an item needs measure, deduct or by_resolution",
            id="points from nowhere",
        ),
        pytest.param(
            "    needs: sensitive_words\n",
            "",
            "id: no_promise",
            "item no_promise, field items.3",
            "an item without measure needs the name of one in needs: without it nobody looked",
            id="nobody looked",
        ),
        pytest.param(
            "{category: forbidden_promise, role: agent, points: 8}",
            "{role: agent, points: 8}",
            "{role: agent",
            "item no_promise, field items.3.deduct.0",
            "a deduction needs either category or rule",
            id="of what",
        ),
    ],
)
def test_a_form_is_refused_with_file_line_item_and_field(
    old: str, new: str, at: str, where: str, what: str, tmp_path: Path
) -> None:
    file = changed(FINANCE, tmp_path, old, new)
    with pytest.raises(ScoreFormError) as refused:
        read_score_form(file)
    assert problems_of(refused) == (f"finance.yaml:{line_of(file, at)}: {where}: {what}",)


WANTED = "compliance 30, communication 30, resolution 20, experience 20 (R57), and custom_weights is not set"
WEIGHTS = "weights: {compliance: 30, communication: 30, resolution: 20, experience: 20}"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"max_points: 4\n": "max_points: 5\n"},
            "the items of compliance have 31 points, its weight is 30",
            id="items that do not add up",
        ),
        pytest.param({"id: risk_warning": "id: recording_notice"}, "item recording_notice occurs twice", id="twice"),
        pytest.param(
            {"compliance: 30, ": "compliance: 40, "},
            f"weights are not {WANTED}; "
            "weights add up to 110, not to 100; the items of compliance have 30 points, its weight is 40",
            id="other weights",
        ),
        pytest.param(
            {WEIGHTS: WEIGHTS + "\ncustom_weights: true"},
            "custom_weights is for the form of a tenant",
            id="weights of nobody",
        ),
        pytest.param(
            {WEIGHTS: "weights: {compliance: 100}"},
            f"weights are not {WANTED}; the items of compliance have 30 points, its weight is 100; the items of "
            "communication have 30 points, its weight is 0; the items of resolution have 20 points, its weight is 0; "
            "the items of experience have 20 points, its weight is 0",
            id="groups without weight",
        ),
    ],
)
def test_a_form_that_does_not_add_up_is_refused(changes: dict[str, str], problem: str, tmp_path: Path) -> None:
    file = FINANCE
    for old, new in changes.items():
        file = changed(file, tmp_path, old, new)
    with pytest.raises(ScoreFormError) as refused:
        read_score_form(file)
    assert problems_of(refused) == (f"finance.yaml:1: {problem}",)


def test_a_tenant_may_weigh_otherwise_when_its_form_says_so() -> None:
    content = yaml.safe_load(FINANCE.read_text(encoding="utf-8"))
    weights = {"compliance": 60, "communication": 20, "resolution": 0, "experience": 20}
    items = [
        {"id": group, "name": group, "group": group, "max_points": weight, "measure": {"name": "m", "full_when": True}}
        for group, weight in weights.items()
        if weight
    ]
    form = ScoreForm.model_validate(
        content | {"tenant": "acme", "custom_weights": True, "weights": weights, "items": items}
    )
    assert (form.weights, form.label) == (weights, "acme/finance@2")


def test_a_folder_of_ones_own_replaces_forms_and_adds_others(tmp_path: Path) -> None:
    mine = changed(FINANCE, tmp_path, "version: 2", "version: 7")
    tenants = changed(FINANCE, tmp_path, "version: 2", "version: 8\ntenant: acme").rename(tmp_path / "acme.yaml")
    changed(FINANCE, tmp_path, "version: 2", "version: 7")
    forms = {form.label for form in load_score_forms((SCORE_FORM_FOLDER, tmp_path))}
    assert {"finance@7", "acme/finance@8", "general@2"} <= forms
    assert "finance@2" not in forms
    assert (mine.exists(), tenants.exists()) == (True, True)


def test_two_forms_for_the_same_calls_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        changed(FINANCE, tmp_path, "id: finance", "id: mine").rename(tmp_path / name)
    with pytest.raises(ScoreFormError) as refused:
        load_score_forms((tmp_path,))
    assert refused.value.problems == (
        f"{tmp_path / 'two.yaml'}: a form for these calls is also in {tmp_path / 'one.yaml'}",
    )


def test_all_that_is_wrong_in_a_folder_is_said_at_once(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        changed(FINANCE, tmp_path, "version: 2", "version: 0").rename(tmp_path / name)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ScoreFormError) as refused:
        load_score_forms((tmp_path, empty))
    assert len(refused.value.problems) == 3
    assert refused.value.problems[2].endswith("holds no score form (*.yaml)")
