"""A full disk is a sentence."""

from pathlib import Path

import pytest

from streams.runtime.free_space import LOW_BYTES, lack_of_space
from tests.support.disks import small_disk


def test_nothing_is_said_where_there_is_room_also_for_a_folder_that_is_made_later(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not" / "there"):
        assert lack_of_space(folder) == ()


@pytest.mark.processes
def test_a_full_disk_is_named_with_what_is_free_and_what_to_do(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as disk:
        (sentence,) = lack_of_space(disk / "data")
    assert f"3 MiB are free in {disk}, and {LOW_BYTES // 2**20} MiB are needed; make room there" in sentence
