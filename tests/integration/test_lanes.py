"""Calls of several lanes and tenants through real brokers: shares, a worker that comes, and one that goes."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from schemas.messages.records import ConsumerRecord, ProducerRecord, call_of_key
from schemas.messages.topics import CALLS_TRANSCRIBED, LANE_OF, LANES, Lane
from streams.adapters.kafka.client import Publisher, TopicReader, apply_topics, lags
from streams.adapters.kafka.lane_source import KafkaLaneSource
from streams.ports import LaneSource, PlaceCommits
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.fair_queue import FairQueue
from streams.runtime.in_flight import InFlight, Window
from streams.runtime.loop import Loop, Streak
from streams.settings import Settings
from tests.support.brokers import running_broker

LONG_ENOUGH_S = 120
NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tansu", marks=pytest.mark.embedded, id="tansu"),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long], id="kafka"),
    ],
)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_broker(request.param, tmp_path_factory.mktemp(request.param)) as settings:
        apply_topics(settings)
        yield settings


class Worker:
    """`listen` without an ear: each call is written as soon as it may be."""

    def __init__(self, settings: Settings, group: str, folder: Path, at_once: int = 1, each_s: float = 0) -> None:
        self.begun: list[str] = []
        self.may_go_on = threading.Event()
        self.stop = threading.Event()
        self._each_s = each_s

        def open_source(assigned: Callable[[PlaceCommits], None], revoked: Callable[[], None]) -> LaneSource:
            return KafkaLaneSource(settings, group, [*LANE_OF], assigned, revoked)

        self.in_flight = InFlight(
            "listen",
            open_source,
            LANE_OF,
            FairQueue(settings.lane_weights),
            self._work,
            Publisher(settings),
            self.stop,
            1.0,
            at_once,
            Window(1_000, 10_000_000),
            CrashGuard("listen", Quarantine(folder), FixedClock()),
            Streak("listen refused", 1_000),
            finish_within_s=10,
        )

    def _work(self, record: ConsumerRecord) -> Sequence[ProducerRecord]:
        self.begun.append((record.key or b"").decode())
        assert self.may_go_on.wait(LONG_ENOUGH_S)
        time.sleep(self._each_s)
        return (ProducerRecord(CALLS_TRANSCRIBED.name, record.key or b"", record.value or b""),)

    @contextmanager
    def running(self) -> Iterator["Worker"]:
        failures: list[BaseException] = []

        def run() -> None:
            try:
                Loop("listen", self.in_flight.step, self.stop, 1.0, close=self.in_flight.close).run()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.may_go_on.set()
            self.stop.set()
            thread.join(LONG_ENOUGH_S)
        assert not failures


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.05)


def send(settings: Settings, run: str, tenant: str, count: int, lane: Lane = "live") -> list[str]:
    keys = [f"{tenant}/{run}-{lane}-{number}" for number in range(count)]
    publisher = Publisher(settings, LONG_ENOUGH_S)
    publisher.publish(ProducerRecord(LANES[lane].name, key.encode(), b"{}") for key in keys)
    publisher.close()
    return keys


def all_done(settings: Settings, group: str) -> bool:
    return all(lag.messages == 0 for lag in lags(settings, {group: tuple(LANE_OF)}))


def written(settings: Settings, run: str) -> Counter[str]:
    reader = TopicReader(settings, CALLS_TRANSCRIBED.name)
    keys = [(record.key or b"").decode() for record in reader.read_to_end()]
    reader.close()
    return Counter(key for key in keys if f"/{run}-" in key)


def test_a_flood_of_a_tenant_comes_after_its_share_and_all_is_done_once(broker: Settings, tmp_path: Path) -> None:
    """A hundred times as many calls, published before those of the others."""
    group, run = uuid4().hex, uuid4().hex
    flood = send(broker, run, "flood", 300)
    slow = send(broker, run, "flood", 30, "backfill")
    small = [key for tenant in ("north", "south") for key in send(broker, run, tenant, 3)]
    with Worker(broker, group, tmp_path).running() as worker:
        # The one that is under way, and those of earlier tests, are not in the queue.
        until(lambda: sum(f"/{run}-" in key for key in keys_of(worker)) >= len(flood + slow + small) - 1)
        before = len(worker.begun)
        worker.may_go_on.set()
        until(lambda: all_done(broker, group))
        order = [key for key in worker.begun[before:] if f"/{run}-" in key]

    assert written(broker, run) == Counter(flood + slow + small)
    # Three tenants take turns in the live lane, which has eight of nine turns.
    assert max(order.index(key) for key in small if key in order) <= 14
    # The slow lane comes while the live one still waits, and not before its turn.
    in_first_hundred = sum("-backfill-" in key for key in order[:100])
    assert 9 <= in_first_hundred <= 13


def keys_of(worker: Worker) -> list[str]:
    """Of what waits; looked at from another thread, while it may change."""
    try:
        return [(queued.item.record.key or b"").decode() for queued in worker.in_flight.queue.waiting()]
    except RuntimeError:
        return []


def test_a_worker_comes_and_another_goes_and_no_call_is_lost(broker: Settings, tmp_path: Path) -> None:
    group, run = uuid4().hex, uuid4().hex
    keys = send(broker, run, "acme", 60) + send(broker, run, "acme", 20, "redo")
    first = Worker(broker, group, tmp_path / "1", at_once=3, each_s=0.05)
    second = Worker(broker, group, tmp_path / "2", at_once=3, each_s=0.05)
    with ExitStack() as stays, ExitStack() as goes:
        goes.enter_context(first.running())
        first.may_go_on.set()
        until(lambda: len(first.begun) >= 5)
        stays.enter_context(second.running())
        second.may_go_on.set()
        until(lambda: second.begun)
        goes.close()
        until(lambda: all_done(broker, group))

    times = written(broker, run)
    assert set(times) == set(keys)
    assert max(times.values()) <= 3  # what was under way when a partition changed hands is done by both
    assert all(call_of_key(key.encode()) for key in times)
