"""`callstream scorecards` as a person meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas.config.retention import RETENTION_FILE
from schemas.config.risk import RISK_FILE
from schemas.config.score_form import SCORE_FORM_FOLDER, FormItem, load_score_forms
from schemas.config.selection import SELECTION_FILE
from schemas.config.yaml_files import YamlFileError
from streams.cli.main import app
from streams.cli.scorecards.show import describe_item
from streams.settings import PREFIX
from tests.schemas.config.yaml_change import changed


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, ["scorecards", *map(str, arguments)], env=env)


def test_what_is_in_use_is_in_order() -> None:
    found = run("lint")
    assert found.exit_code == 0
    for label in ("finance@2, ", "telecom@2, ", "risk rules @1, ", "selection rules @1, ", "retention policy @2, "):
        assert label in found.stdout


def test_files_of_ones_own_are_checked_without_their_kind_being_named(tmp_path: Path) -> None:
    changed(SCORE_FORM_FOLDER / "finance.yaml", tmp_path, "version: 2", "version: 5")
    changed(RISK_FILE, tmp_path, "version: 1", "version: 6")
    changed(SELECTION_FILE, tmp_path, "version: 1", "version: 8")
    changed(RETENTION_FILE, tmp_path, "version: 2", "version: 7")
    found = run("lint", tmp_path)
    assert found.exit_code == 0
    for label in ("finance@5", "risk rules @6", "selection rules @8", "retention policy @7"):
        assert label in found.stdout


def test_every_problem_is_said_and_the_exit_code_tells(tmp_path: Path) -> None:
    changed(SCORE_FORM_FOLDER / "finance.yaml", tmp_path, "version: 2", "version: 0")
    changed(RETENTION_FILE, tmp_path, "days: 180 ", "days: 20 ")
    changed(SELECTION_FILE, tmp_path, "id: safety", "id: danger")
    found = run("lint", tmp_path)
    assert found.exit_code == 1
    assert "finance.yaml:3: field version: input should be greater than or equal to 1" in found.stderr
    assert "class general, field classes.0.days" in found.stderr
    assert "trigger danger, field triggers.5.id" in found.stderr


@pytest.mark.parametrize("text", ["", "items: [", "- 1", "parts", "\t"], ids=repr)
def test_what_is_no_form_at_all_is_a_sentence(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    found = run("lint", file)
    assert found.exit_code == 1
    assert found.stderr.startswith(str(file))


def test_a_measure_that_nobody_takes_is_noted(tmp_path: Path) -> None:
    file = changed(SCORE_FORM_FOLDER / "finance.yaml", tmp_path, "name: recording_notice,", "name: recording_notise,")
    found = run("lint", file)
    assert found.exit_code == 0
    assert f"{file}: note: no detector takes the measure recording_notise" in found.stdout
    assert "measure sensitive_words" not in found.stdout


def test_a_form_of_the_folder_in_the_settings_is_in_use(tmp_path: Path) -> None:
    changed(SCORE_FORM_FOLDER / "finance.yaml", tmp_path, "version: 2", "version: 5\ntenant: acme")
    env = {PREFIX + "SCORE_FORMS_FOLDER": str(tmp_path)}
    assert "acme/finance@5" in run("lint", env=env).stdout
    forms = {row["form"] for row in json.loads(run("show", "--json", env=env).stdout)}
    assert {"acme/finance@5", "finance@2", "general@2"} <= forms


def test_show_lists_every_item() -> None:
    rows = json.loads(run("show", "--json").stdout)
    assert [(row["form"], row["item"]) for row in rows] == [
        (form.label, item.id) for form in load_score_forms() for item in form.items
    ]
    assert "agent_interruption_rate: full at 0, none at 0.2" in run("show", SCORE_FORM_FOLDER / "finance.yaml").stdout


def test_a_folder_without_a_form_is_a_sentence(tmp_path: Path) -> None:
    found = run("show", tmp_path)
    assert isinstance(found.exception, YamlFileError)
    assert "holds no YAML file" in str(found.exception)


def test_an_item_in_words() -> None:
    item = FormItem.model_validate(
        {"id": "i", "name": "n", "group": "compliance", "max_points": 5, "needs": "m"}
        | {"deduct": [{"rule": "a.b", "points": 2, "at_most": 4}], "applies": {"directions": ["outbound"]}}
    )
    assert describe_item(item) == "less a.b 2 (at most 4) [only outbound]"
