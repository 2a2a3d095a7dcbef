"""Heartbeats: a worker that stands still, has gone, or only takes long at a call, as another process sees it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.messages.records import ConsumerRecord
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.heartbeat import (
    LONGEST_STEP_S,
    SILENT_AFTER_S,
    START_WITHIN_S,
    HeartbeatFile,
    Pulse,
    WorkerCondition,
    conditions,
)
from streams.settings import Settings, variable_of
from tests.support.processes import eventually

DUE_WITHIN_S = 30.0
LONGEST_WORK_S = 7_200.0
RECORD = ConsumerRecord("calls.ended.v1", 3, 17, b"acme/c1", b"")


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 2, 10, 15, tzinfo=UTC)


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Worker:
    """The worker of a stage in this process, as far as its heart goes."""

    def __init__(self, data_dir: Path, stage: str = "listen") -> None:
        self.data_dir = data_dir
        self.clock = HandClock()
        self.pulse = Pulse(self.clock)
        self.file = HeartbeatFile(data_dir / "workers" / stage, stage, self.pulse, lambda: LONGEST_WORK_S)
        self.file.start()
        self.guard = CrashGuard(stage, Quarantine.of_stage(data_dir, stage), FixedClock())

    def later(self, by_s: float, *, main_thread_runs: bool = True) -> WorkerCondition:
        self.clock.now_s += by_s
        if main_thread_runs:
            self.file.keep_up()
        (found,) = conditions(self.data_dir, self.clock.now_s)
        return found


def test_a_worker_that_beats_works_and_each_write_has_a_number_of_its_own(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    loop = worker.pulse.of_loop("listen", DUE_WITHIN_S)
    first = worker.later(10)
    worker.pulse.beat(loop)
    second = worker.later(3)
    assert (first.state, second.state) == ("works", "works")
    assert (first.for_s, second.for_s) == (10, 3)
    assert second.sequence > first.sequence
    assert not second.is_problem


def test_a_loop_that_does_not_come_round_is_frozen(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "store")
    worker.pulse.of_loop("store", DUE_WITHIN_S)
    assert worker.later(DUE_WITHIN_S).state == "works"
    found = worker.later(1)
    assert (found.state, found.is_problem) == ("frozen", True)


def test_an_hour_at_one_call_is_work_and_longer_than_a_worker_allows_itself_is_not(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.pulse.of_loop("listen", DUE_WITHIN_S)
    worker.guard.enter([RECORD])
    found = worker.later(3_600)
    assert (found.state, found.for_s, found.at) == ("works", 3_600, ("calls.ended.v1/3/17 (call acme/c1)",))
    assert worker.later(LONGEST_WORK_S - 3_600 + LONGEST_STEP_S + 1).state == "frozen"
    worker.guard.leave()


def test_a_process_that_does_not_run_is_frozen_also_in_the_middle_of_a_call(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.pulse.of_loop("listen", DUE_WITHIN_S)
    worker.guard.enter([RECORD])
    found = worker.later(SILENT_AFTER_S + 1, main_thread_runs=False)
    assert (found.state, found.is_problem) == ("frozen", True)
    worker.guard.leave()


def test_one_subscription_that_stands_still_is_named(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "notify")
    main = worker.pulse.of_loop("notify", DUE_WITHIN_S)
    worker.pulse.of_loop("notify desk", DUE_WITHIN_S)
    worker.later(DUE_WITHIN_S + 1)
    worker.pulse.beat(main)
    found = worker.later(3)
    assert (found.state, found.loop) == ("frozen", "notify desk")


def test_a_subscription_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "notify")
    main, desk = (worker.pulse.of_loop(name, DUE_WITHIN_S) for name in ("notify", "notify desk"))
    worker.pulse.forget(desk)
    worker.later(DUE_WITHIN_S + 1)
    worker.pulse.beat(main)
    assert worker.later(3).state == "works"


def test_a_start_may_take_its_time_but_not_for_ever(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    assert (worker.later(START_WITHIN_S).state, worker.later(0).is_problem) == ("starts", False)
    assert worker.later(3).is_problem


def changed(file: Path, **process: object) -> None:
    """As if another process had written it."""
    content = json.loads(file.read_text())
    content["process"] |= process
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("other", [{"started_ticks": 1}, {"boot": "before the restart"}], ids=str)
def test_a_process_with_the_number_of_a_former_worker_is_not_it(tmp_path: Path, other: dict[str, object]) -> None:
    worker = Worker(tmp_path)
    (file,) = tmp_path.glob("workers/listen/heartbeat.*.json")
    changed(file, **other)
    found = worker.later(0, main_thread_runs=False)
    assert (found.state, found.is_problem) == ("gone", False), "it may be started again in this moment"
    assert worker.later(SILENT_AFTER_S + 1, main_thread_runs=False).is_problem


def test_of_other_machines_nothing_is_said(tmp_path: Path) -> None:
    Worker(tmp_path)
    (file,) = tmp_path.glob("workers/listen/heartbeat.*.json")
    changed(file, host="another")
    assert conditions(tmp_path) == []


def test_a_file_that_cannot_be_read_is_nobodys(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "listen"
    folder.mkdir(parents=True)
    for name, text in {"1": "", "2": "[]", "3": '{"loops": 3}', "4": '{"loops": [], "process": {}}'}.items():
        (folder / f"heartbeat.{name}.json").write_text(text)
    assert conditions(tmp_path) == []
    Worker(tmp_path)
    assert len([*folder.glob("heartbeat.*.json")]) == 1


def test_a_folder_that_takes_nothing_stops_no_worker_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "workers").write_text("no folder")
    clock = HandClock()
    file = HeartbeatFile(tmp_path / "workers" / "watch", "watch", Pulse(clock), lambda: LONGEST_WORK_S)
    file.start()
    clock.now_s += 60
    file.keep_up()
    assert len(caplog.messages) == 1


@pytest.mark.processes
@pytest.mark.loopback
def test_of_a_real_worker_one_sees_that_it_waits_and_that_it_was_killed_until_there_is_another(tmp_path: Path) -> None:
    settings = Settings.model_validate({"kafka_bootstrap": "127.0.0.1:9", "data_dir": tmp_path})
    variables = {variable_of(name): str(getattr(settings, name)) for name in ("kafka_bootstrap", "data_dir")}
    command = [sys.executable, "-m", "streams.cli.main", "worker", "watch"]
    for _ in range(2):
        with subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.DEVNULL) as worker:
            assert eventually(lambda pid=worker.pid: states_in(tmp_path) == [(pid, "starts")])  # type: ignore[misc]
            worker.kill()
        assert states_in(tmp_path) == [(worker.pid, "gone")]


def states_in(data_dir: Path) -> list[tuple[int, str]]:
    return [(each.pid, each.state) for each in conditions(data_dir)]


def test_a_worker_whose_stage_is_paused_need_not_move(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.file.paused = True
    found = worker.later(30 * 24 * 3600)
    assert (found.state, found.is_problem) == ("paused", False)
    silent = worker.later(2 * SILENT_AFTER_S, main_thread_runs=False)
    assert silent.state == "frozen", "its process must run all the same"
    worker.file.paused = False
    assert worker.later(2 * START_WITHIN_S).state == "starts"
