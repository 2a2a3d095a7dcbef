"""`callstream recording result`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.recording.asking import (
    CallArgument,
    ListeningPurposeOption,
    RecordingTenantOption,
    TicketOption,
    refusals_as_sentences,
    request_of,
)
from streams.cli.recording.writing import STANDARD_OUTPUT, write_file


def result(
    call: CallArgument,
    tenant: RecordingTenantOption,
    purpose: ListeningPurposeOption,
    output: Annotated[str, typer.Option("--output", help="A file that is not there yet, or - for standard output.")],
    ticket: TicketOption = None,
) -> None:
    """Write what was said, masked, and found of an archived call as Parquet (docs/retention.md#the-archive).

    It needs the right to see_text, and is in the audit log before anything is written. The file is in clear: it is no
    longer in custody. What is handed to others is an export.
    """
    from streams.cli.recording.opening import opened_listening

    with opened_listening(command_settings(), tenant, "see_text") as (listening, actor):
        request = request_of(actor, tenant, call, purpose, ticket, unmasked=False)
        with refusals_as_sentences():
            data = listening.result(request)
        write_file(data, output)
    if output != STANDARD_OUTPUT:
        typer.echo(f"{output}: {len(data)} bytes", err=True)
