"""Backups that are not kept any more go, and what only they held."""

from dataclasses import dataclass
from datetime import datetime

from processors.custody.backups import Keeping, ObjectLine, backups_to_keep
from streams.adapters.backup.target import BackupTarget
from streams.backup.erasing import chunks_in_use


@dataclass(frozen=True)
class Pruned:
    """Backups that stay and that went, by id, and what went with them."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]
    chunks: int = 0
    copies: int = 0


def prune_backups(target: BackupTarget, keeping: Keeping, now: datetime, *, dry_run: bool = False) -> Pruned:
    """Remove backups that are not to be kept. Manifests go first: what is broken off leaves copies that belong to no
    backup, and the next one removes them. Nobody may make a backup meanwhile (`Register.alone`).

    Raises `BackupError`, before anything is removed, where a manifest cannot be read.
    """
    manifests = {manifest.backup_id: manifest for manifest in target.manifests()}
    keep = backups_to_keep({each: manifest.began_at for each, manifest in manifests.items()}, keeping, now)
    removed = tuple(each for each in manifests if each not in keep)
    kept = tuple(each for each in manifests if each in keep)
    if dry_run:
        return Pruned(kept, removed)
    for backup_id in removed:
        target.remove_manifest(backup_id)
    wanted = {
        ObjectLine.of(line).copy_id for each in kept for line in target.chunks.lines(manifests[each].objects.chunks)
    }
    going = [copy_id for copy_id in target.copies() if copy_id not in wanted]
    for copy_id in going:
        target.remove_copy(copy_id)
    return Pruned(kept, removed, target.chunks.remove_all_but(chunks_in_use(target)), len(going))
