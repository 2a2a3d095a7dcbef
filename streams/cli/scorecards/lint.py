"""`callstream scorecards lint`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml

from schemas.config.retention import RETENTION_FILE, read_retention_policy
from schemas.config.risk import RISK_FILE, RiskRules, read_risk_rules
from schemas.config.score_form import SCORE_FORM_FOLDER, read_score_form
from schemas.config.selection import SELECTION_FILE, read_selection_rules
from schemas.config.yaml_files import YamlFileError, load_yaml
from streams.cli.command_settings import command_settings
from streams.cli.console.options import yaml_files
from streams.cli.console.output import end_with_problems
from streams.settings import Settings


def lint_files(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of scores, risk, selection and retention, or folders of them; by default those in use."
        ),
    ] = None,
) -> None:
    """Check files as a worker would.

    Also names the measures that no detector takes. Ends with 1 if a file is refused.
    """
    settings = command_settings()
    known = _known_measures(settings)
    problems: list[str] = []
    for file in yaml_files(files) if files else _files_in_use(settings):
        try:
            label, measures = _READERS[_kind_of(file)](file)
        except YamlFileError as error:
            problems.extend(error.problems)
            continue
        typer.echo(f"{file}: {label}")
        for name in sorted(measures - known):
            typer.echo(f"{file}: note: no detector takes the measure {name}; whatever needs it will not be measurable")
    if problems:
        end_with_problems(problems)


def _files_in_use(settings: Settings) -> list[Path]:
    folders = (SCORE_FORM_FOLDER, *([settings.score_forms_folder] if settings.score_forms_folder else []))
    return [
        *yaml_files(folders),
        settings.risk_file or RISK_FILE,
        settings.selection_file or SELECTION_FILE,
        settings.retention_file or RETENTION_FILE,
    ]


def _known_measures(settings: Settings) -> frozenset[str]:
    """Of the judge as the settings build it, but with what is shipped in place of the files that are to be checked."""
    from streams.analysis import build_judge

    shipped = {"score_forms_folder": None, "risk_file": None, "selection_file": None, "retention_file": None}
    return build_judge(settings.model_copy(update=shipped)).measures


def _kind_of(file: Path) -> str:
    """`parts` make risk rules, `triggers` selection rules, `classes` a retention policy; all else is a score form."""
    try:
        content = load_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
        return "items"  # reading it as a form says what is wrong
    keys = content if isinstance(content, dict) else {}
    return next((key for key in ("parts", "triggers", "classes") if key in keys and "items" not in keys), "items")


def _read_form(file: Path) -> tuple[str, set[str]]:
    form = read_score_form(file)
    return f"score form {form.label}, {len(form.items)} items", {name for item in form.items for name in item.measures}


def _read_risk(file: Path) -> tuple[str, set[str]]:
    rules: RiskRules = read_risk_rules(file)
    measures = {part.needs for part in rules.parts} | {part.measure.name for part in rules.parts if part.measure}
    return f"risk rules @{rules.version}, {len(rules.parts)} parts", measures


def _read_selection(file: Path) -> tuple[str, set[str]]:
    rules = read_selection_rules(file)
    measures = {trigger.measure.name for trigger in rules.triggers if trigger.measure is not None}
    return f"selection rules @{rules.version}, {len(rules.triggers)} triggers", measures


def _read_retention(file: Path) -> tuple[str, set[str]]:
    policy = read_retention_policy(file)
    return f"retention policy @{policy.version}, {len(policy.classes)} classes", set()


_READERS: Mapping[str, Callable[[Path], tuple[str, set[str]]]] = {
    "items": _read_form,
    "parts": _read_risk,
    "triggers": _read_selection,
    "classes": _read_retention,
}
