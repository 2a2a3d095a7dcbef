"""The search sees what it looks for, wherever it lies; a place where it sees nothing is not taken for a clean one."""

import os
from pathlib import Path

import pytest

from streams.adapters.object_store.folder import FolderSettings
from streams.proof.custody import MARK, CustodyProof
from streams.proof.mutations import MutationReport
from streams.proof.searching import Needles, Searched, folders_of, search_files, search_files_apart
from streams.settings import Settings

PHONE = b"13812345678"
SAMPLE = bytes(range(1, 49))
NEEDLES = Needles({MARK: [b"mark-0123456789"], "a phone number": [PHONE], "a recording": [SAMPLE]})
ALLOWED = frozenset({MARK})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"xx" + PHONE + b"yy", id="as it is"),
        pytest.param("号码13812345678".encode(), id="UTF-8"),
        pytest.param("号码13812345678".encode("utf-16-le"), id="UTF-16, little end first"),
        pytest.param("号码13812345678".encode("utf-16-be"), id="UTF-16, big end first"),
        pytest.param(b"\x00" * (4 * 1024 * 1024 - 5) + PHONE, id="over the end of a piece that is read"),
        pytest.param(b"138" + PHONE, id="behind its own beginning"),
        pytest.param(PHONE + b"\x00" * 9_000_000, id="before what is reserved and not written"),
        pytest.param(b"\x00" * 9_000_000 + PHONE, id="behind it"),
        pytest.param(PHONE.decode().encode("utf-16-le") + b"\x00" * 100, id="one that ends in a zero, before zeros"),
        pytest.param(SAMPLE + PHONE, id="beside another one"),
    ],
)
def test_a_number_is_found_in_a_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "deep" / "down" / "file").write_bytes(content)
    searched = search_files([tmp_path], NEEDLES, ALLOWED)
    assert searched.found["a phone number"] == {PHONE}
    assert list(searched.where) == [str(tmp_path / "deep" / "down" / "file")]
    assert (searched.parts, searched.size_bytes) == (1, len(content))


def test_sound_is_found_at_any_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff" * 17 + SAMPLE + b"\xff")
    assert search_files([tmp_path], NEEDLES, ALLOWED).found == {"a recording": {SAMPLE}}


def test_the_name_of_a_file_can_tell_it_too(tmp_path: Path) -> None:
    (tmp_path / f"{PHONE.decode()}.wav").write_bytes(b"")
    assert search_files([tmp_path], NEEDLES, ALLOWED).found == {"a phone number": {PHONE}}


@pytest.mark.processes
def test_a_process_of_its_own_finds_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SAMPLE + PHONE)
    (tmp_path / "old").write_bytes(PHONE)
    os.utime(tmp_path / "old", (0, 1))
    since = {tmp_path: 1_500.0}
    found = search_files_apart([], NEEDLES, ALLOWED, since)
    assert found == search_files([], NEEDLES, ALLOWED, since)
    assert (found.parts, found.found["a phone number"]) == (1, {PHONE})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"1381234567", id="all but a digit"),
        pytest.param(b"1381 2345678", id="other bytes between"),
        pytest.param(SAMPLE[:-1], id="all but a byte"),
    ],
)
def test_what_is_not_there_is_not_found(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert search_files([tmp_path], NEEDLES, ALLOWED).found == {}


def test_a_file_in_two_folders_is_searched_once_and_no_link_is_followed(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "file").write_bytes(PHONE)
    (inner / "link").symlink_to(inner / "file")
    assert search_files([tmp_path, inner], NEEDLES, ALLOWED).parts == 1


def test_needles_that_chance_would_find_are_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Needles({"a code": [b"12345"]})


def proof_of(**changes: object) -> CustodyProof:
    """A proof that holds, but for these changes."""
    searched = Searched("files", found={MARK: {b"mark-0123456789"}})
    proof = CustodyProof(calls=2, recordings=1, rewrapped=3, replayed=2, searched=[searched])
    proof.outcomes["analyzed"] = 2
    proof.mutations = MutationReport(tried=5)
    proof.audit_mutations = MutationReport(tried=5)
    for name, value in changes.items():
        setattr(proof, name, value)
    return proof


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"replayed": 1}, id="a call was not judged again"),
        pytest.param({"rewrapped": 0}, id="no key was wrapped anew"),
        pytest.param({"calls": 3}, id="a call has no outcome"),
        pytest.param({"searched": [Searched("files")]}, id="the mark was not seen: the search is blind"),
        pytest.param(
            {"searched": [Searched("files", found={MARK: {b"m"}, "a phone number": {PHONE}})]}, id="a secret was found"
        ),
        pytest.param(
            {"searched": [Searched("files", found={MARK: {b"m"}}, unreadable=["x"])]}, id="a file was not read"
        ),
        pytest.param({"mutations": MutationReport()}, id="no object was tampered with"),
        pytest.param({"mutations": MutationReport(5, ["a cut end"])}, id="a cut was not noticed"),
        pytest.param({"audit_mutations": MutationReport()}, id="no audit log was tampered with"),
        pytest.param({"audit_mutations": MutationReport(5, ["fork"])}, id="a fork of the log was not noticed"),
    ],
)
def test_custody_holds_only_if_everything_does(changes: dict[str, object]) -> None:
    assert proof_of().holds
    assert not proof_of(**changes).holds


def test_of_a_folder_of_everybody_only_what_was_written_since_then_is_searched(tmp_path: Path) -> None:
    for name, written_s in (("old", 1_000), ("new", 2_000)):
        (tmp_path / name).write_bytes(PHONE)
        os.utime(tmp_path / name, (written_s, written_s))
    searched = search_files([], NEEDLES, ALLOWED, {tmp_path: 1_500})
    assert list(searched.where) == [str(tmp_path / "new")]


def test_objects_and_archive_in_folders_of_their_own_are_searched_too(tmp_path: Path) -> None:
    data, store, far = tmp_path / "data", tmp_path / "store", tmp_path / "far"
    settings = Settings(data_dir=data, archive_to=str(far)).with_parts(FolderSettings(store_folder=store))
    assert folders_of(settings) == [data, store, far]
    assert folders_of(Settings(data_dir=data, archive_to="s3://far/")) == [data]
