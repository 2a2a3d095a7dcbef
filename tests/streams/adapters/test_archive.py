"""The archive: what goes there is read back before the original goes, and it is sealed under the key of its call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from processors.custody.ports import PURPOSE_OF, SealedIdentity
from processors.listening.audio import DecodeLimits, decode, probe
from processors.listening.renditions import Renditions, render
from schemas.config.tenants import RecordingFormat
from schemas.errors import RetryableError
from streams.adapters.object_store.archive import (
    ArchivedResult,
    ArchivedResults,
    ArchiveError,
    RecordingArchive,
    archived_key,
)
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.object_store.recordings import recording_key
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectWriter
from tests.processors.recordings import example_calls
from tests.support.data_keys import MemoryDataKeys

DAY = date(2026, 3, 2)
ENDED_AT = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
SPEECH = example_calls()["s09_mono_logistics"].data
LIMITS = DecodeLimits(3_600_000)
VERSION = "0123456789abcdef"


class Archiving:
    """An archive in a folder, and recordings that go into it."""

    def __init__(self, folder: Path, store: FolderStore | None = None) -> None:
        self.folder = store or FolderStore(folder, "bucket")
        self.folder.apply()
        self.keys = MemoryDataKeys()
        self.sealed = SealedStore(self.folder, self.keys)
        self.broken = False
        self.results: dict[str, bytes] = {}
        self.archive = RecordingArchive(
            self.folder,
            self.sealed,
            self._render,
            probe,
            LIMITS,
            10_000_000,
            lambda _, call, __: self.results.get(call),
        )

    def _render(self, data: bytes, limits: DecodeLimits, convert_to: RecordingFormat | None) -> Renditions:
        return render(SPEECH[: len(SPEECH) // 4] if self.broken else data, limits, convert_to)

    def put(self, data: bytes, call_id: str = "c1", version: str = VERSION) -> None:
        identity = SealedIdentity("acme", call_id, "recording", version)
        self.sealed.put(recording_key("acme", call_id, ENDED_AT, version, "flac"), identity, DAY, data)
        for what in ("peaks", "converted.mp3", "seek"):
            self.folder.put(f"renditions/acme/2026/03/02/{call_id}.{version}.{what}", b"sealed")

    def names(self) -> list[str]:
        return [entry.key for entry in self.folder.entries()]


@pytest.fixture
def archiving(tmp_path: Path) -> Archiving:
    return Archiving(tmp_path / "store")


def test_a_recording_lies_there_as_opus_and_nowhere_else(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.put(SPEECH, "c1.a")
    assert archiving.archive.archive("acme", "c1", DAY) == 1
    target = archived_key("acme", "c1", VERSION, DAY)
    assert [name for name in archiving.names() if "c1.a" not in name] == [
        target,
        f"renditions/acme/2026/03/02/c1.{VERSION}.peaks",
    ]
    copy = archiving.sealed.read(target, SealedIdentity("acme", "c1", "converted", VERSION), DAY)
    assert len(copy) < len(SPEECH)
    heard, was = decode(copy, LIMITS), decode(SPEECH, LIMITS)
    assert heard.facts.codec == "opus"
    assert abs(heard.facts.duration_ms - was.facts.duration_ms) < 50
    assert recording_key("acme", "c1.a", ENDED_AT, VERSION, "flac") in archiving.names(), "another call's"


def test_again_it_changes_nothing(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.archive.archive("acme", "c1", DAY)
    names = archiving.names()
    assert archiving.archive.archive("acme", "c1", DAY) == 0
    assert archiving.names() == names


def test_what_cannot_be_decoded_lies_there_as_it_came(archiving: Archiving) -> None:
    archiving.put(b"no sound at all")
    assert archiving.archive.archive("acme", "c1", DAY) == 1
    identity = SealedIdentity("acme", "c1", "recording", VERSION)
    assert archiving.sealed.read(f"archive/acme/2026/03/02/c1.{VERSION}.flac", identity, DAY) == b"no sound at all"


def test_a_copy_that_lacks_a_part_leaves_the_original(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.broken = True
    with pytest.raises(ArchiveError, match="longer or shorter"):
        archiving.archive.archive("acme", "c1", DAY)
    assert recording_key("acme", "c1", ENDED_AT, VERSION, "flac") in archiving.names()


def test_two_recordings_of_a_call_both_go(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.put(SPEECH, version="f" * 16)
    assert archiving.archive.archive("acme", "c1", DAY) == 2


def test_of_a_call_whose_key_was_destroyed_nothing_goes(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.keys.destroy("acme", "c1", DAY)
    assert archiving.archive.archive("acme", "c1", DAY) == 0


RESULT = b"PAR1 what was said PAR1"


def test_the_result_lies_beside_it_under_the_key_of_transcripts(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.results["c1"] = RESULT
    assert archiving.archive.archive("acme", "c1", DAY) == 1
    key = ArchivedResult("acme", "c1", DAY).key
    assert key == "archive/acme/2026/03/02/c1.1.parquet"
    assert key in archiving.names()
    assert RESULT not in archiving.folder.read(key), "nothing lies in clear"
    assert ArchivedResults(archiving.sealed).read("acme", "c1", DAY) == RESULT
    assert PURPOSE_OF[ArchivedResult("acme", "c1", DAY).identity.role] == "transcript"


def test_a_call_without_a_recording_has_its_result_archived(archiving: Archiving) -> None:
    archiving.results["c1"] = RESULT
    assert archiving.archive.archive("acme", "c1", DAY) == 0
    assert archiving.names() == [ArchivedResult("acme", "c1", DAY).key]


def test_while_its_result_cannot_be_had_a_recording_stays_where_it_is(archiving: Archiving) -> None:
    def away(_tenant: str, _call: str, _day: date) -> bytes:
        raise RetryableError("ClickHouse does not answer")

    archiving.put(SPEECH)
    with pytest.raises(RetryableError):
        replace(archiving.archive, result=away).archive("acme", "c1", DAY)
    assert recording_key("acme", "c1", ENDED_AT, VERSION, "flac") in archiving.names()
    assert not [name for name in archiving.names() if name.startswith("archive/")]


class KilledError(Exception):
    """Here the process ends."""


class MortalStore(FolderStore):
    """Ends the process before the change of that number."""

    left = 10**6

    def _change(self) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1

    @contextmanager
    def writer(self, key: str, *, content_type: str = "application/octet-stream") -> Iterator[ObjectWriter]:
        self._change()
        with super().writer(key, content_type=content_type) as writer:
            yield writer

    def delete(self, key: str) -> None:
        self._change()
        super().delete(key)


def test_killed_before_any_change_it_is_archived_whole_the_next_time(tmp_path: Path) -> None:
    wanted: list[str] | None = None
    for step in range(20):
        store = MortalStore(tmp_path / str(step), "bucket")
        archiving = Archiving(tmp_path / str(step), store)
        archiving.put(SPEECH)
        archiving.results["c1"] = RESULT
        store.left = step
        try:
            archiving.archive.archive("acme", "c1", DAY)
        except KilledError:
            lies = archiving.names()
            recorded = recording_key("acme", "c1", ENDED_AT, VERSION, "flac") in lies
            assert recorded or archived_key("acme", "c1", VERSION, DAY) in lies, step
            store.left = 10**6
            archiving.archive.archive("acme", "c1", DAY)
            killed = True
        else:
            killed = False
        wanted = wanted or archiving.names()
        assert archiving.names() == wanted, step
        assert ArchivedResults(archiving.sealed).read("acme", "c1", DAY) == RESULT
        if not killed:
            break
    assert step > 4, "result, copy, two renditions and the original"
    assert not killed


def test_a_purge_finds_and_destroys_the_result(archiving: Archiving) -> None:
    archiving.put(SPEECH)
    archiving.results |= {"c1": RESULT, "c1.1": RESULT}
    archiving.archive.archive("acme", "c1", DAY)
    archiving.archive.archive("acme", "c1.1", DAY)
    objects = CallObjects(archiving.folder)
    assert objects.left("acme", {"c1": [DAY]})["archive"] == 2
    objects.destroy("acme", {"c1": [DAY]})
    assert objects.left("acme", {"c1": [DAY]})["archive"] == 0
    assert archiving.names() == [ArchivedResult("acme", "c1.1", DAY).key], "another call's"
