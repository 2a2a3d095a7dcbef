"""Brokers of a secured cluster are killed under load: of three, one is not missed, and two stop the work without a
loss until one of them is back. Every program logs in with the account of its stage.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, LANE_OF, TOPICS
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka.acl_changes import apply_acls
from streams.adapters.kafka.acls import accounts
from streams.adapters.kafka.client import (
    GROUP_PREFIX,
    BatchConsumer,
    Publisher,
    TopicReader,
    apply_topics,
    client_config,
    lags,
)
from streams.adapters.kafka.lane_source import KafkaLaneSource
from streams.ports import LaneSource, PlaceCommits, SystemClock
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.fair_queue import FairQueue
from streams.runtime.in_flight import InFlight, Window
from streams.runtime.loop import Loop, PollWorkPublishCommit, Streak
from streams.settings import Settings
from streams.stages.store import Store
from tests.support.judged_calls import NOW, an_event
from tests.support.kafka_cluster import BROKERS, KafkaCluster, running_cluster
from tests.support.processes import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.embedded, pytest.mark.long]

LONG_ENOUGH_S = 240
GIVES_UP_S = 12.0
"""So long is tried to write where two brokers are away, before it is said that nobody takes it."""
AT_ONCE = 4
"""Events of one call of `publish`."""
WORTH_A_KILL = 100
"""So many events are acknowledged before a broker is killed, and as many after it."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        file = cluster.folder / "topics.yaml"
        file.write_text("version: 1\npartitions: 6\n")
        apply_topics(cluster.by_certificate("admin", kafka_topics_file=file))
        apply_acls(cluster.admin, accounts())
        yield cluster


@pytest.fixture
def cluster(started: KafkaCluster) -> KafkaCluster:
    """All three are there and have everything."""
    for number in BROKERS:
        if started.nodes[number].process is None:
            started.nodes[number].start()
    started.wait_until_up()
    assert eventually(lambda: fewest_copies(started) == len(BROKERS), LONG_ENOUGH_S)
    return started


def fewest_copies(cluster: KafkaCluster) -> int:
    """Of the partition that the fewest brokers have in full."""
    admin = AdminClient(client_config(cluster.admin))
    told = admin.describe_topics(TopicCollection([topic.name for topic in TOPICS]))
    return min(len(each.isr) for future in told.values() for each in future.result(30).partitions)


def coordinator_of(cluster: KafkaCluster, group: str) -> int:
    """The broker by which the group is led."""
    admin = AdminClient(client_config(cluster.admin))
    (future,) = admin.describe_consumer_groups([GROUP_PREFIX + group]).values()
    return int(future.result(30).coordinator.id)


class Load:
    """Events of ever new calls, as `serve` announces them: what is not acknowledged is published again."""

    def __init__(self, settings: Settings, run: str, within_s: float) -> None:
        self._publisher = Publisher(settings, within_s)
        self._run = run
        self.acknowledged: list[str] = []
        self.tried_again: set[str] = set()
        self.said: list[str] = []
        self._stop = threading.Event()

    def _publish(self) -> None:
        number = 0
        while not self._stop.is_set():
            calls = [f"{self._run}-{number + further}" for further in range(AT_ONCE)]
            events = [CALLS_ENDED.record(an_event(call, NOW + timedelta(seconds=number))) for call in calls]
            while True:
                try:
                    self._publisher.publish(events)
                    break
                except RetryableError as error:
                    self.said.append(str(error))
                    self.tried_again.update(calls)
            self.acknowledged += calls
            number += AT_ONCE
            time.sleep(0.05)

    @contextmanager
    def flowing(self) -> Iterator["Load"]:
        thread = threading.Thread(target=self._publish, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(LONG_ENOUGH_S)
            assert not thread.is_alive()
            self._publisher.close()


class Listen:
    """The stage without an ear."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.in_hand = 0
        self._stop = threading.Event()

        def open_source(assigned: Callable[[PlaceCommits], None], revoked: Callable[[], None]) -> LaneSource:
            return KafkaLaneSource(settings, "listen", [*LANE_OF], assigned, revoked)

        in_flight = InFlight(
            "listen",
            open_source,
            LANE_OF,
            FairQueue(settings.lane_weights),
            self._work,
            Publisher(settings, within_s=GIVES_UP_S),
            self._stop,
            1.0,
            4,
            Window(1_000, 10_000_000),
            CrashGuard("listen", Quarantine(folder), SystemClock()),
            Streak("listen refused", 1_000),
            finish_within_s=10,
        )
        self.loop = Loop("listen", in_flight.step, self._stop, 1.0, close=in_flight.close)
        self.stop = self._stop

    def _work(self, record: ConsumerRecord) -> Sequence[ProducerRecord]:
        self.in_hand += 1
        assert self.may_go_on.wait(LONG_ENOUGH_S)
        self.in_hand -= 1
        return (ProducerRecord(CALLS_TRANSCRIBED.name, record.key or b"", b"heard"),)


def storing(settings: Settings, url: str, stop: threading.Event) -> Loop:
    """A member of the stage `store`."""
    source = BatchConsumer(settings, "store", [CALLS_ENDED.name])
    store = Store(ClickHouseSink(connect(url)), SystemClock())
    publisher = Publisher(settings, within_s=GIVES_UP_S)
    cycle = PollWorkPublishCommit("store", source, store.work, publisher, stop, 1.0, batch=50, wait_s=0.2)
    return Loop("store", cycle.step, stop, 1.0, recover=cycle.recover, close=source.close)


@contextmanager
def running(loop: Loop, stop: threading.Event) -> Iterator[None]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            loop.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LONG_ENOUGH_S)
    assert not failures


class Pipeline:
    """Load, two of `listen`, and two of `store` into a fresh database."""

    def __init__(self, cluster: KafkaCluster, url: str, folder: Path, run: str, within_s: float) -> None:
        """Whoever publishes events tries for so long."""
        self.cluster, self.url, self.run_name = cluster, url, run
        self.load = Load(cluster.user("callstream-serve"), run, within_s)
        self.listen = [Listen(cluster.user("callstream-listen"), folder / str(number)) for number in range(2)]
        self._store = cluster.user("callstream-store")

    @contextmanager
    def working(self) -> Iterator["Pipeline"]:
        with ExitStack() as stack:
            for listen in self.listen:
                stack.enter_context(running(listen.loop, listen.stop))
            for _ in range(2):
                stop = threading.Event()
                stack.enter_context(running(storing(self._store, self.url, stop), stop))
            yield self

    def stored(self) -> int:
        with closing(connect(self.url)) as asking:
            return int(asking.query("SELECT count() FROM unaccounted").result_rows[0][0])

    def wait_for_more(self) -> None:
        """So much more is acknowledged, and so much more stored, as is worth a kill."""
        acknowledged, stored = len(self.load.acknowledged), self.stored()
        assert eventually(lambda: len(self.load.acknowledged) >= acknowledged + WORTH_A_KILL, LONG_ENOUGH_S)
        assert eventually(lambda: self.stored() >= stored + WORTH_A_KILL, LONG_ENOUGH_S)

    def is_done(self) -> bool:
        groups = {"listen": [CALLS_ENDED.name], "store": [CALLS_ENDED.name]}
        try:
            return all(lag.messages == 0 for lag in lags(self.cluster.admin, groups))
        except RetryableError:
            return False

    def require_complete_and_single(self) -> None:
        """What was acknowledged is in the log, in what comes of it, and in ClickHouse."""
        acknowledged = self.load.acknowledged
        events = self._calls_in(CALLS_ENDED.name)
        assert set(events) == set(acknowledged)
        written_again = {call for call, times in events.items() if times > 1}
        assert written_again <= self.load.tried_again, "one that was acknowledged at once is there twice"
        assert set(self._calls_in(CALLS_TRANSCRIBED.name)) == set(acknowledged)
        with closing(connect(self.url)) as asking:
            rows = asking.query("SELECT call_id FROM unaccounted").result_rows
        assert Counter(call for (call,) in rows) == Counter(dict.fromkeys(acknowledged, 1))

    def _calls_in(self, topic: str) -> Counter[str]:
        with closing(TopicReader(self.cluster.admin, topic)) as reader:
            calls = [(record.key or b"").decode().partition("/")[2] for record in reader.read_to_end(LONG_ENOUGH_S)]
        return Counter(call for call in calls if call.startswith(f"{self.run_name}-"))


def test_one_of_three_is_not_missed(cluster: KafkaCluster, new_database: Callable[[], str], tmp_path: Path) -> None:
    with Pipeline(cluster, new_database(), tmp_path, "one", LONG_ENOUGH_S).working() as pipeline:
        with pipeline.load.flowing():
            pipeline.wait_for_more()
            cluster.nodes[coordinator_of(cluster, "store")].kill()
            pipeline.wait_for_more()
        assert eventually(pipeline.is_done, LONG_ENOUGH_S)
    assert fewest_copies(cluster) == 2
    assert pipeline.load.said == [], "whoever publishes has noticed nothing"
    pipeline.require_complete_and_single()


def test_two_of_three_stop_the_work_until_one_is_back(
    cluster: KafkaCluster, new_database: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _last = BROKERS
    with Pipeline(cluster, new_database(), tmp_path, "two", GIVES_UP_S).working() as pipeline:
        with pipeline.load.flowing() as load:
            pipeline.wait_for_more()
            cluster.nodes[first].kill()
            pipeline.wait_for_more()
            for listen in pipeline.listen:
                listen.may_go_on.clear()
            assert eventually(lambda: any(listen.in_hand for listen in pipeline.listen), LONG_ENOUGH_S)
            caplog.set_level(logging.WARNING)
            cluster.nodes[second].kill()
            for listen in pipeline.listen:
                listen.may_go_on.set()

            assert eventually(lambda: len(load.said) >= 1, LONG_ENOUGH_S)
            acknowledged = len(load.acknowledged)
            assert eventually(lambda: len(load.said) >= 3, LONG_ENOUGH_S)
            assert len(load.acknowledged) == acknowledged, "one broker alone acknowledges nothing"
            assert all(said.startswith(f"Kafka did not take {AT_ONCE} of {AT_ONCE} message(s): ") for said in load.said)
            assert eventually(lambda: "listen waits: " in caplog.text, LONG_ENOUGH_S)

            cluster.nodes[second].start()
            pipeline.wait_for_more()
        assert eventually(pipeline.is_done, LONG_ENOUGH_S)
    pipeline.require_complete_and_single()
