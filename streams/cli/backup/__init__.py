"""`callstream backup`."""

import typer

from streams.cli.backup.apply_erasures import apply
from streams.cli.backup.create import create
from streams.cli.backup.keygen import keygen
from streams.cli.backup.list import list_backups
from streams.cli.backup.prune import prune
from streams.cli.backup.reset_groups import reset
from streams.cli.backup.restore import restore
from streams.cli.backup.tombstones import tombstones
from streams.cli.backup.verify import verify

backup_app = typer.Typer(
    help="Back up recordings, register, ClickHouse, rules and configuration, and give them back (docs/backup.md).",
    no_args_is_help=True,
)
backup_app.command("keygen")(keygen)
backup_app.command("create")(create)
backup_app.command("list")(list_backups)
backup_app.command("verify")(verify)
backup_app.command("restore")(restore)
backup_app.command("reset-groups")(reset)
backup_app.command("apply-erasures")(apply)
backup_app.command("tombstones")(tombstones)
backup_app.command("prune")(prune)
