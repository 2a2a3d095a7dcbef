"""`callstream recording info`: what is known of a recording without hearing it."""

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.recording.asking import (
    CallArgument,
    ListeningPurposeOption,
    RecordingTenantOption,
    TicketOption,
    refusals_as_sentences,
    request_of,
)


def describe_recording(
    call: CallArgument,
    tenant: RecordingTenantOption,
    purpose: ListeningPurposeOption,
    ticket: TicketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show length, channels and rate of a recording, and how much of it is muted."""
    from streams.cli.recording.opened import opened_listening, who_listens

    settings = command_settings()
    request = request_of(who_listens(settings, "listen", tenant), tenant, call, purpose, ticket, unmasked=False)
    with opened_listening(settings) as listening, refusals_as_sentences():
        found = listening.describe(request)
    length_ms = found.shape.frames * 1000 // found.shape.rate_hz
    if as_json:
        print_json(
            {
                "call_id": call,
                "tenant_id": tenant,
                "length_ms": length_ms,
                "channels": found.shape.channels,
                "sample_rate_hz": found.shape.rate_hz,
                "muted_ms": found.muted_ms,
            }
        )
        return
    typer.echo(
        f"{call}: {length_ms / 1000:.1f} s, {found.shape.channels} channel(s), {found.shape.rate_hz} Hz, "
        f"{found.muted_ms / 1000:.1f} s muted"
    )
