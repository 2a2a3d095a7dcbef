"""`callstream recording get`: a recording, or a part of it, as a WAV file."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.recording.asking import (
    CallArgument,
    ListeningPurposeOption,
    RecordingTenantOption,
    TicketOption,
    UnmaskedOption,
    refusals_as_sentences,
    request_of,
)
from streams.cli.recording.writing import STANDARD_OUTPUT, time_ms, write_wav


def get_recording(
    call: CallArgument,
    tenant: RecordingTenantOption,
    purpose: ListeningPurposeOption,
    output: Annotated[str, typer.Option("--output", help="File to write, which must not exist; - for the output.")],
    ticket: TicketOption = None,
    from_: Annotated[str | None, typer.Option("--from", help="Where to begin: 65, 1:05 or 1:02:03.5.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Where to end, in the same forms.")] = None,
    unmasked: UnmaskedOption = False,
) -> None:
    """Write a recording as WAV, personal data muted.

    It stands in the audit log before the first byte. The file is for its owner alone.
    """
    from streams.cli.recording.opened import opened_listening, who_listens

    start_ms, end_ms = time_ms(from_, "--from"), time_ms(to, "--to")
    settings = command_settings()
    actor = who_listens(settings, "listen_unmasked" if unmasked else "listen", tenant)
    request = request_of(actor, tenant, call, purpose, ticket, unmasked=unmasked)
    with opened_listening(settings) as listening, refusals_as_sentences():
        playing = listening.play(request)
        written_ms = write_wav(playing.wav, start_ms, end_ms, output)
    if output != STANDARD_OUTPUT:
        typer.echo(f"wrote {written_ms / 1000:.1f} s to {output}, {playing.muted_ms / 1000:.1f} s of the call muted")
