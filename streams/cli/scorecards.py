"""`callstream scorecards`: for the people who write score forms, risk rules and retention classes."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from schemas.config.retention import RETENTION_FILE, read_retention_policy
from schemas.config.risk import RISK_FILE, RiskRules, read_risk_rules
from schemas.config.score_form import SCORE_FORM_FOLDER, FormItem, ScoreForm, load_score_forms, read_score_form
from schemas.config.yaml_files import YamlFileError
from streams.settings import Settings, load_settings

EXIT_PROBLEM = 1
PLAIN_WIDTH = 160
"""Columns of a table that is not printed to a terminal."""

scorecards_app = typer.Typer(
    help="Score forms, risk rules and retention classes: check and show them (docs/scoring.md).", no_args_is_help=True
)

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Score forms, or folders of them; without any, those that are in use.")
]


@scorecards_app.command()
def lint(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Score forms, risk rules and retention classes, or folders; without any, those in use."),
    ] = None,
) -> None:
    """Check files as a worker would, and name the measures that no detector takes. Ends with 1 when one is refused."""
    settings = load_settings().settings
    known = _known_measures(settings)
    problems: list[str] = []
    for file in _files_of(files) if files else _files_in_use(settings):
        try:
            label, measures = _READERS[_kind_of(file)](file)
        except YamlFileError as error:
            problems.extend(error.problems)
            continue
        sys.stdout.write(f"{file}: {label}\n")
        for name in sorted(measures - known):
            sys.stdout.write(f"{file}: note: no detector takes the measure {name}; what needs it is not measurable\n")
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    raise typer.Exit(EXIT_PROBLEM if problems else 0)


@scorecards_app.command()
def show(
    files: FilesArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """What score forms hold: every item with its group, its points, and what they come from."""
    forms = [read_score_form(file) for file in _files_of(files)] if files else _forms_in_use(load_settings().settings)
    rows = [row for form in forms for row in _rows(form)]
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    table = Table("form", "industry", "group", "item", "name", "points", "from")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    (Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)).print(table)


def _files_of(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and the YAML files in the folders that are. Raises `YamlFileError`."""
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise YamlFileError([f"{path}: holds no score form (*.yaml)"])
        files.extend(found)
    return files


def _files_in_use(settings: Settings) -> list[Path]:
    folders = (SCORE_FORM_FOLDER, *([settings.score_forms_folder] if settings.score_forms_folder else []))
    return [*_files_of(folders), settings.risk_file or RISK_FILE, settings.retention_file or RETENTION_FILE]


def _forms_in_use(settings: Settings) -> tuple[ScoreForm, ...]:
    return load_score_forms(
        (SCORE_FORM_FOLDER, *([settings.score_forms_folder] if settings.score_forms_folder else []))
    )


def _known_measures(settings: Settings) -> frozenset[str]:
    """Of the judge as the settings build it, but with what is shipped in place of the files that are to be checked."""
    from streams.wiring import build_judge

    shipped = {"score_forms_folder": None, "risk_file": None, "retention_file": None}
    return build_judge(settings.model_copy(update=shipped)).measures


def _kind_of(file: Path) -> str:
    """`parts` make risk rules, `classes` a retention policy; anything else is read as a score form."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
        return "items"  # reading it as a form says what is wrong
    keys = content if isinstance(content, dict) else {}
    return next((key for key in ("parts", "classes") if key in keys and "items" not in keys), "items")


def _read_form(file: Path) -> tuple[str, set[str]]:
    form = read_score_form(file)
    return f"score form {form.label}, {len(form.items)} items", {name for item in form.items for name in item.measures}


def _read_risk(file: Path) -> tuple[str, set[str]]:
    rules: RiskRules = read_risk_rules(file)
    measures = {part.needs for part in rules.parts} | {part.measure.name for part in rules.parts if part.measure}
    return f"risk rules @{rules.version}, {len(rules.parts)} parts", measures


def _read_retention(file: Path) -> tuple[str, set[str]]:
    policy = read_retention_policy(file)
    return f"retention policy @{policy.version}, {len(policy.classes)} classes", set()


_READERS: Mapping[str, Callable[[Path], tuple[str, set[str]]]] = {
    "items": _read_form,
    "parts": _read_risk,
    "classes": _read_retention,
}


def _rows(form: ScoreForm) -> list[dict[str, str | float]]:
    return [
        {
            "form": form.label,
            "industry": form.industry,
            "group": item.group,
            "item": item.id,
            "name": item.name,
            "points": item.max_points,
            "from": describe_item(item),
        }
        for item in form.items
    ]


def describe_item(item: FormItem) -> str:
    """What the points of an item come from: `agent_interruption_rate: full at 0, none at 0.2`."""
    parts: list[str] = []
    measure = item.measure
    if measure is not None and measure.full_when is not None:
        parts.append(f"{measure.name} is {str(measure.full_when).lower()}")
    elif measure is not None:
        full_at, zero_at = measure.line
        parts.append(f"{measure.name}: full at {full_at:g}, none at {zero_at:g}")
    if item.deduct:
        costs = (
            f"{one.category or one.rule} {one.points:g}" + (f" (at most {one.at_most:g})" if one.at_most else "")
            for one in item.deduct
        )
        parts.append("less " + ", ".join(costs))
    limits = (*item.applies.directions, *item.applies.industries, *item.applies.course_types)
    return "; ".join(parts) + (f" [only {', '.join(limits)}]" if limits else "")
