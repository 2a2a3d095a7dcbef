"""What an inbox is: the same for a folder, and for a bucket in a folder, on MinIO and on versitygw."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from processors.listening.audio import probe
from processors.telephony.file_facts import FileFacts
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.inbox.arrival import Inbox
from streams.adapters.inbox.bucket import BucketInbox
from streams.adapters.inbox.folder import FolderInbox
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.register import sqlite_url
from streams.ports import ObjectStore, SystemClock
from streams.stages.collect import Collect, Collected
from streams.stages.take_in import TakeIn
from tests.contracts.s3_server import S3Server
from tests.contracts.versitygw_server import Versitygw
from tests.processors.recordings import tone, wav
from tests.support.registers import migrated
from tests.support.sealing import keys_of

SOUND = wav([tone(440, 500, 8_000), tone(880, 500, 8_000)], 8_000)
FACTS = {"call_id": "c1", "agent": {"id": "a1"}}


class Place(ABC):
    """Where telephony leaves things, and the inbox that looks there."""

    @abstractmethod
    def leave(self, name: str, data: bytes) -> None: ...

    @abstractmethod
    def names(self) -> list[str]: ...

    @abstractmethod
    def read(self, name: str) -> bytes: ...

    @abstractmethod
    def inbox(self, *, needs_side: bool = True, keep: bool = False) -> Inbox: ...


class FolderPlace(Place):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def leave(self, name: str, data: bytes) -> None:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def inbox(self, *, needs_side: bool = True, keep: bool = False) -> Inbox:
        return FolderInbox(self._folder, needs_side, 0, keep)


class BucketPlace(Place):
    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._prefix = f"{token_hex(4)}/in/"

    def leave(self, name: str, data: bytes) -> None:
        self._store.put(self._prefix + name, data)

    def names(self) -> list[str]:
        return sorted(entry.key.removeprefix(self._prefix) for entry in self._store.entries(self._prefix))

    def read(self, name: str) -> bytes:
        return self._store.read(self._prefix + name)

    def inbox(self, *, needs_side: bool = True, keep: bool = False) -> Inbox:
        return BucketInbox(self._store, self._prefix, needs_side, 0, keep)


@pytest.fixture(
    params=[
        pytest.param("folder", id="folder"),
        pytest.param("bucket_folder", id="bucket in a folder"),
        pytest.param("minio", id="bucket on MinIO", marks=pytest.mark.minio),
        pytest.param("versitygw", id="bucket on versitygw", marks=pytest.mark.versitygw),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "folder":
        return FolderPlace(tmp_path / "recordings")
    if request.param == "bucket_folder":
        store: ObjectStore = FolderStore(tmp_path / "buckets", "telephony")
    else:
        server: S3Server | Versitygw = request.getfixturevalue(request.param)
        if server.certificate is not None:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        store = server.store("telephony")
    store.apply()
    return BucketPlace(store)


class Taking:
    """Takes in what lies in the place, into a store of its own."""

    def __init__(self, take_in: TakeIn, broker: MemoryBroker) -> None:
        self._take_in = take_in
        self._broker = broker

    def collect(self, inbox: Inbox) -> Collected:
        return Collect([("bucket", inbox)], FileFacts(lambda _tenant: None), self._take_in, SystemClock(), 10**7).step()  # type: ignore[arg-type,return-value]

    @property
    def calls(self) -> list[tuple[str, int]]:
        events = [CALLS_ENDED.read(record) for record in self._broker.records[CALLS_ENDED.name]]
        return [(event.call_id, event.audio.bytes) for event in events]

    def capture_ms(self, call_id: str) -> int | None:
        return getattr(self._take_in.intakes.intake("default", call_id), "capture_ms", None)


@pytest.fixture
def taking(tmp_path: Path) -> Iterator[Taking]:
    clock, broker = SystemClock(), MemoryBroker()
    with migrated(sqlite_url(tmp_path / "register" / "register.db")) as register:
        store = FolderStore(tmp_path / "sealed", "callstream")
        store.apply()
        sealed = SealedStore(store, keys_of(register, clock))
        yield Taking(
            TakeIn(store, sealed, RegisterIntakes(register, clock), broker, clock, probe, 10**7),
            broker,
        )


def facts(**more: object) -> bytes:
    return json.dumps(FACTS | more).encode()


def test_a_recording_with_its_facts_is_taken_in_and_removed(place: Place, taking: Taking) -> None:
    began_s = time.time()
    place.leave("2026/03/02/c1.wav", SOUND)
    place.leave("2026/03/02/c1.json", facts())
    assert taking.collect(place.inbox()) == Collected(taken_in=1)
    assert (taking.calls, place.names()) == ([("c1", len(SOUND))], [])
    capture_ms = taking.capture_ms("c1")
    assert capture_ms is not None
    # Servers tell when an object was written to the second.
    assert capture_ms <= (time.time() - began_s) * 1_000 + 1_000


def test_facts_may_be_called_after_the_whole_name(place: Place, taking: Taking) -> None:
    place.leave("1772417700.1.wav", SOUND)
    place.leave("1772417700.1.wav.json", facts())
    assert taking.collect(place.inbox()) == Collected(taken_in=1)
    assert place.names() == []


def test_a_recording_without_facts_waits(place: Place, taking: Taking) -> None:
    inbox = place.inbox()
    place.leave("c1.wav", SOUND)
    assert taking.collect(inbox) == Collected()
    assert (inbox.waiting(), place.names()) == (1, ["c1.wav"])


def test_one_that_cannot_be_taken_in_is_put_aside_with_the_reason(place: Place, taking: Taking) -> None:
    place.leave("bad.wav", SOUND)
    place.leave("bad.json", facts(direction="sideways"))
    place.leave("c1.wav", SOUND)
    place.leave("c1.json", facts())
    assert taking.collect(place.inbox()) == Collected(taken_in=1, refused=1)
    assert place.names() == ["refused/bad.json", "refused/bad.wav", "refused/bad.wav.problem.txt"]
    assert b"direction: literal_error" in place.read("refused/bad.wav.problem.txt")
    assert place.read("refused/bad.wav") == SOUND
    assert taking.collect(place.inbox()) == Collected()


def test_it_may_be_kept(place: Place, taking: Taking) -> None:
    place.leave("c1.wav", SOUND)
    place.leave("c1.json", facts())
    taking.collect(place.inbox(keep=True))
    assert place.names() == ["done/c1.json", "done/c1.wav"]
    assert place.read("done/c1.wav") == SOUND
    assert taking.collect(place.inbox(keep=True)) == Collected()


def test_what_was_taken_in_and_not_removed_is_the_same_call_again(place: Place, taking: Taking) -> None:
    at = {"started_at": "2026-03-02T10:15:00+08:00", "ended_at": "2026-03-02T10:18:00+08:00"}
    for expected in (Collected(taken_in=1), Collected(again=1)):
        place.leave("c1.wav", SOUND)
        place.leave("c1.json", facts(**at))
        assert taking.collect(place.inbox()) == expected
    assert (taking.calls, place.names()) == ([("c1", len(SOUND))], [])


def test_many_are_taken_in_at_one_look(place: Place, taking: Taking) -> None:
    for n in range(20):
        place.leave(f"c{n}.wav", SOUND)
        place.leave(f"c{n}.json", facts(call_id=f"c{n}"))
    assert taking.collect(place.inbox()) == Collected(taken_in=20)
    assert {call_id for call_id, _ in taking.calls} == {f"c{n}" for n in range(20)}
    assert place.names() == []
