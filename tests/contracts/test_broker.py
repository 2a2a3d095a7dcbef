"""One contract for every broker: in memory, tansu, Apache Kafka."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_ENDED
from streams.adapters.kafka.batches import MAX_BATCH_BYTES
from streams.adapters.kafka.canary import CANARY_TOPIC, write_canary
from streams.adapters.kafka.client import BatchConsumer, Publisher, TopicReader, apply_topics, lags, read_record
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.adapters.kafka.waiting import oldest_unread
from streams.adapters.memory.broker import MemoryBroker, MemoryConsumer, MemoryReader
from streams.ports import PublisherPort, RecordTooLargeError
from streams.settings import Settings
from tests.support.brokers import running_broker, write_batch

Consumer = BatchConsumer | MemoryConsumer
LONG_ENOUGH_S = 120


@dataclass(frozen=True)
class Broker:
    """A broker with what the contract needs of it."""

    publisher: PublisherPort
    consumer: Callable[[str], Consumer]
    reader: Callable[[datetime | None], TopicReader | MemoryReader]
    settings: Settings | None


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
            lambda group: memory.consumer(group, [CALLS_ENDED.name]),
            lambda since: MemoryReader(memory, CALLS_ENDED.name, since),
            None,
        )
        return
    folder: Path = tmp_path_factory.mktemp(request.param)
    with running_broker(request.param, folder) as settings:
        apply_topics(settings)
        publisher = Publisher(settings)
        yield Broker(
            publisher,
            lambda group: BatchConsumer(settings, group, [CALLS_ENDED.name]),
            lambda since: TopicReader(settings, CALLS_ENDED.name, since),
            settings,
        )
        publisher.close()


def outputs(count: int) -> list[ProducerRecord]:
    """Events with keys of their own, so that a test sees only what it has published."""
    run = uuid4().hex
    return [ProducerRecord(CALLS_ENDED.name, f"acme/{run}-{i}".encode(), f"event {i}".encode()) for i in range(count)]


def take(consumer: Consumer, wanted: set[bytes]) -> list[ConsumerRecord]:
    """Everything from the start until every wanted key has come."""
    records: list[ConsumerRecord] = []
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while not wanted <= {record.key for record in records} and time.monotonic() < deadline_s:
        records += consumer.poll(100, 0.2)
    return records


def keys(published: list[ProducerRecord]) -> set[bytes]:
    return {output.key for output in published}


def test_what_is_published_is_consumed_with_key_and_value(broker: Broker) -> None:
    published = outputs(5)
    broker.publisher.publish(published)
    consumer = broker.consumer(uuid4().hex)
    found = {record.key: record.value for record in take(consumer, keys(published))}
    consumer.close()
    assert {output.key: output.value for output in published}.items() <= found.items()


def test_what_stands_beside_a_message_comes_with_it(broker: Broker) -> None:
    plain, retried = outputs(2)
    headers = (("callstream-retries", b"2"), ("x", b""), ("x", b"\xff\x00"))
    broker.publisher.publish([plain, replace(retried, headers=headers)])
    consumer = broker.consumer(uuid4().hex)
    found = {record.key: record.headers for record in take(consumer, {plain.key, retried.key})}
    consumer.close()
    assert (found[plain.key], found[retried.key]) == ((), headers)


def test_a_group_goes_on_after_what_it_has_committed(broker: Broker) -> None:
    group = uuid4().hex
    first = outputs(3)
    broker.publisher.publish(first)
    consumer = broker.consumer(group)
    consumer.commit(take(consumer, keys(first)))
    consumer.close()
    second = outputs(2)
    broker.publisher.publish(second)
    successor = broker.consumer(group)
    found = take(successor, keys(second))
    successor.close()
    assert {record.key for record in found} == keys(second)


def test_what_was_not_committed_comes_again(broker: Broker) -> None:
    group = uuid4().hex
    published = outputs(3)
    broker.publisher.publish(published)
    for _ in range(2):
        consumer = broker.consumer(group)
        assert keys(published) <= {record.key for record in take(consumer, keys(published))}
        consumer.close()


def test_a_record_that_is_too_large_is_refused_for_good_and_those_beside_it_are_written(broker: Broker) -> None:
    if broker.settings is not None and broker.settings.kafka_flavour == "tansu":
        pytest.skip("tansu takes records of any size")
    small = outputs(3)
    too_large = ProducerRecord(CALLS_ENDED.name, small[1].key, os.urandom(CALLS_ENDED.message.max_bytes * 2))
    with pytest.raises(RecordTooLargeError):
        broker.publisher.publish([small[0], too_large, small[2]])
    broker.publisher.publish([small[1], small[2]])
    consumer = broker.consumer(uuid4().hex)
    found = {record.key: record.value for record in take(consumer, keys(small))}
    consumer.close()
    assert {output.key: output.value for output in small}.items() <= found.items()


def test_a_group_that_stands_behind_the_end_of_the_log_begins_again_at_its_beginning(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    if broker.settings is not None and broker.settings.kafka_flavour == "tansu":
        pytest.skip("tansu holds no offset that it has not given out")
    group, published = uuid4().hex, outputs(3)
    broker.publisher.publish(published)
    consumer = broker.consumer(group)
    records = take(consumer, keys(published))
    consumer.commit([replace(record, offset=record.offset + 1_000_000) for record in records])
    consumer.close()
    successor = broker.consumer(group)
    assert keys(published) <= {record.key for record in take(successor, keys(published))}
    successor.close()
    if broker.settings is not None:
        assert "the topic was made anew, or a broker has lost records" in caplog.text


def test_rewound_records_come_again_to_the_same_member(broker: Broker) -> None:
    published = outputs(4)
    broker.publisher.publish(published)
    consumer = broker.consumer(uuid4().hex)
    before = take(consumer, keys(published))
    consumer.rewind(before)
    after = take(consumer, keys(published))
    consumer.close()
    assert {(r.partition, r.offset) for r in after} == {(r.partition, r.offset) for r in before}


def test_a_reader_reads_everything_there_is_and_knows_the_end(broker: Broker) -> None:
    published = outputs(7)
    broker.publisher.publish(published)
    reader = broker.reader(None)
    assert not reader.is_at_end
    assert keys(published) <= {record.key for record in reader.read_to_end()}
    assert reader.is_at_end
    reader.close()


def test_a_reader_goes_on_with_what_comes_after_the_end(broker: Broker) -> None:
    reader = broker.reader(None)
    reader.read_to_end()
    later = outputs(3)
    broker.publisher.publish(later)
    found: set[bytes | None] = set()
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while not keys(later) <= found and time.monotonic() < deadline_s:
        found |= {record.key for record in reader.read(100, 0.2)}
    reader.close()
    assert keys(later) <= found


def test_readers_do_not_share_the_records(broker: Broker) -> None:
    published = outputs(4)
    broker.publisher.publish(published)
    for _ in range(2):
        reader = broker.reader(None)
        assert keys(published) <= {record.key for record in reader.read_to_end()}
        reader.close()


def test_a_reader_begins_where_it_is_told(broker: Broker) -> None:
    before = outputs(3)
    broker.publisher.publish(before)
    time.sleep(0.05)
    since = datetime.now(UTC)
    time.sleep(0.05)
    after = outputs(3)
    broker.publisher.publish(after)
    reader = broker.reader(since)
    found = {record.key for record in reader.read_to_end()}
    reader.close()
    assert keys(after) <= found
    assert keys(before).isdisjoint(found)


def test_a_reader_passes_a_batch_that_expands_too_far(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    if broker.settings is None:
        return  # nothing is compressed in memory
    before, after = outputs(1), outputs(1)
    write_batch(broker.settings, CALLS_ENDED.name, None, before[0].key, [before[0].value])
    write_batch(broker.settings, CALLS_ENDED.name, "gzip", before[0].key, [bytes(MAX_BATCH_BYTES)])
    write_batch(broker.settings, CALLS_ENDED.name, None, before[0].key, [after[0].value])
    reader = broker.reader(None)
    of_call = [record for record in reader.read_to_end() if record.key == before[0].key]
    reader.close()
    assert [record.value for record in of_call] == [before[0].value, after[0].value]
    bad = of_call[0].offset + 1
    assert f"the batch of the offsets {bad} to {bad} cannot be read" in caplog.text
    assert read_record(broker.settings, CALLS_ENDED.name, of_call[0].partition, bad) is None
    assert read_record(broker.settings, CALLS_ENDED.name, of_call[0].partition, bad - 1) == of_call[0]
    assert read_record(broker.settings, CALLS_ENDED.name, of_call[0].partition, bad + 1_000) is None


def test_a_broker_that_takes_records_takes_a_canary(broker: Broker) -> None:
    if broker.settings is None:
        return  # Kafka alone is asked
    for _ in range(2):
        write_canary(broker.settings)
    reader = TopicReader(broker.settings, CANARY_TOPIC)
    assert {record.key for record in reader.read_to_end()} == {b"canary"}
    reader.close()


def test_who_is_refused_is_told_what_to_see_to_and_does_not_ask_again(broker: Broker) -> None:
    if broker.settings is None or broker.settings.kafka_flavour == "tansu":
        pytest.skip("lets everybody in")
    settings = broker.settings.model_copy(update={"kafka_sasl_password": SecretStr("wrong")})
    consumer = BatchConsumer(settings, uuid4().hex, [CALLS_ENDED.name])
    for read in (
        lambda: TopicReader(settings, CALLS_ENDED.name),
        lambda: consumer.poll(1, LONG_ENOUGH_S),
    ):
        with pytest.raises(KafkaAccessError, match="kafka_sasl_"):
            read()
    consumer.close()


def test_a_reader_from_a_time_to_come_is_at_the_end_at_once(broker: Broker) -> None:
    broker.publisher.publish(outputs(2))
    reader = broker.reader(datetime.now(UTC) + timedelta(hours=1))
    assert reader.read_to_end() == []
    reader.close()


def test_the_lag_counts_what_is_published_and_not_committed(broker: Broker) -> None:
    if broker.settings is None:
        return  # lag is asked of Kafka only
    group = uuid4().hex
    published = outputs(6)
    broker.publisher.publish(published)
    before = lags(broker.settings, {group: (CALLS_ENDED.name,)})[0].messages
    consumer = broker.consumer(group)
    consumer.commit(take(consumer, keys(published)))
    consumer.close()
    after = lags(broker.settings, {group: (CALLS_ENDED.name, CALLS_ANALYZED.name)})
    assert before >= len(published)
    assert [(lag.topic, lag.messages) for lag in after] == [(CALLS_ENDED.name, 0), (CALLS_ANALYZED.name, 0)]


def test_each_group_and_topic_knows_since_when_its_oldest_unread_record_waits(broker: Broker) -> None:
    if broker.settings is None:
        return  # it is asked of Kafka only
    behind, done = uuid4().hex, uuid4().hex
    published = outputs(6)
    broker.publisher.publish(published)
    consumer = broker.consumer(done)
    consumer.commit(take(consumer, keys(published)))
    consumer.close()
    reader = broker.reader(None)
    oldest = min(record.written_at for record in reader.read_to_end())
    reader.close()
    groups = dict.fromkeys((behind, done), (CALLS_ENDED.name, CALLS_ANALYZED.name))
    assert oldest_unread(broker.settings, lags(broker.settings, groups)) == {(behind, CALLS_ENDED.name): oldest}
    # Now two groups stand at different places of the same partitions.
    later = outputs(6)
    broker.publisher.publish(later)
    found = oldest_unread(broker.settings, lags(broker.settings, groups))
    reader = broker.reader(None)
    newer = min(record.written_at for record in reader.read_to_end() if record.key in keys(later))
    reader.close()
    assert found == {(behind, CALLS_ENDED.name): oldest, (done, CALLS_ENDED.name): newer}
