"""Whether a folder has room left: Kafka, ClickHouse and the workers stop at a full disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

LOW_BYTES = 256 * 1024 * 1024
"""Less than this is too little to go on: two segments of Kafka's log."""


def lack_of_space(*folders: Path) -> tuple[str, ...]:
    """A sentence for each disk with less than `LOW_BYTES`, which names the folder, what is free, and what to do.

    A folder that does not exist yet is looked for where it will be made. Two on one disk are one sentence.
    """
    return tuple(
        f"the disk is full: {free_bytes // 2**20} MiB are free in {folder}, and {LOW_BYTES // 2**20} MiB are needed;"
        " make room there, everything goes on by itself then"
        for folder, free_bytes in _by_disk(folders)
        if free_bytes < LOW_BYTES
    )


def _by_disk(folders: tuple[Path, ...]) -> Iterator[tuple[Path, int]]:
    seen: set[int] = set()
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        disk = existing.stat().st_dev
        if disk not in seen:
            seen.add(disk)
            yield existing, shutil.disk_usage(existing).free
