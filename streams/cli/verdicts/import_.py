"""`callstream verdicts import`."""

from datetime import tzinfo
from pathlib import Path
from typing import Annotated

import typer

from schemas.messages.topics import VERDICTS_GIVEN
from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems
from streams.cli.verdicts.csv_file import read_verdicts

BATCH = 1_000
NAMED_ROWS = 50
"""So many wrong rows are named, and the rest counted."""


def import_verdicts(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8, whose first line names the columns.")],
    tenant: Annotated[
        str | None, typer.Option(help="Tenant of all calls, where the file has no column tenant_id.")
    ] = None,
    given_by: Annotated[
        str | None, typer.Option("--by", help="Inspector who gave them all, where the file has no column given_by.")
    ] = None,
) -> None:
    """Publish the verdicts of a CSV file.

    A row that is wrong is named with its line and the reason; the others are published. Rows without an answer are
    passed over and counted. The same file again changes nothing. Quotes and notes are masked before they are sent.

    Columns: tenant_id, call_id, about (call, finding or missed), answer (yes, no or withdrawn), given_by, given_at; of
    a finding finding_id, detector, rule_id, rule_version, start_ms; of a missed violation kind, quote,
    segment_id; of a call score (0 to 100); and note. docs/learning.md describes them.
    """
    from streams.adapters.kafka.by_hand import publisher_by_hand

    settings = command_settings()

    def zone_of(of_tenant: str) -> tzinfo:
        return settings.days.zone_of(of_tenant)

    found = read_verdicts(file, zone_of, {"tenant_id": tenant, "given_by": given_by})
    publisher = publisher_by_hand(settings)
    try:
        outputs = [VERDICTS_GIVEN.record(verdict) for verdict in found.verdicts]
        for start in range(0, len(outputs), BATCH):
            publisher.publish(outputs[start : start + BATCH])
    finally:
        publisher.close()
    typer.echo(f"published {len(found.verdicts)} verdict(s)")
    if found.unanswered:
        typer.echo(
            "1 row has no answer yet" if found.unanswered == 1 else f"{found.unanswered} rows have no answer yet"
        )
    if found.problems:
        more = len(found.problems) - NAMED_ROWS
        rest = [f"and {more} more row(s)"] if more > 0 else []
        end_with_problems([*found.problems[:NAMED_ROWS], *rest, f"left out {len(found.problems)} row(s)"])
