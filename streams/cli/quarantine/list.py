"""`callstream quarantine list`."""

from dataclasses import asdict

from rich.table import Table

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.quarantine.suspects import all_quarantines


def list_suspects(as_json: JsonOption = False) -> None:
    """List records that were being processed when their worker ended.

    Shows how often that happened, and whether the record is still tried, skipped or given up.
    """
    found = [suspect for quarantine in all_quarantines() for suspect in quarantine.suspects().values()]
    if as_json:
        print_json([asdict(suspect) | {"position": suspect.position} for suspect in found])
        return
    table = Table("stage", "record", "call", "ended the worker", "state", "last seen")
    for suspect in found:
        cells = (suspect.stage, suspect.position, suspect.call, f"{suspect.ends} ×", suspect.state, suspect.seen_at)
        table.add_row(*cells)
    console().print(table)
