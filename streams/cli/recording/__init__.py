"""`callstream recording`: hear a call on the machine of the operator."""

import typer

from streams.cli.recording.get import get_recording
from streams.cli.recording.info import describe_recording

recording_app = typer.Typer(no_args_is_help=True, help="Hear recordings; each time stands in the audit log first.")
recording_app.command("get")(get_recording)
recording_app.command("info")(describe_recording)
