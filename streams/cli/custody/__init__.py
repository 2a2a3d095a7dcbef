"""`callstream custody …`: what lies at rest, and the keys that open it."""

import typer

from streams.cli.custody.seal_recordings import seal_recordings
from streams.cli.custody.seal_transcripts import seal_transcripts

custody_app = typer.Typer(help="What lies at rest, and the keys that open it.", no_args_is_help=True)
custody_app.command("seal-recordings")(seal_recordings)
custody_app.command("seal-transcripts")(seal_transcripts)
