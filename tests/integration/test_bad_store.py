"""`store` on an engine that is killed, full, read-only or slow, or that refuses a row: nothing is lost or doubled.

What a fault leaves in the views must equal what a run without it leaves there.
"""

import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.errors import RetryableError
from schemas.messages.message import Message
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_DEAD_LETTERS, CALLS_ENDED, CALLS_TRANSCRIBED, TOPICS
from schemas.messages.transcript import Segment, Transcript
from streams.adapters.clickhouse.connection import CONNECT_TIMEOUT_S, connect
from streams.adapters.clickhouse.connection import REQUEST_TIMEOUT_S as REQUEST_TIMEOUT_OF_INSERTS_S
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka.client import LONGEST_BATCH_S, BatchConsumer, Publisher, apply_topics
from streams.adapters.memory.broker import MemoryBroker
from streams.ports import PublisherPort, Rows, Sink, SystemClock, WorkSource
from streams.runtime.loop import Loop, PollWorkPublishCommit
from streams.settings import Settings
from streams.stages.store import STORE, Store
from tests.contracts.faulty_proxy import faulty_proxy
from tests.support.brokers import running_broker
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.judged_calls import NOW, an_event, judged
from tests.support.processes import eventually

pytestmark = pytest.mark.embedded

CALLS = 60
AGENTS = ("A0", "A1", "A22")
BATCH = 4
VIEWS = ("calls", "topics", "segments", "outcomes", "dead_letters")
REQUEST_TIMEOUT_S = 2
WORDS = "快递还没到"
NO_ANALYSIS = b"\xff this is no analysis"


def messages() -> list[tuple[str, bytes]]:
    """Topic and value: of each call its event, transcript and analysis, and now and then something unreadable."""
    every: list[tuple[str, bytes]] = []
    for number in range(CALLS):
        call = an_event(f"c-{number}", NOW + timedelta(hours=number), agent={"id": AGENTS[number % 3]})
        transcript = Transcript(
            tenant_id=call.tenant_id,
            call_id=call.call_id,
            call=call,
            engine=judged(call).engine,
            segments=(
                Segment(
                    segment_id=0, channel=0, role="customer", start_ms=0, end_ms=900, text="快递还没到", confidence=1
                ),
            ),
            transcribed_at=call.ended_at,
        )
        parts: Sequence[tuple[str, Message]] = (
            (CALLS_ENDED.name, call),
            (CALLS_TRANSCRIBED.name, transcript),
            (CALLS_ANALYZED.name, judged(call, topics=["refund"] * (number % 3))),
        )
        every += [(topic, message.encode()) for topic, message in parts]
        if number % 20 == 7:
            every.append((CALLS_ANALYZED.name, NO_ANALYSIS))
    return every


def store_loop(
    source: WorkSource,
    sink: Sink,
    publisher: PublisherPort,
    stop: threading.Event,
    *,
    batch: int,
    wait_s: float,
    max_wait_s: float,
) -> Loop:
    """The stage as its worker runs it."""
    cycle = PollWorkPublishCommit(
        STORE, source, Store(sink, SystemClock()).work, publisher, stop, max_wait_s, batch=batch, wait_s=wait_s
    )
    return Loop(STORE, cycle.step, stop, max_wait_s, recover=cycle.recover)


@dataclass
class Run:
    """A store stage between a broker in memory and a database."""

    url: str
    batch_messages: int = BATCH
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    before_insert: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        migrate(self.url)

    def send(self, every: Sequence[tuple[str, bytes]]) -> None:
        for topic, value in every:
            log = self.broker.records[topic]
            log.append(ConsumerRecord(topic, 0, len(log), None, value, NOW))

    @property
    def committed(self) -> Mapping[str, int]:
        return {topic: offset for (_group, topic), offset in self.broker.committed.items()}

    @property
    def is_done(self) -> bool:
        """Everything that was sent is committed, and the dead letters that came of it."""
        return all(self.committed.get(topic, 0) == len(log) for topic, log in self.broker.records.items())

    def write(self, rows: Rows) -> None:
        """The sink of the stage."""
        self.before_insert()
        self.sink.write(rows)

    @contextmanager
    def running(self, url: str | None = None) -> Iterator[None]:
        """The stage in a thread; `url` is another way to the database."""
        client = connect(url or self.url, timeout_s=REQUEST_TIMEOUT_S)
        client.set_client_setting("insert_keeper_max_retries", 0)  # the server would try again for longer than we wait
        self.sink = ClickHouseSink(client)
        consumer = self.broker.consumer(STORE, [topic.name for topic in TOPICS])
        stop, failures = threading.Event(), list[BaseException]()
        loop = store_loop(consumer, self, self.broker, stop, batch=self.batch_messages, wait_s=0.01, max_wait_s=0.2)

        def run() -> None:
            try:
                loop.run()
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)
            client.close()
        assert failures == []

    def content(self) -> dict[str, list[str]]:
        """Every row of every view, but for when a dead letter was made."""
        client = connect(self.url)
        client.set_client_setting("max_threads", 1)
        try:
            found = {}
            for view in VIEWS:
                columns = {"dead_letters": "* EXCEPT failed_at", "outcomes": "tenant_id, call_id, outcome, reason"}
                result = client.query(f"SELECT {columns.get(view, '*')} FROM {view} ORDER BY ALL")  # noqa: S608
                found[view] = [str(row) for row in result.result_rows]
        finally:
            client.close()
        return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the messages leave behind where nothing goes wrong."""
    with running_engine(tmp_path_factory.mktemp("undisturbed")) as engine:
        run = Run(engine.url())
        run.send(messages())
        with run.running():
            assert eventually(lambda: run.is_done)
        return run.content()


def test_the_undisturbed_run_has_something_to_lose_in_every_view(undisturbed: dict[str, list[str]]) -> None:
    assert {view: len(rows) for view, rows in undisturbed.items()} == {
        "calls": CALLS,
        "topics": CALLS,
        "segments": CALLS,
        "outcomes": CALLS,
        "dead_letters": 3,
    }


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_an_engine_that_is_killed_during_inserts_leaves_what_an_undisturbed_one_does(
    seed: int, tmp_path: Path, undisturbed: dict[str, list[str]]
) -> None:
    chance = random.Random(seed)
    with running_engine(tmp_path) as engine:
        run = Run(engine.url())
        inserting = threading.Event()
        run.before_insert = inserting.set
        run.send(messages())
        with run.running():
            for _ in range(4):
                inserting.clear()
                assert inserting.wait(60)
                # Somewhere in the tables of the batch: none, some or all of its rows are in, and the answer is lost.
                threading.Event().wait(chance.uniform(0, 0.06))
                engine.stop(signal.SIGKILL)
                assert not run.is_done, "too late for a kill during inserts"
                engine.start()
            assert eventually(lambda: run.is_done)
        assert run.content() == undisturbed


DISK_FULL = """<storage_configuration><disks><default>
    <keep_free_space_bytes>1000000000000000</keep_free_space_bytes>
</default></disks></storage_configuration>"""
READ_ONLY_USER = """    <profiles><read_only><readonly>2</readonly></read_only></profiles>
    <users><callstream><profile replace="1">read_only</profile></callstream></users>"""
WITHOUT_KEEPER = """    <zookeeper><implementation>testkeeper</implementation></zookeeper>
    <macros><shard>1</shard><replica>1</replica></macros>"""
"""A replica whose coordination never becomes ready is read-only."""


def becomes_a_read_only_replica(client: Client) -> None:
    client.command("RENAME TABLE call_versions TO kept")
    client.command(
        "CREATE TABLE call_versions AS kept ENGINE = ReplicatedReplacingMergeTree('/calls', '{replica}', version) "
        "PARTITION BY toYYYYMM(ended_at) ORDER BY (tenant_id, ended_at, call_id)"
    )


def becomes_a_plain_table_again(client: Client) -> None:
    client.command("EXCHANGE TABLES call_versions AND kept")


def nothing(_client: Client) -> None:
    pass


@pytest.mark.parametrize(
    ("folder", "config", "breaks", "mends", "reason"),
    [
        pytest.param("config.d", DISK_FULL, nothing, None, "NOT_ENOUGH_SPACE (243)", id="out of disk"),
        pytest.param("users.d", READ_ONLY_USER, nothing, None, "READONLY (164)", id="a user that may only read"),
        pytest.param(
            *("config.d", WITHOUT_KEEPER, becomes_a_read_only_replica, becomes_a_plain_table_again),
            "TABLE_IS_READ_ONLY (242)",
            id="a replica that lost its coordination",
        ),
    ],
)
def test_a_store_that_takes_no_rows_is_waited_for(
    folder: str,
    config: str,
    breaks: Callable[[Client], None],
    mends: Callable[[Client], None] | None,
    reason: str,
    tmp_path: Path,
    undisturbed: dict[str, list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running_engine(tmp_path) as engine:
        run = Run(engine.url())
        engine.stop()
        engine.configure(folder, config)
        engine.start()
        broken = connect(engine.url())
        breaks(broken)
        run.send(messages())
        with run.running():
            assert eventually(lambda: reason in caplog.text)
            assert ", ClickHouse could not do insert into" in caplog.text
            assert not run.is_done
            if mends is not None:
                mends(broken)
            else:
                engine.stop(signal.SIGKILL)
                engine.configure(folder, "")
                engine.start()
            broken.close()
            assert eventually(lambda: run.is_done)
        assert run.content() == undisturbed


def test_rows_whose_insert_was_never_answered_are_there_once(
    tmp_path: Path, undisturbed: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    with running_engine(tmp_path) as engine, faulty_proxy(f"127.0.0.1:{engine.port}") as proxy:
        run = Run(engine.url())
        run.send(messages())
        stored = connect(engine.url())

        def held_when_the_second_batch_comes() -> None:
            if run.committed:
                run.before_insert = lambda: None
                proxy.holds_answers.set()

        run.before_insert = held_when_the_second_batch_comes
        with run.running(engine.url().replace(str(engine.port), proxy.endpoint.partition(":")[2])):
            assert eventually(lambda: ", ClickHouse did not answer insert into" in caplog.text)
            before = dict(run.committed)
            rows = sum(stored.query(f"SELECT count() FROM {view}").result_rows[0][0] for view in VIEWS)  # noqa: S608
            assert rows > sum(before.values()), "no row came in without its answer"
            proxy.holds_answers.clear()
            assert eventually(lambda: run.is_done)
        stored.close()
        assert run.content() == undisturbed


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        pytest.param(
            "ALTER TABLE call_versions ADD CONSTRAINT short CHECK agent_id != 'A22'",
            "call_versions: VIOLATED_CONSTRAINT (469)",
            id="by a constraint",
        ),
        pytest.param(
            "ALTER TABLE call_versions MODIFY COLUMN agent_id FixedString(2)",
            "call_versions: DataError",
            id="by its type",
        ),
    ],
)
def test_a_row_that_is_refused_goes_to_the_dead_letters_alone(
    statement: str,
    reason: str,
    engine: RunningEngine,
    undisturbed: dict[str, list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = Run(engine.url(f"refused_{statement.split()[3].lower()}"), batch_messages=50)
    client = connect(run.url)
    client.command(statement)
    run.send(messages())
    with caplog.at_level(logging.DEBUG), run.running():
        assert eventually(lambda: run.is_done)
    refused = {f"c-{number}" for number in range(CALLS) if number % 3 == 2}
    stored = {row[0] for row in client.query("SELECT call_id FROM calls").result_rows}
    assert stored == {f"c-{number}" for number in range(CALLS)} - refused
    letters = client.query(
        "SELECT call_id, exception_class, problems FROM dead_letters WHERE problems[1] LIKE 'call_versions%'"
    ).result_rows
    client.close()
    assert sorted(map(tuple, letters)) == sorted((call, "RefusedByDatabaseError", [reason]) for call in refused)
    content = run.content()
    assert content["segments"] == undisturbed["segments"]
    assert {row for row in content["outcomes"] if "refused" in row and "RefusedByDatabaseError" in row} == {
        f"('acme', '{call}', 'refused', 'RefusedByDatabaseError')" for call in refused
    }
    assert len(content["outcomes"]) == CALLS
    assert WORDS not in caplog.text + str(run.broker.records[CALLS_DEAD_LETTERS.name])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    with running_engine(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


def test_a_store_that_waits_for_long_stays_in_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads its batch again after each pause, and so shows the broker that it lives."""
    limit_s = 7
    monkeypatch.setattr("streams.adapters.kafka.client.LONGEST_BATCH_S", limit_s)
    with running_broker("tansu", tmp_path) as settings:
        apply_topics(settings)
        publisher = Publisher(settings)
        publisher.publish([ProducerRecord(CALLS_ENDED.name, b"acme/c-1", an_event("c-1", NOW).encode())])
        consumer = BatchConsumer(settings, "waiting", [CALLS_ENDED.name])
        down_until_s = time.monotonic() + limit_s + 3
        sink = DownFor(down_until_s)
        stop = threading.Event()
        loop = store_loop(consumer, sink, publisher, stop, batch=10, wait_s=1, max_wait_s=1)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            assert eventually(lambda: sink.written == 1)
        finally:
            stop.set()
            thread.join(60)
            consumer.close()
            publisher.close()
    assert time.monotonic() > down_until_s
    assert "store waits" in caplog.text
    assert "_MAX_POLL_EXCEEDED" not in caplog.text
    assert "is not ours now" not in caplog.text


class DownFor:
    """A sink whose database does not answer until then."""

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s
        self.written = 0

    def write(self, rows: Rows) -> None:
        if time.monotonic() < self._until_s:
            raise RetryableError("ClickHouse does not answer")
        self.written += len(rows)


def test_the_longest_batch_of_a_slow_store_fits_between_two_readings() -> None:
    """Every table takes as long as an insert may take, and then comes the longest pause."""
    tables = 7
    longest_s = tables * (CONNECT_TIMEOUT_S + REQUEST_TIMEOUT_OF_INSERTS_S) + 1.2 * Settings().retry_max_wait_s
    assert longest_s < LONGEST_BATCH_S
