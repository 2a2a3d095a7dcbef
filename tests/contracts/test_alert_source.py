"""One contract for reading alerts: in memory, tansu, Apache Kafka."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import ALERTS_RAISED
from streams.adapters.kafka.alert_source import KafkaAlertSource
from streams.adapters.kafka.client import Publisher, apply_topics
from streams.adapters.memory.broker import MemoryAlertSource, MemoryBroker
from streams.ports import AlertSource, PublisherPort
from tests.support.brokers import running_broker

LONG_ENOUGH_S = 30
TOPIC = ALERTS_RAISED.name


@dataclass
class Member:
    """A source with what it was told of its partitions."""

    source: AlertSource
    assigned: dict[int, tuple[int, str]] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    def read(self, wanted: set[bytes]) -> list[ConsumerRecord]:
        """Until these keys have come."""
        records: list[ConsumerRecord] = []
        deadline_s = time.monotonic() + LONG_ENOUGH_S
        while not wanted <= {record.key for record in records} and time.monotonic() < deadline_s:
            records += self.source.read(100, 0.2)
        return records

    def join(self) -> None:
        deadline_s = time.monotonic() + LONG_ENOUGH_S
        while not self.assigned and time.monotonic() < deadline_s:
            assert self.source.read(1, 0.2) == []
        assert self.assigned


@dataclass(frozen=True)
class Broker:
    """A broker with what the contract needs of it."""

    publisher: PublisherPort
    member: Callable[[str], Member]
    keeps_metadata: bool


Assigned = Callable[[Mapping[int, tuple[int, str]]], None]
Revoked = Callable[[Collection[int]], None]


BegunAgain = Callable[[], None]


def a_member(open_source: Callable[[Assigned, Revoked, BegunAgain], AlertSource]) -> Member:
    assigned: dict[int, tuple[int, str]] = {}
    revoked: set[int] = set()
    told: list[str] = []
    source = open_source(assigned.update, revoked.update, lambda: told.append("begun again"))
    return Member(source, assigned, revoked, told)


@pytest.fixture(
    scope="module",
    params=[
        "memory",
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ],
)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if request.param == "memory":
        memory = MemoryBroker()
        yield Broker(
            memory,
            lambda group: a_member(
                lambda a, r, b: MemoryAlertSource(memory, group, TOPIC, assigned=a, revoked=r, begun_again=b)
            ),
            keeps_metadata=True,
        )
        return
    folder: Path = tmp_path_factory.mktemp(request.param)
    with running_broker(request.param, folder) as settings:
        apply_topics(settings)
        publisher = Publisher(settings)
        yield Broker(
            publisher,
            lambda group: a_member(
                lambda a, r, b: KafkaAlertSource(settings, group, TOPIC, assigned=a, revoked=r, begun_again=b)
            ),
            keeps_metadata=request.param == "kafka",
        )
        publisher.close()


def outputs(count: int) -> list[ProducerRecord]:
    run = uuid4().hex
    return [ProducerRecord(TOPIC, f"acme/{run}-{i}".encode(), f"alert {i}".encode()) for i in range(count)]


def keys(published: list[ProducerRecord]) -> set[bytes]:
    return {output.key for output in published}


def ends(records: list[ConsumerRecord]) -> dict[int, tuple[int, str]]:
    """Everything up to these records is done."""
    last: dict[int, int] = {}
    for record in records:
        last[record.partition] = max(last.get(record.partition, 0), record.offset)
    return {partition: (offset + 1, "") for partition, offset in last.items()}


def test_a_new_group_begins_at_the_end_and_that_is_committed_at_once(broker: Broker) -> None:
    group = uuid4().hex
    before, after = outputs(15), outputs(15)
    broker.publisher.publish(before)
    first = broker.member(group)
    first.join()
    first.source.close()
    broker.publisher.publish(after)
    second = broker.member(group)
    found = {record.key for record in second.read(keys(after))}
    second.source.close()
    assert found == keys(after), "what was raised while nobody was there is not lost, what was before is not read"


def test_what_was_not_committed_comes_again_and_what_was_does_not(broker: Broker) -> None:
    group = uuid4().hex
    member = broker.member(group)
    member.join()
    first, second = outputs(20), outputs(20)
    broker.publisher.publish(first)
    member.source.commit(ends(member.read(keys(first))))
    broker.publisher.publish(second)
    assert {record.key for record in member.read(keys(second))} == keys(second)
    member.source.close()
    successor = broker.member(group)
    assert {record.key for record in successor.read(keys(second))} == keys(second)
    successor.source.close()


def test_metadata_come_back_with_the_partition(broker: Broker) -> None:
    if not broker.keeps_metadata:
        pytest.skip("tansu keeps the offset of a commit and drops its metadata")
    group = uuid4().hex
    member = broker.member(group)
    member.join()
    (partition, (offset, _metadata)), *_others = sorted(member.assigned.items())
    member.source.commit({partition: (offset, "done:" + "A" * 4_000)})
    member.source.close()
    successor = broker.member(group)
    successor.join()
    assert successor.assigned[partition] == (offset, "done:" + "A" * 4_000)
    successor.source.close()


def test_a_group_behind_the_end_of_the_log_begins_again_and_is_told(broker: Broker) -> None:
    if not broker.keeps_metadata:
        pytest.skip("tansu holds no offset that it has not given out")
    group, published = uuid4().hex, outputs(3)
    broker.publisher.publish(published)
    member = broker.member(group)
    member.join()
    assert member.told == []
    member.source.commit(dict.fromkeys(member.assigned, (1000000, "done:AA==")))
    member.source.close()
    successor = broker.member(group)
    assert keys(published) <= {record.key for record in successor.read(keys(published))}
    successor.source.close()
    assert successor.told == ["begun again"]
    assert set(successor.assigned.values()) == {(0, "")}


def test_what_is_said_to_be_done_behind_the_end_of_the_log_is_not_believed(broker: Broker) -> None:
    if not broker.keeps_metadata:
        pytest.skip("tansu keeps the offset of a commit and drops its metadata")
    group = uuid4().hex
    member = broker.member(group)
    member.join()
    ends_at = {partition: offset for partition, (offset, _) in member.assigned.items()}
    member.source.commit({partition: (offset, "done:/w==") for partition, offset in ends_at.items()})
    member.source.close()
    successor = broker.member(group)
    successor.join()
    successor.source.close()
    assert successor.told == ["begun again"]
    assert successor.assigned == {partition: (offset, "") for partition, offset in ends_at.items()}


def test_while_held_nothing_is_read_and_the_member_stays(broker: Broker) -> None:
    member = broker.member(uuid4().hex)
    member.join()
    member.source.hold(True)
    published = outputs(5)
    broker.publisher.publish(published)
    for _ in range(10):
        assert member.source.read(100, 0.1) == []
    member.source.hold(False)
    assert {record.key for record in member.read(keys(published))} == keys(published)
    assert member.revoked == set()
    member.source.close()


def test_who_leaves_is_told_that_its_partitions_are_gone(broker: Broker) -> None:
    member = broker.member(uuid4().hex)
    member.join()
    member.source.close()
    assert member.revoked == set(member.assigned)
