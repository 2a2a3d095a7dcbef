"""`callstream backup reset-groups`."""

from datetime import timedelta
from typing import Annotated

import typer

from streams.cli.backup.options import BackupOption, BackupsFromOption
from streams.cli.command_settings import command_settings


def reset(
    source: BackupsFromOption = None,
    backup: BackupOption = None,
    margin_minutes: Annotated[
        int, typer.Option("--margin-minutes", min=0, help="So long before the backup is begun again.")
    ] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved; move nothing.")] = False,
) -> None:
    """After a restore, have the stages read again what Kafka was given since shortly before the backup.

    Stop the workers first. What comes a second time makes no second row, and what Kafka has of erased calls is dropped.
    Subscribers' groups are left alone: they would be told of every alert again.
    """
    from streams.adapters.kafka.positions import reset_groups
    from streams.backup.from_settings import target_from
    from streams.topology import STAGES

    settings = command_settings()
    manifest = target_from(settings, source).backup_or_newest(backup)
    groups: dict[str, list[str]] = {}
    for stage in STAGES:
        if stage.group_per_subscription:
            continue
        for reads in stage.reads:
            if not reads.whole:
                groups.setdefault(reads.group or stage.name, []).append(reads.topic.name)
    since = manifest.began_at - timedelta(minutes=margin_minutes)
    for each in reset_groups(settings, groups, since, dry_run=dry_run):
        typer.echo(f"{each.group}: {each.topic}/{each.partition} from {each.committed} back to {each.begins_at}")
    typer.echo(f"{'would begin' if dry_run else 'begin'} again at what was written since {since:%Y-%m-%d %H:%M} UTC")
