"""Real processes are killed in mid-flow, on Kafka, and at night on tansu: afterwards all is as if nothing had happened.

The faults of one broker share a stack, each under a tenant of its own. What a fault leaves in ClickHouse must equal
what an undisturbed run of the same recordings left there, and no lag, so that the next one meets a calm stack.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, message_key
from schemas.messages.transcript import Transcript
from streams.adapters.kafka.client import BatchConsumer, Publisher, lags
from streams.adapters.object_store.from_settings import object_store_from
from streams.analysis import build_judge
from streams.demo.examples import example_recordings
from streams.embedded.stack import Broker, stages_of
from streams.settings import Settings
from streams.topology import consumer_groups
from streams.wiring import transcript_store_from
from tests.support.processes import eventually, runs
from tests.support.stack import publish_examples, rows, running_stack, wait_for_outcomes, wait_until

CALLS = ("s08", "s09", "s02")
"""One that is too short, one on a single channel, and one with findings."""

NO_EVENT_ID = "no-event"
NO_EVENT = b"\xff this is no event"
UNDISTURBED = "undisturbed"
GIVE_UP_AFTER_S = 60
COMMIT_INTERVAL_S = 1

# Everything but who the tenant is, and when and how fast the work was done.
TABLES = {
    "whole_calls": "* EXCEPT (tenant_id, audio_uri, audio_encryption_key_id, real_time_factor, transcribed_at, "
    "analyzed_at)",
    "segments": "* EXCEPT (tenant_id)",
    "findings": "* EXCEPT (tenant_id, finding_id)",
    "outcomes": "call_id, outcome, reason, ended_at",
    "dead_letters": "step, source_topic, exception_class, problems, call_id, value_sha256, value_bytes",
}
WORKERS = ("listen-0", "receive", "judge", "relay", "store", "watch", "rollup")
Snapshot = Mapping[str, Sequence[Mapping[str, Any]]]

TANSU = pytest.param("tansu", marks=[pytest.mark.embedded, pytest.mark.model, pytest.mark.long])
KAFKA = pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.model])


def kept_for_long(folder: Path) -> Path:
    """A retention file by which every call, of whatever length, is kept for fifty years."""
    path = folder / "retention.yaml"
    path.write_text(
        "version: 1\nowner: tests\nclasses:\n  - {id: general, name: general, days: 18250}\n", encoding="utf-8"
    )
    return path


class Pipeline:
    """A stack on a folder, which can be stopped and started again, and how its tenants fare."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._broker = broker
        self._folder = folder
        self._running = ExitStack()
        self._pids: set[int] = set()
        self.start()

    def start(self) -> None:
        # The narrowest beam: it is faults that are tested here, not words. And the calls, which are of last spring, are
        # due for nobody, so that a stack that starts again does not begin to destroy what is compared.
        settings = {"whisper_beam_size": 1, "retention_file": kept_for_long(self._folder)}
        self.stack = self._running.enter_context(running_stack(self._broker, self._folder, settings))
        self.transcripts = transcript_store_from(self.stack.settings, object_store_from(self.stack.settings))

    def stop(self) -> None:
        """Stop the stack; no process of it is left, nor of those that were killed before."""
        for name in (self._broker, "clickhouse", *WORKERS):
            with suppress(KeyError):  # the stack was stopped before
                self._pids |= with_offspring(self.stack.supervisor.pid(name))
        self._running.close()
        assert [pid for pid in self._pids if runs(pid)] == []
        assert processes_of(self._folder) == {}

    def publish(self, tenant_id: str, names: Sequence[str] = CALLS) -> list[CallEnded]:
        """These recordings, and one record that is no event."""
        calls = publish_examples(self.stack, names, tenant_id)
        self._produce([ProducerRecord(CALLS_ENDED.name, message_key(tenant_id, NO_EVENT_ID), NO_EVENT)])
        return calls

    def publish_into_mid_flow(self, tenant_id: str) -> list[CallEnded]:
        """Returns when something has been heard, and the longest call has only just been published."""
        calls = self.publish(tenant_id, CALLS[:-1])
        self.wait_until(lambda: len(self.heard(calls)) > 0, "the first call to be heard")
        calls += publish_examples(self.stack, CALLS[-1:], tenant_id)
        assert len(self.heard(calls)) < len(calls), "too late for a fault in mid-flow"
        return calls

    def publish_again(self, calls: Sequence[CallEnded]) -> None:
        """The very same events."""
        self._produce([CALLS_ENDED.record(c) for c in calls])

    def _produce(self, outputs: Sequence[ProducerRecord]) -> None:
        publisher = Publisher(self.stack.settings)
        publisher.publish(outputs)
        publisher.close()

    def heard(self, calls: Sequence[CallEnded]) -> dict[str, Transcript]:
        """Call id → transcript, of those that were heard so far."""
        found = {call.call_id: self.transcripts.load(call.tenant_id, call.call_id) for call in calls}
        return {call_id: transcript for call_id, transcript in found.items() if transcript is not None}

    def kill(self, name: str) -> None:
        pid = self.stack.supervisor.pid(name)
        assert pid is not None
        self._pids |= with_offspring(pid)
        self.stack.supervisor.kill(name)
        assert not runs(pid)

    def take_the_object_store_from(self, name: str) -> None:
        """That child opens no file any more until it is started again; what is open, stays so: log and sockets."""
        pid = self.stack.supervisor.pid(name)
        assert pid is not None
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, most))

    def log(self, name: str) -> str:
        return self.stack.supervisor.log_file(name).read_text()

    def wait_until(self, comes_true: Callable[[], bool], awaited: str) -> None:
        wait_until(self.stack, comes_true, lambda: awaited)

    def wait_until_all_is_done(self, calls: Sequence[CallEnded]) -> None:
        """Every call has its outcome, and no stage is behind on any topic."""
        tenant_id = calls[0].tenant_id
        wait_for_outcomes(self.stack, [*(call.call_id for call in calls), NO_EVENT_ID], tenant_id=tenant_id)
        # One after the other: a stage that has caught up writes nothing more that the next could wait for.
        for stage in consumer_groups():
            self.wait_until(partial(self.has_no_lag, stage), f"no lag of {stage}")

    def has_no_lag(self, stage: str) -> bool:
        return all(lag.messages == 0 for lag in lags(self.stack.settings, {stage: consumer_groups()[stage]}))

    def snapshot(self, tenant_id: str) -> Snapshot:
        """What ClickHouse shows of a tenant."""
        return {
            table: rows(self.stack, f"SELECT {columns} FROM {table} WHERE tenant_id = '{tenant_id}' ORDER BY ALL")  # noqa: S608
            for table, columns in TABLES.items()
        }

    def count(self, table: str, tenant_id: str) -> int:
        (row,) = rows(self.stack, f"SELECT count() AS n FROM {table} WHERE tenant_id = '{tenant_id}'")  # noqa: S608
        return int(row["n"])

    def finding_ids(self, tenant_id: str) -> set[str]:
        """Of what was found, and of what is suspected."""
        found = []
        for view in ("findings", "suspicions"):
            found += rows(self.stack, f"SELECT finding_id FROM {view} WHERE tenant_id = '{tenant_id}'")  # noqa: S608
        return {row["finding_id"] for row in found}

    def undisturbed_finding_ids(self, calls: Sequence[CallEnded]) -> set[str]:
        """The ids that the findings of the undisturbed run have when these are the calls."""
        judge = build_judge(self.stack.settings)
        ids: set[str] = set()
        for call in calls:
            transcript = self.transcripts.load(UNDISTURBED, call.call_id)
            assert transcript is not None
            same = transcript.model_copy(update={"tenant_id": call.tenant_id, "call": call})
            ids |= {finding.finding_id for finding in judge.judge(same, transcript.transcribed_at).findings}
        return ids

    def messages(self, topic: str, calls: Sequence[CallEnded]) -> list[bytes | None]:
        """Every message of a topic about these calls; nothing is behind when this is called."""
        keys = {message_key(call.tenant_id, call.call_id) for call in calls}
        group = f"read-{topic}-{calls[0].tenant_id}"
        consumer = BatchConsumer(self.stack.settings, group, [topic])
        found: list[bytes | None] = []

        def has_read_all() -> bool:
            records = consumer.poll(100, 1)
            found.extend(record.value for record in records if record.key in keys)
            if records:
                consumer.commit(records)
            (lag,) = lags(self.stack.settings, {group: [topic]})
            return lag.messages == 0

        self.wait_until(has_read_all, f"all of {topic}")
        consumer.close()
        return found


def with_offspring(pid: int | None) -> set[int]:
    """The process, its children, and theirs."""
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent_pid = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent_pid, set()).add(int(stat.parent.name))
    found: set[int] = set()
    generation = {pid} if pid is not None else set()
    while generation:
        found |= generation
        generation = set().union(*(children.get(parent, set()) for parent in generation))
    return found


def processes_of(folder: Path) -> dict[int, str]:
    """Process id → command line, of those that have the folder in their command line or environment."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(folder).encode() in command + environment and int(process.name) != os.getpid():
            found[int(process.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


@pytest.fixture(scope="module", params=[TANSU, KAFKA])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline in which the undisturbed run is over; nothing of it runs afterwards."""
    pipeline = Pipeline(request.param, tmp_path_factory.mktemp(request.param))
    try:
        pipeline.wait_until_all_is_done(pipeline.publish(UNDISTURBED))
        yield pipeline
    finally:
        pipeline.stop()


@pytest.fixture
def pipeline(shared: Pipeline) -> Pipeline:
    """The pipeline, as calm as if no test had disturbed it before."""
    behind = [stage for stage in consumer_groups() if not shared.has_no_lag(stage)]
    assert behind == [], "it has not come to rest after the test before this one"
    return shared


only_on_kafka = pytest.mark.parametrize("shared", [KAFKA], indirect=True)


def assert_as_if_undisturbed(pipeline: Pipeline, calls: Sequence[CallEnded]) -> None:
    """Every call is there once, with the same outcome, segments and findings; the record that is no event, too."""
    tenant_id = calls[0].tenant_id
    assert pipeline.snapshot(tenant_id) == pipeline.snapshot(UNDISTURBED)
    assert pipeline.finding_ids(tenant_id) == pipeline.undisturbed_finding_ids(calls)
    assert pipeline.count("calls", tenant_id) == len(CALLS)
    assert pipeline.count("outcomes", tenant_id) == len(CALLS) + 1
    assert pipeline.count("dead_letters", tenant_id) == 1
    assert pipeline.count("unaccounted", tenant_id) == 0


def test_an_undisturbed_run_has_something_of_everything(pipeline: Pipeline) -> None:
    snapshot = pipeline.snapshot(UNDISTURBED)
    assert [row["outcome"] for row in snapshot["whole_calls"]] == ["analyzed", "too_short", "analyzed"]
    assert sorted(row["outcome"] for row in snapshot["outcomes"]) == ["analyzed", "analyzed", "refused", "too_short"]
    assert {row["call_id"] for row in snapshot["segments"]} == {"s02_finance_violation", "s09_mono_logistics"}
    assert {row["call_id"] for row in snapshot["findings"]} == {"s02_finance_violation", "s09_mono_logistics"}
    assert [row["call_id"] for row in snapshot["dead_letters"]] == [NO_EVENT_ID]


def test_listen_is_killed_while_the_object_store_lets_it_wait(pipeline: Pipeline) -> None:
    calls = pipeline.publish_into_mid_flow("listen-killed")
    pipeline.take_the_object_store_from("listen-0")
    pipeline.wait_until(lambda: "listen waits: calls.ended.v1/" in pipeline.log("listen-0"), "listen to wait")
    # Time for the offset of the call under way to be committed, which it must not be.
    time.sleep(3 * COMMIT_INTERVAL_S)
    pipeline.kill("listen-0")
    pipeline.wait_until_all_is_done(calls)
    assert_as_if_undisturbed(pipeline, calls)


@pytest.mark.parametrize("worker", ["judge", "store"])
def test_a_worker_is_killed_in_mid_flow(pipeline: Pipeline, worker: str) -> None:
    calls = pipeline.publish_into_mid_flow(f"{worker}-killed")
    pipeline.kill(worker)
    pipeline.wait_until_all_is_done(calls)
    assert_as_if_undisturbed(pipeline, calls)


def test_clickhouse_is_killed_and_store_has_rows_for_it_meanwhile(pipeline: Pipeline) -> None:
    calls = pipeline.publish_into_mid_flow("clickhouse-killed")
    pipeline.kill("clickhouse")
    # Nobody looks after the stack here, so that it stays dead until `store` has tried to insert.
    assert eventually(lambda: "store waits: " in pipeline.log("store"))
    pipeline.wait_until_all_is_done(calls)
    assert_as_if_undisturbed(pipeline, calls)


def test_events_that_come_twice_in_mid_flow_and_once_more_later_are_heard_once(pipeline: Pipeline) -> None:
    calls = pipeline.publish("published-again")
    pipeline.publish_again(calls)
    pipeline.wait_until_all_is_done(calls)
    heard = pipeline.heard(calls)
    pipeline.publish_again(calls)
    pipeline.wait_until_all_is_done(calls)
    assert_as_if_undisturbed(pipeline, calls)
    assert pipeline.heard(calls) == heard
    # One transcript for each event, and all of a call's are the one that was recognised: its time stands in it.
    transcripts = pipeline.messages(CALLS_TRANSCRIBED.name, calls)
    assert len(transcripts) == 3 * len(CALLS)
    assert set(transcripts) == {transcript.encode() for transcript in heard.values()}


@only_on_kafka
def test_the_broker_is_killed_and_started_again(pipeline: Pipeline) -> None:
    calls = pipeline.publish_into_mid_flow("kafka-killed")
    pipeline.kill("kafka")
    pipeline.wait_until_all_is_done(calls)
    assert_as_if_undisturbed(pipeline, calls)


@only_on_kafka
@pytest.mark.long
def test_a_stack_that_is_stopped_in_mid_flow_goes_on_when_it_is_started_again(pipeline: Pipeline) -> None:
    calls, later_calls = pipeline.publish_into_mid_flow("stopped"), pipeline.publish("stopped-before-heard")
    pipeline.stop()
    assert len(pipeline.heard(calls + later_calls)) < 2 * len(CALLS), "too late for a stop in mid-flow"
    pipeline.start()
    for each in (calls, later_calls):
        pipeline.wait_until_all_is_done(each)
        assert_as_if_undisturbed(pipeline, each)


DEMO = """
import signal, sys
from streams.cli.main import main
# A shell that runs the tests in the background lets its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


CHILDREN_OF_DEMO = ("tansu", "clickhouse", *stages_of(Settings()))


@contextmanager
def started_demo(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """`callstream demo` in a process group of its own; all it does on the disk, it does in that folder."""
    examples = folder / "examples"
    examples.mkdir()
    for path in example_recordings():
        if path.name.startswith(CALLS):
            shutil.copy(path, examples)
            shutil.copy(path.with_suffix(".json"), examples)
    demo = subprocess.Popen(
        [sys.executable, "-P", "-c", DEMO, "demo", "--calls", str(examples)],
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield demo
    finally:
        demo.kill()
        demo.communicate()


def wait_for(demo: "subprocess.Popen[str]", comes_true: Callable[[], bool]) -> None:
    assert eventually(lambda: comes_true() or demo.poll() is not None)
    assert demo.poll() is None, demo.communicate()


@contextmanager
def demo_in_mid_flow(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The demo when all of its children run, and the first call has been heard."""
    with started_demo(folder) as demo:
        wait_for(demo, lambda: any(folder.glob("callstream-demo-*/objects/*/transcripts/*/*/*/*/*")))
        assert len(processes_of(folder)) == 1 + len(CHILDREN_OF_DEMO)
        yield demo


def pid_of_worker(folder: Path, stage: str) -> int:
    (pid,) = (pid for pid, command in processes_of(folder).items() if command.rstrip().endswith(f"worker {stage}"))
    return pid


def assert_nothing_is_left_in(folder: Path) -> None:
    assert processes_of(folder) == {}
    assert list(folder.glob("callstream-demo-*")) == []


@pytest.mark.embedded
@pytest.mark.model
class TestDemo:
    @pytest.mark.long
    def test_ctrl_c_in_mid_flow_ends_it_and_leaves_nothing(self, tmp_path: Path) -> None:
        with demo_in_mid_flow(tmp_path) as demo:
            os.killpg(demo.pid, signal.SIGINT)
            _, errors = demo.communicate(timeout=GIVE_UP_AFTER_S)
            assert demo.returncode == 130
            assert "Traceback" not in errors
            assert "bug" not in errors
            assert_nothing_is_left_in(tmp_path)

    def test_sigterm_while_it_starts_ends_it_and_leaves_nothing(self, tmp_path: Path) -> None:
        with started_demo(tmp_path) as demo:
            wait_for(demo, lambda: len(processes_of(tmp_path)) > 2)
            demo.terminate()
            _, errors = demo.communicate(timeout=GIVE_UP_AFTER_S)
            assert demo.returncode == 130
            assert "Traceback" not in errors
            assert "bug" not in errors
            assert_nothing_is_left_in(tmp_path)

    @pytest.mark.long
    def test_a_child_that_dies_ends_it_with_a_sentence_and_leaves_nothing(self, tmp_path: Path) -> None:
        with demo_in_mid_flow(tmp_path) as demo:
            (log,) = tmp_path.glob("callstream-demo-*/logs/judge.log")
            wait_for(demo, lambda: "judge is ready" in log.read_text())
            os.kill(pid_of_worker(tmp_path, "judge"), signal.SIGKILL)
            _, errors = demo.communicate(timeout=GIVE_UP_AFTER_S)
            assert demo.returncode == 5
            # The log file itself is gone with the folder.
            assert "callstream: judge was ended by SIGKILL while it was needed. The end of its log:" in errors
            assert "judge is ready" in errors
            assert_nothing_is_left_in(tmp_path)

    @pytest.mark.long
    def test_when_it_is_killed_its_children_go_with_it(self, tmp_path: Path) -> None:
        with demo_in_mid_flow(tmp_path) as demo:
            demo.kill()
            demo.wait()
            assert eventually(lambda: processes_of(tmp_path) == {})
