"""Recordings that telephony leaves lying: taken in and removed, whatever else lies there, wherever it is killed."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from processors.custody.customer_keys import customer_key
from processors.listening.audio import probe
from processors.telephony.file_facts import FileFacts, NamePattern
from schemas.errors import RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.inbox.arrival import StillWrittenError
from streams.adapters.inbox.bucket import BucketInbox
from streams.adapters.inbox.folder import FolderInbox, InboxFolderError
from streams.adapters.kafka.client import Publisher, TopicReader, apply_topics
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.register import Register, sqlite_url
from streams.ports import ObjectStore, SystemClock
from streams.runtime.loop import in_own_thread
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings, SettingsError
from streams.stages.collect import Collect, Collected, build, facts_of, inbox_of
from streams.stages.take_in import LEASE, TakeIn
from tests.processors.recordings import tone, wav
from tests.support.brokers import running_broker
from tests.support.collecting import KILLED, Collecting, prepare
from tests.support.processes import eventually
from tests.support.registers import migrated
from tests.support.sealing import keys_of

SOUND = wav([tone(440, 500, 8_000), tone(880, 500, 8_000)], 8_000)
OTHER = wav([tone(300, 500, 8_000)], 8_000)
TIMES = {"started_at": "2026-03-02T02:15:00Z", "ended_at": "2026-03-02T02:15:01Z"}
TINY = wav([tone(300, 100, 8_000)], 8_000)
SECRET = "a secret that is long enough"
FACTS = {"call_id": "c1", "agent": {"id": "a1"}, "queue": "refunds"}


class Seconds:
    """A clock that a test moves, for how long files must not change."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """All that taking in needs, and a folder into which telephony writes."""

    folder: Path
    objects: ObjectStore
    object_folder: Path
    broker: MemoryBroker
    take_in: TakeIn
    seconds: Seconds = field(default_factory=Seconds)
    names: NamePattern | None = None
    keep: bool = False
    max_bytes: int = 10_000_000
    _inbox: FolderInbox | None = None

    @property
    def inbox(self) -> FolderInbox:
        if self._inbox is None:
            self._inbox = FolderInbox(self.folder, self.names is None, 10, self.keep, self.seconds)
        return self._inbox

    def collect(self) -> Collected:
        facts = FileFacts(
            lambda _tenant: UTC,
            lambda _tenant, number: {"key": customer_key(number, SECRET)},
            self.names,
            {"tenant_id": "acme"},
        )
        clock = SystemClock()
        return Collect([("folder", self.inbox)], facts, self.take_in, clock, self.max_bytes).step()

    def leave(self, name: str, data: bytes = SOUND, facts: Mapping[str, Any] | None = FACTS) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        if facts is not None:
            file.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
        return file

    @property
    def events(self) -> list[CallEnded]:
        return [CALLS_ENDED.read(record) for record in self.broker.records[CALLS_ENDED.name]]

    @property
    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir())

    def problem(self, name: str) -> str:
        return (self.folder / "refused" / f"{name}.problem.txt").read_text(encoding="utf-8")


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    with migrated(sqlite_url(tmp_path / "register" / "register.db")) as register:
        yield register


@pytest.fixture
def house(register: Register, tmp_path: Path) -> House:
    clock = SystemClock()
    store = FolderStore(tmp_path / "objects", "the-bucket")
    store.apply()
    sealed = SealedStore(store, keys_of(register, clock))
    broker = MemoryBroker()
    take_in = TakeIn(store, sealed, RegisterIntakes(register, clock), broker, clock, probe, 10_000_000)
    folder = tmp_path / "recordings"
    folder.mkdir()
    return House(folder, store, tmp_path / "objects", broker, take_in)


def by_name(house: House) -> None:
    house.names = NamePattern.of(r"(?P<call_id>[\w.-]+)\.wav", "epoch_s")


class TestWhatIsFinished:
    def test_a_recording_with_its_side_file_is_taken_in_at_once_and_removed(self, house: House) -> None:
        house.leave("2026/03/02/any.wav")
        assert house.collect() == Collected(taken_in=1)
        (event,) = house.events
        assert (event.tenant_id, event.call_id, event.queue, event.audio.bytes) == ("acme", "c1", "refunds", len(SOUND))
        assert house.left == []
        in_store = [path for path in house.object_folder.rglob("*") if path.is_file()]
        assert in_store
        assert all(SOUND[100:200] not in path.read_bytes() for path in in_store)

    def test_capturing_is_measured_from_when_the_file_was_closed(self, house: House) -> None:
        file = house.leave("c1.wav")
        closed_at = time.time() - 3
        for path in (file, file.with_suffix(".json")):
            os.utime(path, (closed_at, closed_at))
        house.collect()
        intake = house.take_in.intakes.intake("acme", "c1")
        assert 3_000 <= intake.capture_ms < 60_000  # type: ignore[union-attr]

    def test_a_recording_without_its_side_file_waits_for_it(self, house: House) -> None:
        house.leave("c1.wav", facts=None)
        house.seconds.now += 3_600
        assert house.collect() == Collected()
        assert house.inbox.waiting() == 1
        (house.folder / "c1.wav.json").write_text(json.dumps(FACTS))
        assert house.collect() == Collected(taken_in=1)

    def test_a_side_file_that_is_half_written_is_waited_for(self, house: House) -> None:
        house.leave("c1.wav", facts=None)
        side = house.folder / "c1.json"
        side.write_text('{"call_id": "c1", "agent"')
        assert house.collect() == Collected()
        side.write_text(json.dumps(FACTS))
        assert house.collect() == Collected(taken_in=1)

    def test_a_recording_that_was_written_behind_its_side_file_must_have_settled(self, house: House) -> None:
        file = house.leave("c1.wav")
        past = time.time() - 60
        os.utime(file.with_suffix(".json"), (past, past))
        assert house.collect() == Collected()
        house.seconds.now += 11
        assert house.collect() == Collected(taken_in=1)

    def test_by_name_a_recording_is_finished_when_it_has_not_changed_for_a_while(self, house: House) -> None:
        by_name(house)
        file = house.leave("c1.wav", SOUND[:1_000], facts=None)
        assert house.collect() == Collected()
        house.seconds.now += 9
        with file.open("ab") as stream:
            stream.write(SOUND[1_000:])
        house.seconds.now += 9
        assert house.collect() == Collected(), "it has grown"
        house.seconds.now += 11
        assert house.collect() == Collected(taken_in=1)
        assert house.events[0].audio.bytes == len(SOUND)

    @pytest.mark.parametrize("name", [".c1.wav", "c1.wav.part", "c1.wav.tmp"])
    def test_what_is_called_unfinished_is_left_alone(self, house: House, name: str) -> None:
        by_name(house)
        house.leave(name, facts=None)
        house.collect()
        house.seconds.now += 3_600
        assert house.collect() == Collected()
        assert house.left == [name]

    def test_one_that_changes_while_it_is_read_is_left_for_later(self, house: House) -> None:
        file = house.leave("c1.wav")
        arrivals = house.inbox.arrivals()
        chunks = next(arrivals).chunks()
        assert next(chunks)
        with file.open("ab") as stream:
            stream.write(b"more")
        os.utime(file, (time.time() + 1,) * 2)
        with pytest.raises(StillWrittenError):
            list(chunks)
        assert house.collect() == Collected(), "it was written behind its side file"
        house.seconds.now += 11
        assert house.collect() == Collected(taken_in=1)

    def test_it_may_be_kept_when_it_is_sealed(self, house: House) -> None:
        house.keep = True
        house.leave("day/c1.wav", facts=FACTS | TIMES)
        house.collect()
        assert house.left == ["done/day/c1.json", "done/day/c1.wav"]
        assert house.collect() == Collected(), "what is done is not looked at again"
        house.leave("day/c1.wav", facts=FACTS | TIMES)
        assert house.collect() == Collected(again=1)
        assert len(house.left) == 4, "of two with the same name both are kept"
        assert len(house.events) == 1


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("facts", "problem"),
        [
            pytest.param({"agent": {"id": "a1"}}, "call_id: missing", id="no id"),
            pytest.param(FACTS | {"direction": "sideways"}, "direction: literal_error", id="no direction"),
            pytest.param(FACTS | {"call_id": "../../x"}, "call_id: string_pattern_mismatch", id="a path as id"),
            pytest.param(FACTS | {"phone": "13800138000"}, "<unknown field>: extra_forbidden", id="an unknown field"),
            pytest.param(FACTS | {"customer_number": "call me"}, "customer_number: is not a phone", id="no number"),
            pytest.param(FACTS | {"audio": {"sha256": "0" * 64}}, "audio.sha256", id="another checksum"),
        ],
    )
    def test_a_recording_that_cannot_be_taken_in_is_put_aside_with_the_field_that_is_wrong(
        self, house: House, facts: dict[str, Any], problem: str
    ) -> None:
        house.leave("bad.wav", facts=facts)
        house.leave("good.wav", facts=FACTS | {"call_id": "c2"})
        assert house.collect() == Collected(taken_in=1, refused=1)
        assert house.left == ["refused/bad.json", "refused/bad.wav", "refused/bad.wav.problem.txt"]
        assert problem in house.problem("bad.wav")
        assert "138" not in house.problem("bad.wav")
        assert [event.call_id for event in house.events] == ["c2"]
        assert house.collect() == Collected(), "what is refused is not looked at again"

    def test_a_side_file_that_stays_broken_is_refused(self, house: House) -> None:
        house.leave("c1.wav", facts=None)
        (house.folder / "c1.json").write_text("{")
        house.collect()
        house.seconds.now += 11
        assert house.collect() == Collected(refused=1)
        assert "side file: is no JSON" in house.problem("c1.wav")

    def test_the_same_call_with_another_recording_is_refused_and_the_first_one_stands(self, house: House) -> None:
        house.leave("c1.wav")
        house.collect()
        house.leave("c1.wav", OTHER)
        assert house.collect() == Collected(refused=1)
        assert len(house.events) == 1
        assert house.left == ["refused/c1.json", "refused/c1.wav", "refused/c1.wav.problem.txt"]

    def test_a_huge_recording_is_refused_unread(self, house: House) -> None:
        file = house.leave("c1.wav")
        with file.open("r+b") as stream:
            stream.truncate(10 * 1024**3)
        os.utime(file, (time.time() - 60,) * 2)
        assert house.collect() == Collected(refused=1)
        assert "more than 10000000 bytes" in house.problem("c1.wav")

    def test_links_and_pipes_are_never_opened(self, house: House, tmp_path: Path) -> None:
        secret = tmp_path / "secret.wav"
        secret.write_bytes(SOUND)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "c9.wav").write_bytes(SOUND)
        (house.folder / "link.wav").symlink_to(secret)
        (house.folder / "link.json").write_text(json.dumps(FACTS))
        (house.folder / "folder").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(house.folder / "pipe.wav")
        (house.folder / "pipe.json").write_text(json.dumps(FACTS | {"call_id": "c2"}))
        house.collect()
        assert house.events == []
        assert secret.read_bytes() == SOUND
        aside = [name for name in house.left if name.startswith("refused/") and not name.endswith(".txt")]
        assert aside == ["refused/link.wav", "refused/pipe.wav"]
        assert (house.folder / "refused" / "folder").is_symlink()
        assert "not a recording" in house.problem("pipe.wav")

    def test_a_side_file_that_is_a_link_is_not_read(self, house: House, tmp_path: Path) -> None:
        facts = tmp_path / "facts"
        facts.write_text(json.dumps(FACTS))
        house.leave("c1.wav", facts=None)
        (house.folder / "c1.json").symlink_to(facts)
        house.collect()
        house.seconds.now += 11
        assert house.collect() == Collected(refused=1)
        assert house.events == []

    def test_a_side_file_without_a_recording_is_put_aside_after_a_day(self, house: House) -> None:
        side = house.folder / "c1.json"
        side.write_text("{}")
        house.collect()
        assert house.left == ["c1.json"]
        os.utime(side, (time.time() - 25 * 3_600,) * 2)
        house.collect()
        assert house.left == ["refused/c1.json", "refused/c1.json.problem.txt"]

    def test_a_folder_that_is_not_there_says_what_to_do(self, house: House) -> None:
        shutil.rmtree(house.folder)
        with pytest.raises(InboxFolderError, match="make the folder"):
            house.collect()

    def test_a_link_in_place_of_the_folder_aside_is_refused(self, house: House, tmp_path: Path) -> None:
        (house.folder / "refused").symlink_to(tmp_path)
        with pytest.raises(InboxFolderError, match="is a link"):
            house.collect()


class Away(MemoryBroker):
    """Does not answer."""

    def publish(self, _outputs: object) -> None:
        raise RetryableError("no Kafka broker answers")


def test_nothing_is_removed_while_kafka_is_away(house: House) -> None:
    house.leave("c1.wav")
    take_in = house.take_in
    house.take_in = replace(take_in, publisher=Away())
    with pytest.raises(RetryableError):
        house.collect()
    assert house.left == ["c1.json", "c1.wav"]
    house.take_in = take_in
    assert house.collect() == Collected(again=1)
    assert len(house.events) == 1


def test_numbers_reach_neither_events_nor_logs(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    house.leave("in-13800138000.wav", facts=FACTS | {"customer_number": "13800138000"})
    house.leave("in-13900139000.wav", facts={})
    house.collect()
    assert house.events[0].customer.key == customer_key("13800138000", SECRET)
    written = caplog.text + house.events[0].model_dump_json()
    assert "138001" not in written
    assert "139001" not in written


@pytest.mark.parametrize("handled_by", ["human", "bot"])
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_calls_of_people_and_bots_come_in_both_directions(house: House, handled_by: str, direction: str) -> None:
    house.leave("c1.wav", facts=FACTS | {"handled_by": handled_by, "direction": direction})
    house.collect()
    assert [(event.handled_by, event.direction) for event in house.events] == [(handled_by, direction)]


PLACES = [
    pytest.param("before", "publish", 3, id="stored, and not announced"),
    pytest.param("after", "publish", 3, id="announced, and not removed"),
    pytest.param("after", "unlink", 3, id="the recording is removed, its side file is not"),
    pytest.param("after", "unlink", 4, id="between two recordings"),
    pytest.param("before", "read", 7, id="in the middle of reading"),
]


@pytest.mark.processes
@pytest.mark.parametrize(("when", "what", "count"), PLACES)
def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(when: str, what: str, count: int, tmp_path: Path) -> None:
    world = Collecting(tmp_path)
    ids = [f"c{n}" for n in range(8)]
    for call_id in ids:
        world.leave(f"{call_id}.wav", SOUND, FACTS | {"call_id": call_id})
    assert world.run(kill=f"{when}:{what}:{count}") == KILLED
    assert world.run(ahead=LEASE) == 0, "what was under way is held for whoever took it in until its lease runs out"
    assert sorted({event.call_id for event in world.events}) == sorted(ids)
    assert len({(event.call_id, event.audio.uri) for event in world.events}) == len(ids), "each one object"
    assert [path.name for path in world.left if path.suffix == ".wav"] == []
    world.sweep()  # what was being written when the process ended is for it to remove
    assert {path.name for path in world.objects} == {event.audio.uri.rpartition("/")[2] for event in world.events}
    assert len(world.objects) == len(ids)


@pytest.mark.long
@pytest.mark.processes
def test_ten_thousand_recordings_at_once(tmp_path: Path) -> None:
    """Half a second of sound each, in a single look."""
    world = Collecting(tmp_path)
    for n in range(10_000):
        world.leave(f"c{n}.wav", TINY, {"call_id": f"c{n}", **TIMES})
    assert world.run() == 0
    assert len({event.call_id for event in world.events}) == 10_000
    assert world.left == []


class TestSettings:
    def test_a_folder_and_a_bucket_are_told_apart(self, tmp_path: Path) -> None:
        source, inbox = inbox_of(Settings(collect_from=str(tmp_path)))
        assert (source, type(inbox)) == ("folder", FolderInbox)
        source, inbox = inbox_of(Settings(collect_from="s3://telephony/in/", data_dir=tmp_path))
        assert (source, type(inbox)) == ("bucket", BucketInbox)

    def test_the_bucket_of_sealed_recordings_takes_none_in_clear(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="a bucket of their own"):
            inbox_of(Settings(collect_from="s3://callstream/in/", store_bucket="callstream", data_dir=tmp_path))

    def test_what_is_usual_is_read_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "usual.json"
        file.write_text('{"tenant_id": "acme", "audio": {"channel_roles": ["customer", "agent"]}}')
        facts = facts_of(Settings(collect_usual_file=file)).of("c1.wav", b'{"call_id": "c1"}', datetime.now(UTC))
        assert (facts["tenant_id"], facts["audio"]) == ("acme", {"channel_roles": ["customer", "agent"]})


@pytest.mark.embedded
def test_the_worker_takes_in_what_is_left_while_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    with running_broker("tansu", tmp_path) as of_broker:
        apply_topics(of_broker)
        settings = of_broker.model_copy(update={"data_dir": tmp_path / "data", "collect_from": str(folder)})
        prepare(settings)
        worker = WorkerContext("collect", settings, SystemClock(), lambda: Publisher(settings))
        loop = in_own_thread(build(worker))
        try:
            (folder / "c1.wav").write_bytes(SOUND)
            (folder / "c1.json").write_text(json.dumps(FACTS))
            assert eventually(lambda: not list(folder.glob("c1.*")))
        finally:
            worker.stop.set()
            loop.join(30)
        reader = TopicReader(settings, CALLS_ENDED.name)
        events = [CALLS_ENDED.read(record) for record in reader.read_to_end()]
        reader.close()
    assert [event.call_id for event in events] == ["c1"]
    assert list((folder / "refused").iterdir()) == []
