"""`callstream learn calibrate`."""

from typing import Annotated

import typer

from streams.cli.learn.data import LearnDataOption, LearnTenantOption, heads_in_force, load_reader, newest_calls


def calibrate_threshold(
    expected_rate: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="Share of calls in which you expect a suspicion: 0.05, 0.2 …")
    ],
    tenant: LearnTenantOption = None,
    data: LearnDataOption = None,
    calls: Annotated[int, typer.Option(min=1, max=5_000, help="So many of the newest calls are read.")] = 500,
) -> None:
    """Find the threshold at which the heads in force suspect something in as many calls as you expect.

    Needs no verdicts. It prints the entry for the tenants file; nothing is changed. How many suspicions are right it
    cannot tell, and no alert comes of it.
    """
    from processors.reading.calibrating import calibrate

    reader = load_reader(heads_in_force(tenant))
    found = calibrate(reader, newest_calls(tenant, data, calls).calls, expected_rate)
    typer.echo(f"# {found.calls} calls: share with a suspicion {found.share}; without this entry {found.share_before}")
    typer.echo(f"  - id: {tenant or 'TENANT'}")
    typer.echo(f"    reading: {{suspect_from: {found.suspect_from!r}, model: {reader.version}}}")
