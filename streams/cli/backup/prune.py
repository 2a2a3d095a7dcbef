"""`callstream backup prune`."""

from typing import Annotated

import typer

from streams.cli.backup.options import PlaceOption
from streams.cli.command_settings import command_settings


def prune(
    to: PlaceOption = None,
    daily: Annotated[int, typer.Option("--keep-daily", min=0, help="The last of each of so many days.")] = 7,
    weekly: Annotated[int, typer.Option("--keep-weekly", min=0, help="The last of each of so many weeks.")] = 5,
    monthly: Annotated[int, typer.Option("--keep-monthly", min=0, help="The last of each of so many months.")] = 12,
    days: Annotated[
        int | None, typer.Option("--not-older-than-days", min=1, help="None that is older, but for the newest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> None:
    """Remove backups that are not kept any more, and what only they held. The newest always stays."""
    from processors.custody.backups import Keeping
    from streams.adapters.register.register import Register
    from streams.backup.from_settings import target_from
    from streams.backup.pruning import prune_backups
    from streams.backup.systems import ALONE
    from streams.ports import SystemClock

    settings = command_settings()
    target = target_from(settings, to)
    keeping = Keeping(daily, weekly, monthly, days)
    register = Register.of(settings)
    try:
        with register.alone(ALONE):
            pruned = prune_backups(target, keeping, SystemClock().now(), dry_run=dry_run)
    finally:
        register.close()
    for backup_id in pruned.removed:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {backup_id}")
    typer.echo(
        f"{len(pruned.kept)} backups kept"
        + ("" if dry_run else f"; {pruned.chunks} chunks and {pruned.copies} copies of objects removed")
    )
