"""`callstream bucket`: the bucket for recordings and transcripts."""

import typer

from streams.cli.bucket.apply import apply_bucket
from streams.cli.bucket.check import check_bucket

bucket_app = typer.Typer(help="Prepare the bucket for recordings and transcripts.", no_args_is_help=True)
bucket_app.command("apply")(apply_bucket)
bucket_app.command("check")(check_bucket)
