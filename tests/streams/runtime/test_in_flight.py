"""Several calls at once: each once, fairly, none behind another, and nothing committed that is not done."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from schemas.errors import OperatorError, RetryableError
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, CALLS_ENDED, LANE_OF, LANES, Lane
from streams.adapters.memory.broker import MemoryBroker, MemoryLaneSource
from streams.ports import RecordTooLargeError
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.fair_queue import FairQueue
from streams.runtime.in_flight import LONG_CALL_S, UNKNOWN_CALL_S, InFlight, Window, call_of
from streams.runtime.loop import Loop, Streak, TooManyFailuresError
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.offsets import PartitionProgress
from streams.runtime.watchdog import Watchdog

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
OUT = "calls.transcribed.v1"
LIVE = CALLS_ENDED.name
LONG_ENOUGH_S = 30


class FixedClock:
    def now(self) -> datetime:
        return NOW


def event(tenant: str, call: str, lasts_s: float = 60) -> bytes:
    ends = NOW + timedelta(seconds=lasts_s)
    return json.dumps(
        {"tenant_id": tenant, "call_id": call, "started_at": NOW.isoformat(), "ended_at": ends.isoformat()}
    ).encode()


def call_in(record: ConsumerRecord | ProducerRecord) -> str:
    return (record.key or b"").decode().partition("/")[2]


class Ear:
    """Work that ends when the test says so; without that, at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends: dict[str, threading.Event] = {}
        self.raises: dict[str, list[BaseException]] = {}
        self.at_once: list[int] = []
        self.together: set[frozenset[str]] = set()
        self._now: set[str] = set()
        self._lock = threading.Lock()

    def hold(self, *calls: str) -> None:
        self.ends |= {call: threading.Event() for call in calls}

    def let_go(self, *calls: str) -> None:
        for call in calls or tuple(self.ends):
            self.ends[call].set()

    def work(self, record: ConsumerRecord) -> Sequence[ProducerRecord]:
        call = call_in(record)
        with self._lock:
            self.begun.append(call)
            self._now.add(record.position)
            self.at_once.append(len(self._now))
            self.together.add(frozenset(self._now))
        try:
            if call in self.ends:
                assert self.ends[call].wait(LONG_ENOUGH_S)
            if self.raises.get(call):
                raise self.raises[call].pop(0)
        finally:
            with self._lock:
                self._now.discard(record.position)
        return (ProducerRecord(OUT, record.key or b"", record.value or b""),)


class Worker:
    """One worker on a broker in memory; several tests let one follow another."""

    def __init__(
        self,
        broker: MemoryBroker,
        folder: Path,
        at_once: int = 2,
        *,
        window: Window | None = None,
        publisher: object = None,
        refusals: int = 1_000,
        finish_within_s: float = 5,
    ) -> None:
        self.broker = broker
        self.ear = Ear()
        self.stop = threading.Event()
        self.has_ended = threading.Event()
        self.paused: set[str] = set()
        self.sources: list[MemoryLaneSource] = []
        self.in_flight = InFlight(
            "listen",
            self._open,
            LANE_OF,
            FairQueue({"live": 8, "backfill": 1, "redo": 1}, long_from=LONG_CALL_S),
            self.ear.work,
            publisher or broker,  # type: ignore[arg-type] # of a test
            self.stop,
            0.05,
            at_once,
            window or Window(1_000, 1_000_000),
            CrashGuard("listen", Quarantine(folder), FixedClock()),
            Streak("listen refused", refusals),
            paused=lambda: frozenset(self.paused),
            finish_within_s=finish_within_s,
        )

    def _open(self, assigned: Callable, revoked: Callable) -> MemoryLaneSource:  # type: ignore[type-arg] # ports say
        self.sources.append(MemoryLaneSource(self.broker, "listen", [*LANE_OF], assigned, revoked))
        return self.sources[-1]

    @contextmanager
    def running(self) -> Iterator[None]:
        failures: list[BaseException] = []

        def run() -> None:
            try:
                Loop("listen", self.in_flight.step, self.stop, 0.05, close=self.in_flight.close).run()
            except BaseException as error:
                failures.append(error)
            self.has_ended.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join(LONG_ENOUGH_S)
            assert not thread.is_alive()
        if failures:
            raise failures[0]

    def written(self) -> list[str]:
        return [call_in(record) for record in self.broker.records[OUT]]


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + LONG_ENOUGH_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.01)


def send(broker: MemoryBroker, *calls: str, tenant: str = "acme", lane: Lane = "live", lasts_s: float = 60) -> None:
    broker.publish(
        ProducerRecord(LANES[lane].name, f"{tenant}/{call}".encode(), event(tenant, call, lasts_s)) for call in calls
    )


def committed(broker: MemoryBroker, topic: str = LIVE) -> int:
    return broker.committed.get(("listen", topic), 0)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


def test_every_call_of_every_lane_is_written_once_and_committed(broker: MemoryBroker, tmp_path: Path) -> None:
    calls = {lane: [f"{lane}-{number}" for number in range(20)] for lane in LANES}
    for lane, ids in calls.items():
        send(broker, *ids, lane=lane)
    worker = Worker(broker, tmp_path, at_once=4)

    with worker.running():
        until(lambda: all(committed(broker, topic) == 20 for topic in LANE_OF))

    assert sorted(worker.written()) == sorted(call for each in calls.values() for call in each)
    assert max(worker.ear.at_once) <= 4


def test_threads_live_on_behind_a_call_and_are_no_more_than_calls_at_once(broker: MemoryBroker, tmp_path: Path) -> None:
    """The child that decodes recordings dies with the thread that started it."""
    worker = Worker(broker, tmp_path, at_once=2)
    threads: set[threading.Thread] = set()
    work = worker.in_flight.work

    def noted(record: ConsumerRecord) -> Sequence[ProducerRecord]:
        threads.add(threading.current_thread())
        return work(record)

    worker.in_flight.work = noted
    with worker.running():
        for number in range(6):
            send(broker, f"c-{number}")
            until(partial(has_committed, broker, number + 1))
        assert all(thread.is_alive() for thread in threads)
        assert 1 <= len(threads) <= 2


def has_committed(broker: MemoryBroker, count: int) -> bool:
    return committed(broker) == count


def test_a_call_behind_one_that_takes_long_is_not_held_up(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "long", "a", "b", "c")
    worker = Worker(broker, tmp_path)
    worker.ear.hold("long")

    with worker.running():
        until(lambda: sorted(worker.written()) == ["a", "b", "c"])
        assert committed(broker) == 0
        worker.ear.let_go()
        until(lambda: committed(broker) == 4)


def test_two_calls_of_two_hours_leave_room_for_a_short_one(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "two-hours", "two-more", lasts_s=7_200)
    send(broker, "short")
    worker = Worker(broker, tmp_path)
    worker.ear.hold("two-hours", "two-more")

    with worker.running():
        until(lambda: worker.written() == ["short"])
        worker.ear.let_go()
        until(lambda: committed(broker) == 3)


def test_what_was_done_behind_an_unfinished_call_is_not_done_again_after_a_kill(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    send(broker, "long", "a", "b")
    first = Worker(broker, tmp_path / "1", finish_within_s=0)
    first.ear.hold("long")
    with first.running():
        until(lambda: sorted(first.written()) == ["a", "b"])
        until(lambda: "done:" in broker.metadata.get(("listen", LIVE), ""))
    assert committed(broker) == 0

    second = Worker(broker, tmp_path / "2")
    with second.running():
        until(lambda: committed(broker) == 3)

    assert second.ear.begun == ["long"]
    first.ear.let_go()


def test_a_tenant_with_many_calls_does_not_come_before_another(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, *[f"flood-{number}" for number in range(200)], tenant="flood")
    send(broker, *[f"small-{number}" for number in range(5)], tenant="small")
    worker = Worker(broker, tmp_path, at_once=1)
    worker.ear.hold("flood-0")

    with worker.running():
        until(lambda: len(list(worker.in_flight.queue.waiting())) == 204)
        worker.ear.let_go()
        until(lambda: committed(broker) == 205)

    places = [worker.ear.begun.index(f"small-{number}") for number in range(5)]
    assert max(places) <= 11


def test_lanes_share_by_weight_while_all_wait(broker: MemoryBroker, tmp_path: Path) -> None:
    for lane in LANES:
        send(broker, *[f"{lane}-{number}" for number in range(100)], lane=lane)
    worker = Worker(broker, tmp_path, at_once=1)
    worker.ear.hold("live-0")

    with worker.running():
        until(lambda: len(list(worker.in_flight.queue.waiting())) == 299)
        worker.ear.let_go()
        until(lambda: all(committed(broker, topic) == 100 for topic in LANE_OF))

    first = Counter(call.partition("-")[0] for call in worker.ear.begun[:100])
    assert first["live"] >= 78
    assert first["backfill"] >= 9
    assert first["redo"] >= 9


def test_calls_of_a_paused_tenant_wait_and_hold_up_nobody(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "p1", "p2", tenant="paused")
    send(broker, "a", "b", tenant="other")
    worker = Worker(broker, tmp_path)
    worker.paused.add("paused")

    with worker.running():
        until(lambda: sorted(worker.written()) == ["a", "b"])
        assert worker.ear.begun == ["a", "b"] or worker.ear.begun == ["b", "a"]
        assert committed(broker) == 0
        worker.paused.clear()
        until(lambda: committed(broker) == 4)


def test_two_records_of_one_call_are_worked_on_one_after_the_other(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "same", "same", "other")
    send(broker, "same", lane="redo")
    worker = Worker(broker, tmp_path, at_once=4)
    worker.ear.hold("same")

    with worker.running():
        until(lambda: worker.written() == ["other"])
        worker.ear.let_go()
        until(lambda: committed(broker) == 3 and committed(broker, LANES["redo"].name) == 1)

    same = {f"{LIVE}/0/0", f"{LIVE}/0/1", f"{LANES['redo'].name}/0/0"}
    assert all(len(same & together) <= 1 for together in worker.ear.together)
    assert Counter(worker.written()) == {"same": 3, "other": 1}


def test_a_call_that_the_outside_does_not_answer_comes_again_and_others_go_on(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    send(broker, "busy", "a", "b")
    worker = Worker(broker, tmp_path)
    worker.ear.raises["busy"] = [RetryableError("away") for _ in range(3)]

    with worker.running():
        until(lambda: committed(broker) == 3)

    assert Counter(worker.ear.begun) == {"busy": 4, "a": 1, "b": 1}
    assert Counter(worker.written()) == {"busy": 1, "a": 1, "b": 1}


def test_a_bug_stops_the_worker_and_commits_nothing_of_it(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "bad")
    worker = Worker(broker, tmp_path)
    worker.ear.raises["bad"] = [ZeroDivisionError()]

    with pytest.raises(ZeroDivisionError), worker.running():
        until(worker.has_ended.is_set)

    assert committed(broker) == 0


class Ended(BaseException):
    """Stands for the end of a process."""


def came_to_an_end(worker: Worker) -> bool:
    return committed(worker.broker) == 8 or worker.has_ended.is_set()


def test_a_record_that_ends_the_worker_is_tried_alone_and_given_up(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "a", "poison", *[f"c-{number}" for number in range(6)])
    ends = 0
    alone: list[set[str]] = []
    while True:
        worker = Worker(broker, tmp_path, at_once=3)
        worker.ear.raises["poison"] = [Ended()]
        try:
            with worker.running():
                until(partial(came_to_an_end, worker))
        except Ended:
            ends += 1
            alone.append({call for together in worker.ear.together for call in together if len(together) > 1})
            continue
        break

    assert 3 <= ends <= 4  # once beside others, three times alone
    assert all(f"{LIVE}/0/1" not in beside for beside in alone[1:])
    letters = [DeadLetter.decode(record.value) for record in broker.records[CALLS_DEAD_LETTERS.name]]
    assert [(letter.source_offset, letter.exception_class) for letter in letters] == [(1, "EndedTheWorkerError")]
    assert set(worker.written()) >= {"a", *[f"c-{number}" for number in range(6)]}


def test_no_record_is_given_up_because_the_installation_is_wrong(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "a", "b")
    for _ in range(5):
        worker = Worker(broker, tmp_path, at_once=2)
        worker.ear.raises["a"] = [OperatorError("the weights are damaged")]
        with pytest.raises(OperatorError), worker.running():
            until(worker.has_ended.is_set)

    worker = Worker(broker, tmp_path, at_once=2)
    with worker.running():
        until(lambda: committed(broker) == 2)

    assert not broker.records[CALLS_DEAD_LETTERS.name]
    assert set(worker.written()) == {"a", "b"}


class SmallPublisher:
    """Takes nothing of one call, whatever it is written with."""

    def __init__(self, broker: MemoryBroker, refused: str) -> None:
        self.broker = broker
        self.refused = refused

    def publish(self, records: Sequence[ProducerRecord]) -> None:
        records = list(records)
        self.broker.publish([each for each in records if call_in(each) != self.refused])
        if any(call_in(each) == self.refused and each.topic == OUT for each in records):
            raise RecordTooLargeError(["too large"])


def test_what_can_never_be_written_becomes_a_dead_letter_and_others_are_written(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    send(broker, "a", "large", "b")
    worker = Worker(broker, tmp_path, at_once=3, publisher=SmallPublisher(broker, "large"))

    with worker.running():
        until(lambda: committed(broker) == 3)

    assert {"a", "b"} <= set(worker.written())
    letters = [DeadLetter.decode(record.value) for record in broker.records[CALLS_DEAD_LETTERS.name]]
    assert [letter.exception_class for letter in letters] == ["RecordTooLargeError"]


class AwayPublisher:
    """Answers after some attempts."""

    def __init__(self, broker: MemoryBroker, failures: int) -> None:
        self.broker = broker
        self.failures = failures

    def publish(self, records: Sequence[ProducerRecord]) -> None:
        if self.failures:
            self.failures -= 1
            raise RetryableError("no broker")
        self.broker.publish(records)


def test_what_was_heard_is_not_heard_again_because_kafka_does_not_answer(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "a")
    worker = Worker(broker, tmp_path, publisher=AwayPublisher(broker, 3))

    with worker.running():
        until(lambda: committed(broker) == 1)

    assert worker.ear.begun == ["a"]


def test_too_many_refusals_in_a_row_stop_the_worker(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, *[f"c-{number}" for number in range(5)])
    worker = Worker(broker, tmp_path, refusals=3)

    def refuse(record: ConsumerRecord) -> Sequence[ProducerRecord]:
        return (ProducerRecord(CALLS_DEAD_LETTERS.name, record.key or b"", b"{}"),)

    worker.in_flight.work = refuse

    with pytest.raises(TooManyFailuresError), worker.running():
        until(worker.has_ended.is_set)


def test_a_full_window_reads_no_more_of_its_lane_and_of_the_others_it_does(
    broker: MemoryBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send(broker, *[f"b-{number}" for number in range(600)], lane="backfill")
    worker = Worker(broker, tmp_path, at_once=1, window=Window(10, 1_000_000))
    worker.ear.hold("b-0")

    with worker.running():
        until(lambda: worker.ear.begun == ["b-0"])
        send(broker, "live")
        send(broker, *[f"late-{number}" for number in range(20)], lane="backfill")
        until(lambda: len(list(worker.in_flight.queue.waiting())) == 500)  # one batch is read, and then no more
        worker.ear.let_go()
        until(lambda: committed(broker, LANES["backfill"].name) == 620 and committed(broker) == 1)

    assert worker.ear.begun.index("live") <= 2
    assert (
        "listen reads no more of lane backfill for now: 500 calls wait, 500 of them of tenant acme" in caplog.messages
    )


def test_a_partition_that_comes_back_while_its_call_is_under_way_begins_nothing_twice(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    send(broker, "long", "a", "same", "same")
    worker = Worker(broker, tmp_path)
    worker.ear.hold("long", "same")

    with worker.running():
        until(lambda: sorted(worker.ear.begun) == ["a", "long", "same"])
        again = threading.Event()
        step = worker.sources[0].read  # a rebalance comes from within it

        def read(most: int, wait_s: float) -> Sequence[ConsumerRecord]:
            if not again.is_set():
                worker.sources[0].rebalance()
                again.set()
            return step(most, wait_s)

        worker.sources[0].read = read  # type: ignore[assignment,method-assign]
        until(again.is_set)
        time.sleep(0.2)
        assert sorted(worker.ear.begun) == ["a", "long", "same"]
        worker.ear.let_go()
        until(lambda: committed(broker) == 4)

    assert Counter(worker.written()) == {"long": 1, "a": 1, "same": 2}


def test_a_worker_that_is_stopped_finishes_what_is_under_way_and_begins_nothing(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    send(broker, "a", "b", "c")
    worker = Worker(broker, tmp_path, at_once=1)
    worker.ear.hold("a")

    with worker.running():
        until(lambda: worker.ear.begun == ["a"])
        worker.stop.set()
        time.sleep(0.1)
        worker.ear.let_go()

    assert worker.written() == ["a"]
    assert committed(broker) == 1


def test_a_call_that_a_stopped_worker_does_not_finish_is_left_to_another_and_is_no_suspect(
    broker: MemoryBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send(broker, "long")
    stopped = Worker(broker, tmp_path, finish_within_s=0)
    stopped.ear.hold("long")
    with stopped.running():
        until(lambda: stopped.ear.begun == ["long"])
    assert "listen: 1 call(s) are not finished in time, another worker does them" in caplog.text
    assert Quarantine(tmp_path).suspects() == {}
    stopped.ear.let_go()

    other = Worker(broker, tmp_path)
    with other.running():
        until(lambda: has_committed(broker, 1))
    assert other.written() == ["long"]


def test_each_call_has_a_limit_of_its_own_by_its_length(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "long", lasts_s=7_200)
    send(broker, "hangs", lasts_s=60)
    worker = Worker(broker, tmp_path, finish_within_s=0)
    worker.in_flight.watchdog = Watchdog(900)
    worker.ear.hold("long", "hangs")

    with worker.running():
        until(lambda: len(worker.in_flight.watchdog.works) == 2)
        limits_s = {work.what: work.limit_s for work in worker.in_flight.watchdog.works}
    assert limits_s == {f"{LIVE}/0/0 (call acme/long)": 72_000, f"{LIVE}/0/1 (call acme/hangs)": 900}
    worker.ear.let_go()


def test_what_was_done_is_counted_by_topic_and_result(broker: MemoryBroker, tmp_path: Path) -> None:
    send(broker, "a", "busy")
    send(broker, "b", lane="backfill")
    worker = Worker(broker, tmp_path)
    worker.in_flight.metrics = WorkerMetrics("listen")
    worker.ear.raises["busy"] = [RetryableError("away")]

    with worker.running():
        until(lambda: committed(broker) == 2 and committed(broker, LANES["backfill"].name) == 1)

    lines = worker.in_flight.metrics.text()[0].decode().splitlines()
    counted = {line for line in lines if line.startswith("callstream_messages_total")}
    assert counted == {
        'callstream_messages_total{result="done",stage="listen",topic="calls.ended.v1"} 2.0',
        'callstream_messages_total{result="retried",stage="listen",topic="calls.ended.v1"} 1.0',
        'callstream_messages_total{result="done",stage="listen",topic="calls.backfilled.v1"} 1.0',
    }


@pytest.mark.parametrize(
    ("value", "tenant", "audio_s"),
    [
        pytest.param(event("acme", "c", 90), "acme", 90, id="as its event says"),
        pytest.param(event("acme", "c", 0), "acme", 1, id="a call of no length costs something"),
        pytest.param(event("acme", "c", 10**9), "acme", 86_400, id="nobody is kept out for years by one event"),
        pytest.param(b"no json", "of_key", UNKNOWN_CALL_S, id="no JSON"),
        pytest.param(b"[1]", "of_key", UNKNOWN_CALL_S, id="no object"),
        pytest.param(b'{"tenant_id": 7}', "of_key", UNKNOWN_CALL_S, id="no tenant"),
        pytest.param(
            b'{"tenant_id": "x", "started_at": "2026-01-01T00:00:00", "ended_at": "2026-01-01T00:00:00Z"}',
            "x",
            UNKNOWN_CALL_S,
            id="times that cannot be compared",
        ),
        pytest.param(b"[" * 100_000, "of_key", UNKNOWN_CALL_S, id="nested too deeply"),
        pytest.param(None, "of_key", UNKNOWN_CALL_S, id="nothing"),
    ],
)
def test_whose_a_call_is_and_how_long_its_event_tells_as_far_as_it_can_be_read(
    value: bytes | None, tenant: str, audio_s: float
) -> None:
    call = call_of(ConsumerRecord(LIVE, 0, 0, b"of_key/c", value), "live")

    assert (call.tenant, call.audio_s) == (tenant, audio_s)


def test_finishing_what_was_not_taken_moves_nothing() -> None:
    progress = PartitionProgress.resumed(40, None)

    progress.finish(41)

    assert progress.position == 40
