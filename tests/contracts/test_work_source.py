"""One contract for whatever a stage reads from: in memory, confluent-kafka, Faust, and two of them as lanes."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_REANALYZED
from streams.adapters.kafka.batches import MAX_BATCH_BYTES
from streams.adapters.kafka.client import GROUP_PREFIX, BatchConsumer, Publisher, apply_topics, client_config
from streams.adapters.kafka.faust_source import FaustSource
from streams.adapters.memory.broker import MemoryBroker
from streams.ports import PublisherPort, WorkSource
from streams.runtime.lanes import Lanes
from streams.settings import Settings
from tests.support.brokers import running_broker, write_batch

LONG_ENOUGH_S = 40
TOPIC = CALLS_ENDED.name


@dataclass(frozen=True)
class Broker:
    """A broker, and how a member of a group reads from it."""

    publisher: PublisherPort
    source: Callable[[str], WorkSource]
    settings: Settings | None = None


def on_kafka(settings: Settings, kind: str, publisher: PublisherPort) -> Broker:
    def source(group: str) -> WorkSource:
        if kind == "faust":
            return FaustSource(settings, group, TOPIC, threading.Event())
        consumer = BatchConsumer(settings, group, [TOPIC])
        if kind == "lanes":
            return Lanes(BatchConsumer(settings, f"{group}.first", [CALLS_REANALYZED.name]), consumer)
        return consumer

    return Broker(publisher, source, settings)


def of(broker: str, kind: str) -> object:
    marks = {"memory": (), "tansu": (pytest.mark.embedded,), "kafka": (pytest.mark.kafka,)}[broker]
    return pytest.param((broker, kind), marks=marks, id=f"{kind} on {broker}")


@pytest.fixture(
    scope="module",
    params=[
        of("memory", "consumer"),
        of("memory", "lanes"),
        of("tansu", "consumer"),
        of("tansu", "faust"),
        of("tansu", "lanes"),
        of("kafka", "consumer"),
        of("kafka", "faust"),
    ],
)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    name, kind = request.param
    if name == "memory":
        memory = MemoryBroker()

        def source(group: str) -> WorkSource:
            consumer = memory.consumer(group, [TOPIC])
            return consumer if kind == "consumer" else Lanes(memory.consumer(f"{group}.first", ["nothing"]), consumer)

        yield Broker(memory, source)
        return
    with running_broker(name, tmp_path_factory.mktemp(f"{name}-{kind}")) as settings:
        apply_topics(settings)
        publisher = Publisher(settings)
        yield on_kafka(settings, kind, publisher)
        publisher.close()


def published(broker: Broker, count: int) -> list[bytes]:
    """Records of one call, in one partition, with values of their own."""
    run = uuid4().hex
    values = [f"{run} {number}".encode() for number in range(count)]
    broker.publisher.publish(ProducerRecord(TOPIC, f"acme/{run}".encode(), value) for value in values)
    return values


def poll(source: WorkSource, most: int = 1) -> list[ConsumerRecord]:
    """The next batch that is not empty."""
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while time.monotonic() < deadline_s:
        if records := source.poll(most, 0.2):
            return list(records)
    return []


def next_of(source: WorkSource, values: list[bytes]) -> ConsumerRecord:
    """The next record of these, not committed; those of other tests are committed on the way."""
    while True:
        (record,) = poll(source)
        if record.value in values:
            return record
        source.commit([record])


def take(source: WorkSource, values: list[bytes]) -> list[bytes]:
    """As many of these records as there are, each committed."""
    taken: list[bytes] = []
    while len(taken) < len(values):
        record = next_of(source, values)
        taken.append(record.value or b"")
        source.commit([record])
    return taken


def test_what_stands_beside_a_message_comes_with_it(broker: Broker) -> None:
    value = uuid4().hex.encode()
    headers = (("callstream-retries", b"2"), ("x", b""), ("x", b"\xff\x00"))
    broker.publisher.publish([ProducerRecord(TOPIC, b"acme/c1", value, headers)])
    source = broker.source(uuid4().hex)
    record = next_of(source, [value])
    source.commit([record])
    source.close()
    assert record.headers == headers


def test_records_of_a_call_come_in_order_each_once(broker: Broker) -> None:
    values = published(broker, 5)
    source = broker.source(uuid4().hex)
    assert take(source, values) == values
    source.close()


def test_who_is_left_by_the_leader_of_a_group_that_is_just_forming_is_given_everything(broker: Broker) -> None:
    if broker.settings is None:
        return  # in memory nobody waits for a leader
    group = uuid4().hex
    values = published(broker, 2)
    leader = broker.source(group)
    assert take(leader, values[:1]) == values[:1]
    follower = broker.source(group)
    follower.poll(1, 1.0)
    leader.close()
    assert next_of(follower, values[1:]).value == values[1]
    follower.close()


def test_a_group_goes_on_after_what_it_has_committed(broker: Broker) -> None:
    group = uuid4().hex
    first = published(broker, 3)
    source = broker.source(group)
    take(source, first)
    source.close()
    second = published(broker, 2)
    successor = broker.source(group)
    assert next_of(successor, first + second).value == second[0]
    successor.close()


def test_what_was_not_committed_comes_again(broker: Broker) -> None:
    group = uuid4().hex
    values = published(broker, 3)
    source = broker.source(group)
    take(source, values[:2])
    assert next_of(source, values).value == values[2]
    source.close()
    successor = broker.source(group)
    assert next_of(successor, values).value == values[2]
    successor.close()


def test_rewound_records_come_again_and_then_the_others(broker: Broker) -> None:
    values = published(broker, 2)
    source = broker.source(uuid4().hex)
    for _ in range(2):
        record = next_of(source, values)
        assert record.value == values[0]
        source.rewind([record])
    assert take(source, values) == values
    source.close()


def test_nothing_comes_where_there_is_nothing_more(broker: Broker) -> None:
    source = broker.source(uuid4().hex)
    take(source, published(broker, 1))
    empty = 0
    while empty < 3:  # one lane may be empty while the other is not
        records = source.poll(1, 1.0)
        empty = 0 if records else empty + 1
        if not records:
            continue
        source.commit(records)
    assert list(source.poll(1, 0.2)) == []
    source.close()


def test_a_batch_that_expands_too_far_is_passed_and_the_group_stands_behind_it(broker: Broker) -> None:
    if broker.settings is None:
        return  # nothing is compressed in memory
    key = f"acme/{uuid4().hex}".encode()
    values = [uuid4().hex.encode() for _ in range(4)]
    codecs = ("zstd", "gzip", "lz4")
    for codec, before in zip(codecs, values, strict=False):
        write_batch(broker.settings, TOPIC, None, key, [before])
        write_batch(broker.settings, TOPIC, codec, key, [b"a", bytes(MAX_BATCH_BYTES), b"c"])
    write_batch(broker.settings, TOPIC, None, key, values[-1:])
    group = uuid4().hex
    source = broker.source(group)
    found: list[ConsumerRecord] = []
    while not found or found[-1].value != values[-1]:
        (record,) = poll(source)
        if record.unreadable or record.value in values:
            found.append(record)
        source.commit([record])
    source.close()
    assert [record.value for record in found] == [values[0], None, values[1], None, values[2], None, values[3]]
    first = found[0].offset
    assert [record.offset - first for record in found] == [0, 3, 4, 7, 8, 11, 12]
    assert f"the batch of the offsets {first + 1} to {first + 3} cannot be read" in found[1].unreadable
    place = TopicPartition(TOPIC, found[0].partition)
    asking = Consumer(client_config(broker.settings) | {"group.id": GROUP_PREFIX + group})
    (committed,) = asking.committed([place], timeout=10)
    asking.close()
    assert committed.offset == first + 13
