"""The archive: what goes there is read back before the original goes, and it is sealed under the key of its call."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from processors.custody.ports import SealedIdentity
from processors.listening.audio import DecodeLimits, decode, probe
from processors.listening.renditions import Renditions, render
from schemas.config.tenants import RecordingFormat
from streams.adapters.object_store.archive import ArchiveError, RecordingArchive, archived_key
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import recording_key
from streams.adapters.object_store.sealed_store import SealedStore
from tests.processors.recordings import example_calls
from tests.support.data_keys import MemoryDataKeys

DAY = date(2026, 3, 2)
ENDED_AT = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
SPEECH = example_calls()["s09_mono_logistics"].data
LIMITS = DecodeLimits(3_600_000)
VERSION = "0123456789abcdef"


class Archiving:
    """An archive in a folder, and recordings that go into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = FolderStore(folder, "bucket")
        self.folder.apply()
        self.keys = MemoryDataKeys()
        self.sealed = SealedStore(self.folder, self.keys)
        self.broken = False
        self.archive = RecordingArchive(self.folder, self.sealed, self._render, probe, LIMITS, 10_000_000)

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
