"""`callstream cdr`: what the exchange's own lists of calls say, against which completeness is measured."""

import typer

from streams.cli.cdr.import_ import import_calls
from streams.cli.cdr.mappings import mappings

cdr_app = typer.Typer(
    help="Bring in the exchange's own list of calls (CDR), to find recordings that did not come.", no_args_is_help=True
)
cdr_app.command("import")(import_calls)
cdr_app.command("mappings")(mappings)
