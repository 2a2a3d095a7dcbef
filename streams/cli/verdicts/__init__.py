"""`callstream verdicts`: what inspectors say of calls and findings, and what follows of it for rules."""

import typer

from streams.cli.verdicts.import_ import import_verdicts
from streams.cli.verdicts.precision import precision

verdicts_app = typer.Typer(
    help="Bring in what inspectors say of calls and findings; see how often rules are right.", no_args_is_help=True
)
verdicts_app.command("import")(import_verdicts)
verdicts_app.command("precision")(precision)
