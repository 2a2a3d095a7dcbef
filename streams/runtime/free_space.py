"""Whether a folder has room left: Kafka, ClickHouse and the workers stop at a full disk."""

import os
from pathlib import Path

LOW_BYTES = 256 * 1024 * 1024
"""Less than this is too little to go on: two segments of Kafka's log."""


def lack_of_space(folder: Path) -> tuple[str, ...]:
    """A sentence where less than `LOW_BYTES` are free, or no more files can be made: it names folder and remedy.

    A folder that does not exist yet is looked for where it will be made.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    disk = os.statvfs(existing)
    if disk.f_files and not disk.f_favail:  # some count no files
        return (f"the disk is full: no more files can be made in {existing}; remove some, everything goes on then",)
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes >= LOW_BYTES:
        return ()
    return (
        f"the disk is full: {free_bytes // 2**20} MiB are free in {existing}, and {LOW_BYTES // 2**20} MiB are needed;"
        " make room there, everything goes on by itself then",
    )
