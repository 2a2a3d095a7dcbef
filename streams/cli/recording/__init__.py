"""`callstream recording …`: listening on the command line."""

import typer

from streams.cli.recording.get import get
from streams.cli.recording.info import info
from streams.cli.recording.result import result

recording_app = typer.Typer(help="Listen to recordings, where that is allowed and entered.", no_args_is_help=True)
recording_app.command()(get)
recording_app.command()(info)
recording_app.command()(result)
