"""Digests that were taken before hold for what has not changed, and for nothing else."""

import hashlib
import os
from pathlib import Path

import pytest

from processors import file_digests
from processors.file_digests import KnownDigests, sha256_of, tree_digest

CONTENT = b"what was pinned"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pinned(tmp_path: Path) -> Path:
    path = tmp_path / "pinned"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read in whole."""
    read: list[Path] = []

    def note(path: Path) -> str:
        read.append(path)
        return sha256_of(path)

    monkeypatch.setattr(file_digests, "sha256_of", note)
    return read


def kept(cache: Path, path: Path) -> str:
    known = KnownDigests(cache)
    digest = known.sha256_of(path)
    known.keep()
    return digest


def test_a_file_that_has_not_changed_is_read_once(tmp_path: Path, pinned: Path, taken: list[Path]) -> None:
    assert [kept(tmp_path / "cache" / "known.json", pinned) for _ in range(3)] == [DIGEST] * 3
    assert taken == [pinned]
    assert (tmp_path / "cache" / "known.json").stat().st_mode & 0o777 == 0o600


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path, pinned: Path, taken: list[Path]) -> None:
    before = pinned.stat()
    kept(tmp_path / "known.json", pinned)
    pinned.write_bytes(CONTENT.swapcase())
    os.utime(pinned, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept(tmp_path / "known.json", pinned) == hashlib.sha256(CONTENT.swapcase()).hexdigest()
    assert len(taken) == 2


@pytest.mark.parametrize("damage", ["others may write", "no JSON", "no object", "a link", "a folder"])
def test_a_list_that_is_not_ours_alone_is_not_believed(
    tmp_path: Path, pinned: Path, taken: list[Path], damage: str
) -> None:
    cache = tmp_path / "known.json"
    kept(cache, pinned)
    text = cache.read_text(encoding="utf-8").replace(DIGEST, "0" * 64)
    cache.unlink()
    if damage == "others may write":
        cache.write_text(text, encoding="utf-8")
        cache.chmod(0o666)
    elif damage == "a link":
        (tmp_path / "elsewhere").write_text(text, encoding="utf-8")
        cache.symlink_to("elsewhere")
    elif damage == "a folder":
        cache.mkdir()
    else:
        cache.write_text({"no JSON": text[:-5], "no object": "[]"}[damage], encoding="utf-8")
    assert kept(cache, pinned) == DIGEST
    assert len(taken) == 2


def test_two_that_keep_at_once_lose_nothing_of_each_other(tmp_path: Path, pinned: Path, taken: list[Path]) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    first, second = KnownDigests(tmp_path / "known.json"), KnownDigests(tmp_path / "known.json")
    first.sha256_of(pinned)
    second.sha256_of(other)
    first.keep()
    second.keep()
    both = KnownDigests(tmp_path / "known.json")
    assert both.sha256_of(pinned) == DIGEST
    both.sha256_of(other)
    assert len(taken) == 2


def test_the_digest_of_many_files_tells_names_and_contents_apart() -> None:
    one, two = "1" * 64, "2" * 64
    trees = [{"a": one, "b": two}, {"a": two, "b": one}, {"a": one}, {"a": one, "c": two}]
    assert len({tree_digest(tree) for tree in trees}) == len(trees)
    assert tree_digest({"b": two, "a": one}) == tree_digest(trees[0])
