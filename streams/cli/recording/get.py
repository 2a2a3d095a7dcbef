"""`callstream recording get`."""

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


def get(
    call: CallArgument,
    tenant: RecordingTenantOption,
    purpose: ListeningPurposeOption,
    output: Annotated[str, typer.Option("--output", help="A file that is not there yet, or - for standard output.")],
    ticket: TicketOption = None,
    begin: Annotated[str | None, typer.Option("--from", help="Begin there: 65, 1:05 or 1:02:03.5.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End there.")] = None,
    unmasked: UnmaskedOption = False,
) -> None:
    """Write a recording, or a part of it, as a WAV file; personal data is muted (docs/listening.md).

    It is in the audit log before anything is written. The file is in clear: it is no longer in custody.
    """
    begin_ms, end_ms = time_ms(begin, "--from"), time_ms(end, "--to")
    from streams.cli.recording.opening import opened_listening

    with opened_listening(command_settings(), tenant) as (listening, actor):
        request = request_of(actor, tenant, call, purpose, ticket, unmasked=unmasked)
        with refusals_as_sentences():
            playing = listening.play(request)
        length_ms = write_wav(playing.wav, begin_ms, end_ms, output)
    if output != STANDARD_OUTPUT:
        typer.echo(f"{output}: {length_ms / 1000:.1f} s, {playing.masking}", err=True)
