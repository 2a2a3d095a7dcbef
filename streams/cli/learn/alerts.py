"""`callstream learn alerts`."""

from pathlib import Path

import typer

from streams.cli.learn.data import LearnDataOption, LearnTenantOption, calls_with_verdicts, heads_in_force, load_reader


def allow_alerts(tenant: LearnTenantOption = None, data: LearnDataOption = None) -> None:
    """Find the probability from which on nine of ten suspicions are right, so that they may alert.

    What counts are verdicts on suspicions of the heads in force, in calls that these heads have not learned from. It
    prints the entry for the tenants file; nothing is changed. Where no probability is sure enough, it says so and ends
    with 1.
    """
    from processors.reading.alerting import alert_threshold
    from processors.reading.learned import not_learned_from

    folder: Path = heads_in_force(tenant)
    reader = load_reader(folder)
    found = alert_threshold(reader, not_learned_from(calls_with_verdicts(tenant, data).calls, folder))
    typer.echo(f"# {found.verdicts} suspicions with a verdict from there on, of which are right: {found.precision}")
    typer.echo(f"  - id: {tenant or 'TENANT'}")
    typer.echo(f"    reading: {{alert_from: {found.alert_from!r}, model: {reader.version}}}")
