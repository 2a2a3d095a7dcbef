"""`callstream scorecards`: for the people who write score forms, risk rules and retention classes."""

import typer

from streams.cli.scorecards.lint import lint_files
from streams.cli.scorecards.show import show_forms

scorecards_app = typer.Typer(
    help="Check score forms, risk rules and retention classes (docs/scoring.md).", no_args_is_help=True
)
scorecards_app.command("lint")(lint_files)
scorecards_app.command("show")(show_forms)
