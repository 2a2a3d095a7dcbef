"""`callstream scorecards show`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from schemas.config.score_form import SCORE_FORM_FOLDER, FormItem, ScoreForm, load_score_forms, read_score_form
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption, yaml_files
from streams.cli.console.output import console, print_json
from streams.settings import Settings


def show_forms(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Score forms, or folders of them; by default those in use.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every item of score forms, and what its points depend on."""
    forms = [read_score_form(file) for file in yaml_files(files)] if files else _forms_in_use(command_settings())
    rows = [row for form in forms for row in _rows(form)]
    if as_json:
        print_json(rows)
        return
    table = Table("form", "industry", "group", "item", "name", "points", "from")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console().print(table)


def _forms_in_use(settings: Settings) -> tuple[ScoreForm, ...]:
    return load_score_forms(
        (SCORE_FORM_FOLDER, *([settings.score_forms_folder] if settings.score_forms_folder else []))
    )


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
