"""`callstream rollup`: one round of what the worker of that name does."""

import typer

from streams.cli.command_settings import command_settings


def rollup() -> None:
    """Recompute the KPIs of all days with new data, and add up durations for baselines.

    `callstream worker rollup` does the same continuously, but leaves a day that takes long alone for ten times as long.
    """
    from processors.kpi.rollups import BY_HAND
    from streams.stages.rollup import build_durations, build_rollups

    build_durations(command_settings()).step()
    days = build_rollups(command_settings(), BY_HAND).refresh()
    for day in days:
        typer.echo(day.isoformat())
    typer.echo(f"recomputed {len(days)} day(s)", err=True)
