"""`callstream keys status`."""

import typer

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.keys.rotating import PurposeOption, meant, rotating


def show_keys(purpose: PurposeOption = None, as_json: JsonOption = False) -> None:
    """Show every version of the wrapping keys: its state, since when, and how many keys of days it wraps."""
    from rich.table import Table

    purposes = meant(purpose)
    with rotating(purposes) as rotation:
        rows = [row for each in purposes for row in rotation.rows(each)]
    shown = [
        {
            "purpose": row.purpose,
            "version": row.version,
            "state": row.state,
            "since": getattr(row, f"{row.state}_at").isoformat(timespec="seconds"),
            "day_keys": row.needed_by,
        }
        for row in rows
    ]
    if as_json:
        print_json(shown)
        return
    if not shown:
        typer.echo("no wrapping keys yet: run `callstream keys prepare`, then `callstream keys switch`")
        return
    table = Table("purpose", "version", "state", "since", "day keys wrapped")
    for line in shown:
        table.add_row(*(str(value) for value in line.values()))
    console().print(table)
