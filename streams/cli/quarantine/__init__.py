"""`callstream quarantine`: records that ended a worker on this machine, and what becomes of them."""

import typer

from streams.cli.quarantine.list import list_suspects
from streams.cli.quarantine.release import release_record
from streams.cli.quarantine.skip import skip_record

quarantine_app = typer.Typer(help="Look after records that ended a worker on this machine.", no_args_is_help=True)
quarantine_app.command("list")(list_suspects)
quarantine_app.command("skip")(skip_record)
quarantine_app.command("release")(release_record)
