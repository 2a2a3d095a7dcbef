"""`callstream store`: the old name of `callstream bucket`."""

import typer

from streams.cli.bucket.apply import apply_bucket_by_old_name

store_app = typer.Typer(help="The old name of `callstream bucket`.", no_args_is_help=True, hidden=True)
store_app.command("apply")(apply_bucket_by_old_name)
