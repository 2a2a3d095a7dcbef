"""`callstream topics apply`."""

from typing import Annotated

import typer

from streams.cli.command_settings import command_settings


def apply_topics(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    shorter_retention: Annotated[
        bool,
        typer.Option(
            "--allow-shorter-retention", help="Also where messages that are kept now are removed, for being too old."
        ),
    ] = False,
    fewer_copies: Annotated[
        bool,
        typer.Option(
            "--allow-fewer-copies", help="Also where fewer brokers than now must have a message to acknowledge it."
        ),
    ] = False,
) -> None:
    """Create missing topics, and bring partitions and settings of the others to what the settings say.

    Partitions are added while the stages run, and never taken away. What would lose messages is refused unless an
    option allows it; then nothing is changed at all.
    """
    from streams.adapters.kafka.client import carry_out, topic_steps
    from streams.adapters.kafka.topic_plan import require_nothing_lost

    settings = command_settings()
    steps = topic_steps(settings)
    if dry_run:
        for step in steps:
            typer.echo(f"{step.wanted.name}: {step.sentence()}")
    require_nothing_lost(steps, shorter_retention=shorter_retention, fewer_copies=fewer_copies)
    if dry_run:
        return
    changes = carry_out(settings, steps)
    for step in steps:
        change = changes[step.wanted.name]
        told = change in ("created", "unchanged") or step.found is None
        typer.echo(f"{step.wanted.name}: {change}" if told else f"{step.wanted.name}: {change}: {step.sentence()}")
