"""`callstream recording info`."""

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.recording.asking import (
    CallArgument,
    ListeningPurposeOption,
    RecordingTenantOption,
    TicketOption,
    UnmaskedOption,
    refusals_as_sentences,
    request_of,
)


def info(
    call: CallArgument,
    tenant: RecordingTenantOption,
    purpose: ListeningPurposeOption,
    ticket: TicketOption = None,
    unmasked: UnmaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """How long a recording is, its channels and rate, and how much of it would be muted."""
    from streams.cli.recording.opening import opened_listening

    with opened_listening(command_settings(), tenant) as (listening, actor), refusals_as_sentences():
        found = listening.describe(request_of(actor, tenant, call, purpose, ticket, unmasked=unmasked))
    told = {
        "tenant_id": tenant,
        "call_id": call,
        "duration_ms": found.shape.frames * 1000 // found.shape.rate_hz,
        "sample_rate_hz": found.shape.rate_hz,
        "channels": found.shape.channels,
        "wav_bytes": found.shape.size_bytes,
        "masking": found.masking,
        "muted_ms": found.muted_ms,
    }
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        console().print(f"{name}: {value}")
