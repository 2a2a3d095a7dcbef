"""Partitions are added while producers and workers run: afterwards older and newer messages of one call lie in two
partitions, and two members have them in their hands at the same time.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer

from schemas.messages.call_rated import CallRated
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import ALERTS_RAISED, CALLS_ENDED, CALLS_RATED, CALLS_TRANSCRIBED, TOPICS
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka import client, faust_source
from streams.adapters.kafka.alert_source import KafkaAlertSource
from streams.adapters.kafka.client import BatchConsumer, Publisher, TopicReader, apply_topics, client_config, lags
from streams.adapters.kafka.faust_source import FaustSource
from streams.ports import Rows, SystemClock
from streams.runtime.loop import Loop, PollWorkPublishCommit
from streams.settings import Settings
from streams.stages.store import Store
from tests.support.brokers import running_broker
from tests.support.judged_calls import NOW, an_event
from tests.support.processes import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.embedded, pytest.mark.long]

NOTICED_MS = 500
CALLS = [f"c-{number}" for number in range(12)]
ROUNDS_BEFORE, ROUNDS_AFTER = 12, 12
LONG_ENOUGH_S = 180
STORED = (CALLS_ENDED, CALLS_RATED)


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Every topic that may have more has two partitions; a client notices others soon."""
    for module in (client, faust_source):
        monkeypatch.setattr(module, "NOTICE_PARTITIONS_MS", NOTICED_MS)
    with running_broker("kafka", tmp_path) as settings:
        file = tmp_path / "topics.yaml"
        file.write_text("version: 1\npartitions: 2\n")
        settings = settings.model_copy(update={"kafka_topics_file": file})
        apply_topics(settings)
        yield settings


def grow(settings: Settings, partitions: int) -> None:
    """As an operator does: the file is changed, and `topics apply` run."""
    assert settings.kafka_topics_file is not None
    settings.kafka_topics_file.write_text(f"version: 1\npartitions: {partitions}\n")
    changes = apply_topics(settings)
    assert {changes[topic.name] for topic in TOPICS} == {"partitions added", "unchanged"}


class SlowSink:
    """ClickHouse, somewhat slower; it remembers in which order the ratings of each call came."""

    def __init__(self, url: str, came: dict[str, list[int]]) -> None:
        self._sink = ClickHouseSink(connect(url))
        self._came = came

    def write(self, rows: Rows) -> None:
        for table, written in rows.items():
            for row in written if table == "rating_versions" else ():
                values: Mapping[str, Any] = row
                self._came[values["call_id"]].append(int(values["order_status"]))
        time.sleep(0.05)
        self._sink.write(rows)


@contextmanager
def members(settings: Settings, url: str, came: dict[str, list[int]]) -> Iterator[None]:
    """Two of the stage `store`."""
    stop = threading.Event()
    publisher = Publisher(settings)

    def run() -> None:
        source = BatchConsumer(settings, "store", [topic.name for topic in STORED])
        store = Store(SlowSink(url, came), SystemClock())
        cycle = PollWorkPublishCommit("store", source, store.work, publisher, stop, 1.0, batch=8, wait_s=0.1)
        Loop("store", cycle.step, stop, 1.0, recover=cycle.recover, close=source.close).run()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(LONG_ENOUGH_S)


def test_what_is_seen_is_complete_single_and_the_newest(broker: Settings, new_database: Callable[[], str]) -> None:
    url = new_database()
    came: dict[str, list[int]] = defaultdict(list)
    publisher = Publisher(broker)

    def tell(number: int) -> None:
        """Of each call its event once more, and a newer statement than before."""
        publisher.publish([CALLS_ENDED.record(an_event(call, NOW)) for call in CALLS])
        publisher.publish([CALLS_RATED.record(a_rating(call, number)) for call in CALLS])

    def behind() -> int:
        return sum(lag.messages for lag in lags(broker, {"store": [topic.name for topic in STORED]}))

    last = ROUNDS_BEFORE + ROUNDS_AFTER - 1
    with members(broker, url, came):
        for number in range(ROUNDS_BEFORE):
            tell(number)
        grow(broker, 7)
        assert behind() > 0, "older messages wait while partitions are added"
        for number in range(ROUNDS_BEFORE, last + 1):
            tell(number)
            time.sleep(3 * NOTICED_MS / 1000 / ROUNDS_AFTER)
        assert eventually(lambda: behind() == 0, LONG_ENOUGH_S)
    publisher.close()

    places = partitions_of_calls(broker)
    assert any(len(partitions) > 1 for partitions in places.values()), "no call lies in two partitions"
    assert any(order != sorted(order) for order in came.values()), "the statements came in their order by chance"
    with closing(connect(url)) as asking:
        ratings = asking.query("SELECT call_id, order_status FROM ratings ORDER BY call_id").result_rows
        calls = asking.query("SELECT call_id FROM unaccounted ORDER BY call_id").result_rows
    assert ratings == [(call, str(last)) for call in sorted(CALLS)]
    assert calls == [(call,) for call in sorted(CALLS)]
    assert {call: set(order) for call, order in came.items()} == {call: {*range(last + 1)} for call in CALLS}


def a_rating(call: str, number: int) -> CallRated:
    return CallRated(
        tenant_id="acme",
        call_id=call,
        rated_at=NOW + timedelta(seconds=number),
        source="orders",
        order_status=str(number),
    )


def partitions_of_calls(settings: Settings) -> dict[bytes, set[int]]:
    places: dict[bytes, set[int]] = defaultdict(set)
    with closing(TopicReader(settings, CALLS_RATED.name)) as reader:
        for record in reader.read_to_end():
            places[record.key or b""].add(record.partition)
    return places


@pytest.mark.long
def test_every_source_reads_partitions_that_were_added_from_their_beginning(broker: Settings) -> None:
    stop = threading.Event()
    faust = FaustSource(broker, "judge", CALLS_TRANSCRIBED.name, stop)
    alerts = KafkaAlertSource(
        broker, "notify.desk", ALERTS_RAISED.name, assigned=lambda _commits: None, revoked=lambda _partitions: None
    )
    read: dict[str, set[bytes]] = {CALLS_TRANSCRIBED.name: set(), ALERTS_RAISED.name: set()}

    def note(records: "list[ConsumerRecord] | tuple[ConsumerRecord, ...]") -> None:
        for record in records:
            read[record.topic].add(record.value or b"")

    def poll() -> None:
        judged = faust.poll(1, 0.2)
        faust.commit(judged)
        note([*judged, *alerts.read(10, 0.2)])

    def write(partitions: int, value: bytes) -> None:
        left = [(topic, partition) for topic in read for partition in range(partitions)]

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                left.remove((message.topic() or "", message.partition() or 0))

        deadline_s = time.monotonic() + LONG_ENOUGH_S
        while left and time.monotonic() < deadline_s:  # a broker that was not told yet knows no such partition
            producer = Producer(client_config(broker))
            for topic, partition in tuple(left):
                producer.produce(topic, b"%s %d" % (value, partition), partition=partition, on_delivery=delivered)
            producer.flush(LONG_ENOUGH_S)
        assert not left

    def has_read(partitions: int, value: bytes) -> bool:
        poll()
        wanted = {b"%s %d" % (value, partition) for partition in range(partitions)}
        return all(wanted <= values for values in read.values())

    try:
        assert eventually(lambda: has_joined(broker, poll), LONG_ENOUGH_S)
        write(2, b"before")
        assert eventually(lambda: has_read(2, b"before"), LONG_ENOUGH_S)
        grow(broker, 5)
        write(5, b"after")
        assert eventually(lambda: has_read(5, b"after"), LONG_ENOUGH_S)
    finally:
        faust.close()
        alerts.close()


def has_joined(settings: Settings, poll: Callable[[], None]) -> bool:
    """A subscriber that has joined has committed where it begins."""
    poll()
    (lag,) = lags(settings, {"notify.desk": [ALERTS_RAISED.name]})
    return lag.messages == 0
