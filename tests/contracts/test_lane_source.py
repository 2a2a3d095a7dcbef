"""One contract for whatever is read as lanes: in memory, and by confluent-kafka from both brokers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ENDED, LANE_OF, LANES
from streams.adapters.kafka.client import Publisher, apply_topics
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.kafka.lane_source import KafkaLaneSource
from streams.adapters.memory.broker import MemoryBroker, MemoryLaneSource
from streams.ports import LaneSource, Place, PlaceCommits, PublisherPort
from streams.runtime.offsets import PartitionProgress
from streams.settings import Settings
from tests.support.brokers import running_broker

LONG_ENOUGH_S = 60
LIVE, BACKFILL = LANES["live"].name, LANES["backfill"].name


@dataclass
class Member:
    """A member of a group, and what it was given."""

    source: LaneSource | None = None
    given: dict[Place, tuple[int, str]] = field(default_factory=dict)
    times_taken_away: int = 0

    def assigned(self, commits: PlaceCommits) -> None:
        self.given |= commits

    def revoked(self) -> None:
        self.given.clear()
        self.times_taken_away += 1

    def read(self, most: int = 100, wait_s: float = 0.2) -> list[ConsumerRecord]:
        assert self.source is not None
        return list(self.source.read(most, wait_s))


@dataclass(frozen=True)
class Broker:
    publisher: PublisherPort
    open: Callable[[str, Member], LaneSource]
    settings: Settings | None = None

    def member(self, group: str) -> Member:
        member = Member()
        member.source = self.open(group, member)
        return member


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("memory", id="memory"),
        pytest.param("tansu", marks=pytest.mark.embedded, id="tansu"),
        pytest.param("kafka", marks=pytest.mark.kafka, id="kafka"),
    ],
)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        yield Broker(memory, lambda group, one: MemoryLaneSource(memory, group, [*LANE_OF], one.assigned, one.revoked))
        return
    with running_broker(request.param, tmp_path_factory.mktemp(request.param)) as settings:
        apply_topics(settings)
        publisher = Publisher(settings)
        yield Broker(
            publisher,
            lambda group, one: KafkaLaneSource(settings, group, [*LANE_OF], one.assigned, one.revoked),
            settings,
        )
        publisher.close()


def send(broker: Broker, topic: str, count: int) -> list[bytes]:
    """Records of one call, in one partition."""
    run = uuid4().hex
    values = [f"{run} {number}".encode() for number in range(count)]
    broker.publisher.publish(ProducerRecord(topic, f"acme/{run}".encode(), value) for value in values)
    return values


def read_all(member: Member, values: list[bytes]) -> list[ConsumerRecord]:
    """The records of these values, in the order in which they come, passing over those of other tests."""
    found: list[ConsumerRecord] = []
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while len(found) < len(values) and time.monotonic() < deadline_s:
        found += [record for record in member.read() if record.value in values]
    return found


def test_all_topics_come_and_records_of_a_partition_in_their_order(broker: Broker) -> None:
    values = {topic: send(broker, topic, 3) for topic in LANE_OF}
    member = broker.member(uuid4().hex)
    assert member.source is not None

    with closing(member.source):
        found = read_all(member, [value for each in values.values() for value in each])

    assert {topic: [r.value for r in found if r.topic == topic] for topic in LANE_OF} == values


def test_what_is_done_behind_the_offset_is_known_to_the_next_member(broker: Broker) -> None:
    group = uuid4().hex
    values = send(broker, BACKFILL, 4)
    first = broker.member(group)
    assert first.source is not None
    records = read_all(first, values)
    place = (BACKFILL, records[0].partition)
    progress = PartitionProgress()
    for offset in range(records[-1].offset + 1):
        progress.take(offset)
        if offset != records[1].offset:
            progress.finish(offset)
    first.source.commit({place: progress.commit()})
    first.source.close()

    second = broker.member(group)
    assert second.source is not None
    with closing(second.source):
        again = read_all(second, values[1:])
        offset, metadata = second.given[place]

    assert offset == records[1].offset
    if broker.settings is not None and broker.settings.kafka_flavour == "tansu":
        return  # it keeps the offset of a commit and drops its metadata: what was done behind it is looked at again
    resumed = PartitionProgress.resumed(offset, metadata)
    assert [resumed.take(record.offset) for record in again] == [True, False, False]


def test_a_group_that_has_committed_nothing_is_told_so_and_begins_with_the_oldest(broker: Broker) -> None:
    values = send(broker, LIVE, 1)
    member = broker.member(uuid4().hex)
    assert member.source is not None

    with closing(member.source):
        (record,) = read_all(member, values)
        assert member.given[(LIVE, record.partition)][0] == -1


def test_who_is_left_by_the_leader_of_a_group_that_is_just_forming_is_given_everything(broker: Broker) -> None:
    if broker.settings is None:
        return  # in memory there is one member
    group = uuid4().hex
    leader = broker.member(group)
    assert leader.source is not None
    values = send(broker, LIVE, 3)
    read_all(leader, values)
    follower = broker.member(group)
    assert follower.source is not None
    with closing(follower.source):
        follower.read(wait_s=1.0)
        leader.source.close()
        assert sorted(str(record.value) for record in read_all(follower, values)) == sorted(map(str, values))


def test_of_what_is_held_nothing_comes_and_of_the_others_it_does(broker: Broker) -> None:
    member = broker.member(uuid4().hex)
    assert member.source is not None
    with closing(member.source):
        before = send(broker, LIVE, 1)
        assert len(read_all(member, before)) == 1
        member.source.hold([place for place in member.given if place[0] == BACKFILL])
        held, others = send(broker, BACKFILL, 2), send(broker, LIVE, 2)
        came = read_all(member, others)
        came += [record for _ in range(5) for record in member.read()]
        assert [record.value for record in came if record.value in held] == []
        member.source.hold([])
        assert [record.value for record in read_all(member, held)] == held


def test_all_that_is_announced_of_a_call_comes_to_one_member(broker: Broker) -> None:
    if broker.settings is None:
        return  # in memory there is one member
    group = uuid4().hex
    members = [broker.member(group), broker.member(group)]
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while not all(len(member.given) == 18 for member in members) and time.monotonic() < deadline_s:
        for member in members:
            member.read(1, 0.1)
    numbers = [{topic: {p for t, p in member.given if t == topic} for topic in LANE_OF} for member in members]
    for member in members:
        assert member.source is not None
        member.source.close()

    for of_member in numbers:
        assert of_member[LIVE]
        assert all(each == of_member[LIVE] for each in of_member.values())


@pytest.mark.kafka
@pytest.mark.long
def test_a_worker_of_the_former_release_in_the_group_is_waited_for_and_succeeded(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Which read by Faust: its members and ours cannot share a group, and no offset is lost by that."""
    with running_broker("kafka", tmp_path_factory.mktemp("former")) as settings:
        apply_topics(settings)
        broker = Broker(
            Publisher(settings, LONG_ENOUGH_S),
            lambda group, one: KafkaLaneSource(settings, group, [*LANE_OF], one.assigned, one.revoked),
            settings,
        )
        group = uuid4().hex
        values = send(broker, LIVE, 4)
        done, left = values[:2], values[2:]
        former = FaustSource(settings, group, CALLS_ENDED.name, threading.Event())
        deadline_s = time.monotonic() + LONG_ENOUGH_S
        taken: list[bytes | None] = []
        while len(taken) < 2 and time.monotonic() < deadline_s:
            for record in former.poll(1, 0.5):
                taken.append(record.value)
                former.commit([record])
        assert taken == done
        member = broker.member(group)
        assert member.source is not None
        with closing(member.source):
            for _ in range(10):
                assert member.read() == []
            assert member.given == {}
            former.close()
            found = read_all(member, done + left)
        assert [record.value for record in found] == left
