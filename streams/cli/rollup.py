"""`callstream rollup`: one round of what the worker of that name does."""

import typer

from streams.cli.command_settings import command_settings


def rollup() -> None:
    """Recompute the KPIs of all days with new data.

    `callstream worker rollup` does the same continuously.
    """
    from streams.stages.rollup import build_rollups

    days = build_rollups(command_settings()).refresh()
    for day in days:
        typer.echo(day.isoformat())
    typer.echo(f"recomputed {len(days)} day(s)", err=True)
