"""Recordings of before are sealed one by one, wherever it stops, and their events still lead to them."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from schemas.messages.call_ended import Agent, Audio, CallEnded
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import RecordingStore, UnreadableRecordingError
from streams.adapters.object_store.sealed_store import SealedStore
from streams.stages.seal_recordings import PIECE_BYTES, SealedRecordings, seal_recordings
from tests.support.data_keys import MemoryDataKeys
from tests.support.sealing import Sealing

ENDED_AT = datetime(2026, 3, 2, 2, 15, tzinfo=UTC)
SOUND = bytes(range(256)) * 300
LONG = bytes(range(256)) * (PIECE_BYTES // 256 + 5)


class House:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FolderStore(folder, "bucket")
        self.store.apply()
        self.keys = MemoryDataKeys()
        self.sealed = SealedStore(self.store, self.keys)
        self.recordings = RecordingStore(self.store, self.sealed, 2 * len(LONG))

    def in_clear(self, call_id: str, data: bytes, digest: str = "") -> CallEnded:
        key = f"recordings/acme/2026/03/02/{call_id}.{digest or sha256(data).hexdigest()[:12]}.wav"
        self.store.put(key, data)
        return CallEnded(
            tenant_id="acme",
            call_id=call_id,
            direction="inbound",
            started_at=ENDED_AT,
            ended_at=ENDED_AT,
            agent=Agent(id="A1"),
            audio=Audio(uri=self.store.uri_of(key), sha256=sha256(data).hexdigest(), bytes=len(data)),
        )

    def seal(self) -> SealedRecordings:
        return seal_recordings(self.store, self.sealed)

    def in_store(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_what_lay_in_clear_is_sealed_and_its_event_still_leads_to_it(house: House) -> None:
    calls = {"c1": SOUND, "c.2.0123456789ab": LONG, "empty": b""}
    events = {call_id: house.in_clear(call_id, data) for call_id, data in calls.items()}
    with pytest.raises(UnreadableRecordingError, match="not_sealed"):
        house.recordings.load_audio(events["c1"])

    assert house.seal() == SealedRecordings(sealed=3)

    assert SOUND[:100] not in house.in_store()
    assert house.recordings.load_audio(events["c1"]) == SOUND
    assert house.recordings.load_audio(events["c.2.0123456789ab"]) == LONG
    assert house.seal() == SealedRecordings()


def test_one_that_was_stopped_before_it_was_removed_is_sealed_again(house: House) -> None:
    event = house.in_clear("c1", SOUND)
    house.seal()
    house.in_clear("c1", SOUND)

    assert house.seal() == SealedRecordings(sealed=1)
    assert house.recordings.load_audio(event) == SOUND
    assert len(list(house.store.entries("recordings/"))) == 1


def test_one_that_is_not_what_it_is_called_is_left_and_named(house: House) -> None:
    house.in_clear("c1", SOUND, digest="0" * 12)

    assert house.seal() == SealedRecordings(left=[f"recordings/acme/2026/03/02/c1.{'0' * 12}.wav"])
    assert [entry.bytes for entry in house.store.entries("recordings/")] == [len(SOUND)]


def test_what_was_taken_in_is_left_alone(house: House) -> None:
    event = Sealing(house.store, house.sealed).put(house.in_clear("c1", SOUND), SOUND, "wav")
    house.seal()

    assert house.recordings.load_audio(event) == SOUND


def test_a_call_that_was_erased_since_is_not_heard(house: House) -> None:
    event = house.in_clear("c1", SOUND)
    house.seal()
    house.keys.destroy("acme", "c1", ENDED_AT.date())

    with pytest.raises(UnreadableRecordingError, match="key_destroyed"):
        house.recordings.load_audio(event)
