"""What only a folder has: files that a killed writer leaves behind."""

import os
import time
from pathlib import Path

from streams.adapters.object_store.folder import FolderStore

DAY_S = 24 * 60 * 60


def test_what_killed_writers_left_behind_goes_at_the_next_start_and_nothing_else(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, "bucket")
    store.apply()
    store.put("recordings/acme/c1.wav", b"sound")
    store.put("recordings/acme/notes.part", b"an object of somebody who likes that name")
    folder = tmp_path / "bucket" / "recordings" / "acme"
    old, new = folder / ".0123456789abcdef.part", folder / ".fedcba9876543210.part"
    for path in (old, new):
        path.write_bytes(b"half")
    for path in (old, folder / "c1.wav", folder / "notes.part"):
        os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    FolderStore(tmp_path, "bucket").apply()
    assert sorted(path.name for path in folder.iterdir()) == [new.name, "c1.wav", "notes.part"]
