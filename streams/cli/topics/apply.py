"""`callstream topics apply`."""

import typer

from streams.cli.command_settings import command_settings


def apply_topics() -> None:
    """Create missing topics, and update the settings of the others."""
    from streams.adapters.kafka.client import apply_topics as apply

    for name, change in apply(command_settings()).items():
        typer.echo(f"{name}: {change}")
