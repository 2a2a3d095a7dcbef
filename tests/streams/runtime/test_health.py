"""Living, started, ready: what each says when a loop hangs, a broker is away, a question hangs."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping

import pytest

from schemas.errors import RetryableError
from streams.runtime.health import Check, Readiness, WorkerHealth
from streams.runtime.health_server import HealthServer, MetricsAddressError
from streams.runtime.heartbeat import START_WITHIN_S, LoopPulse, Pulse
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.watchdog import Watchdog
from tests.support.processes import eventually

DUE_WITHIN_S = 360.0
FLOOR_S = 900.0


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Away:
    """A system that can be away, and one that can leave a question unanswered."""

    def __init__(self) -> None:
        self.is_away = False
        self.hangs = threading.Event()
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        if self.is_away:
            raise RetryableError("no Kafka broker answers: _TRANSPORT")

    def hang(self) -> None:
        self.hangs.wait(30)


class Worker:
    """A worker as far as its health goes."""

    def __init__(self, checks: Mapping[str, Check] | None = None, *, answer_within_s: float = 15) -> None:
        self.clock = HandClock()
        self.stop = threading.Event()
        self.pulse = Pulse(self.clock)
        self.watchdog = Watchdog(FLOOR_S, self.clock)
        self.metrics = WorkerMetrics("listen")
        self.readiness = Readiness(checks or {}, self.stop, self.clock, 0.01, answer_within_s)
        self.health = WorkerHealth("listen", self.pulse, self.watchdog, self.metrics, self.readiness)
        self.metrics.before_scrape(self.health.export)

    def begin(self) -> LoopPulse:
        loop = self.pulse.of_loop("listen", DUE_WITHIN_S)
        self.health.has_started.set()
        return loop

    def value(self, sample: str) -> float | None:
        """Of a line of what is exported, as far as its labels."""
        lines = self.metrics.text()[0].decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample + " ")), None)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.stop.set()


class TestLiving:
    def test_is_a_loop_that_comes_round(self, worker: Worker) -> None:
        loop = worker.begin()
        worker.clock.now_s += DUE_WITHIN_S
        assert worker.health.against_living() == []
        worker.clock.now_s += 1
        assert worker.health.against_living() == ["listen does not come round"]
        worker.pulse.beat(loop)
        assert worker.health.against_living() == []

    def test_an_hour_at_a_call_of_an_hour_is_living_and_ten_and_more_is_not(self, worker: Worker) -> None:
        worker.begin()
        with worker.watchdog.watching("calls.ended.v1/3/17 (call acme/c1)", audio_s=3_600):
            worker.clock.now_s += 3_600
            assert worker.health.against_living() == []
            worker.clock.now_s += 9 * 3_600 + 1
            assert "it hangs on calls.ended.v1/3/17 (call acme/c1)" in worker.health.against_living()

    def test_a_loop_beside_has_no_more_time_because_of_a_call(self, worker: Worker) -> None:
        worker.begin()
        worker.pulse.of_loop("listen: what is old", DUE_WITHIN_S)
        with worker.watchdog.watching("a call", audio_s=3_600):
            worker.clock.now_s += DUE_WITHIN_S + 1
            assert worker.health.against_living() == ["listen: what is old does not come round"]

    def test_a_start_that_waits_for_a_broker_lives_and_one_that_hangs_does_not(self, worker: Worker) -> None:
        for _ in range(5):
            worker.clock.now_s += START_WITHIN_S
            worker.pulse.wait()
            assert worker.health.against_living() == []
        worker.clock.now_s += START_WITHIN_S + 1
        assert worker.health.against_living() == ["start does not come round"]

    def test_a_process_that_was_stopped_for_an_hour_goes_on(self, worker: Worker) -> None:
        worker.begin()
        worker.clock.now_s += 3_600
        worker.pulse.forgive(3_600)
        assert worker.health.against_living() == []


class TestBeingReady:
    def test_names_the_system_that_is_away_and_living_does_not_ask_it(self) -> None:
        kafka = Away()
        worker = Worker({"kafka": kafka.check, "register": lambda: None})
        assert worker.health.against_being_ready()[0] == "it has not started yet"
        worker.begin()
        worker.readiness.start()
        assert eventually(lambda: worker.health.against_being_ready() == [])
        assert worker.value('callstream_ready{stage="listen"}') == 1

        kafka.is_away = True
        away = ["kafka: no Kafka broker answers: _TRANSPORT"]
        assert eventually(lambda: worker.health.against_being_ready() == away)
        assert worker.health.against_living() == []
        assert worker.value('callstream_ready{stage="listen"}') == 0
        assert worker.value('callstream_dependency_ready{stage="listen",system="kafka"}') == 0
        assert worker.value('callstream_dependency_ready{stage="listen",system="register"}') == 1
        worker.stop.set()

    def test_a_question_that_hangs_holds_up_no_other_and_counts_as_no_answer(self) -> None:
        store = Away()
        kafka = Away()
        worker = Worker({"object_store": store.hang, "kafka": kafka.check})
        worker.begin()
        worker.readiness.start()
        assert eventually(lambda: kafka.asked > 2)
        worker.clock.now_s += 16
        assert worker.health.against_being_ready() == ["object_store: no answer within 15 s"]
        worker.stop.set()
        store.hangs.set()

    def test_a_bug_of_a_check_is_named_by_its_class_alone(self) -> None:
        def buggy() -> None:
            raise ValueError("what somebody said")

        worker = Worker({"register": buggy})
        worker.begin()
        worker.readiness.start()
        assert eventually(lambda: worker.health.against_being_ready() == ["register: ValueError"])
        worker.stop.set()


@pytest.mark.loopback
class TestTheServer:
    @pytest.fixture
    def ask(self, worker: Worker) -> Iterator[Callable[[str], tuple[int, str]]]:
        server = HealthServer("127.0.0.1:0", worker.health)
        server.start()

        def ask(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://{server.address}{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        yield ask
        server.stop()

    def test_answers_each_question_and_says_what_is_wrong(
        self, worker: Worker, ask: Callable[[str], tuple[int, str]]
    ) -> None:
        assert ask("/livez") == (200, "ok\n")
        assert ask("/startupz") == (503, "it has not started yet\n")
        worker.begin()
        assert (ask("/startupz")[0], ask("/readyz")[0]) == (200, 200)
        worker.clock.now_s += DUE_WITHIN_S + 1
        assert ask("/livez") == (503, "listen does not come round\n")
        status, text = ask("/metrics")
        assert status == 200
        assert 'callstream_up_info{stage="listen"' in text
        assert "process_resident_memory_bytes" in text
        assert ask("/anything?call=c1") == (404, "/metrics, /livez, /readyz, /startupz\n")

    def test_tells_when_each_loop_moved_and_by_when_it_must(
        self, worker: Worker, ask: Callable[[str], tuple[int, str]]
    ) -> None:
        worker.begin()
        ask("/metrics")
        moved = worker.value('callstream_loop_moved_timestamp_seconds{loop="listen",stage="listen"}')
        due = worker.value('callstream_loop_due_timestamp_seconds{loop="listen",stage="listen"}')
        assert moved is not None
        assert due is not None
        assert due - moved == pytest.approx(DUE_WITHIN_S, abs=1)

    def test_an_address_that_is_taken_ends_the_start_with_a_sentence(self, worker: Worker) -> None:
        first = HealthServer("127.0.0.1:0", worker.health)
        first.start()
        with pytest.raises(MetricsAddressError, match="nobody can listen at metrics_address 127"):
            HealthServer(first.address, worker.health).start()
        first.stop()

    def test_who_connects_and_says_nothing_holds_up_nobody(
        self, worker: Worker, ask: Callable[[str], tuple[int, str]]
    ) -> None:
        import socket

        server = HealthServer("127.0.0.1:0", worker.health)
        server.start()
        host, _, port = server.address.rpartition(":")
        silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(8)]
        with urllib.request.urlopen(f"http://{server.address}/livez", timeout=10) as answer:
            assert answer.status == 200
        for one in silent:
            one.close()
        server.stop()
        assert ask("/livez")[0] == 200
