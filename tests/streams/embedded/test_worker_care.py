"""Whoever starts workers ends those that do not run, and tells Prometheus where the others are."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import ChildSpec, Supervisor
from streams.embedded.worker_care import DID_NOT_RUN_S, LOOK_EVERY_S, WorkerCare, targets_of
from streams.runtime.heartbeat import SILENT_AFTER_S, WorkerCondition, conditions
from streams.settings import Settings, variable_of
from tests.support.processes import eventually

BEATING = """
import sys, time
from pathlib import Path
from streams.runtime.heartbeat import HeartbeatFile, Pulse
pulse = Pulse()
pulse.of_loop("watch", 3_600)
file = HeartbeatFile(Path(sys.argv[1]) / "workers" / "watch", "watch", pulse, lambda: 900, lambda: "127.0.0.1:4711")
file.start()
while True:
    file.keep_up()
    time.sleep(0.1)
"""


class LaterClock:
    """The monotonic clock, and as much later as a test says."""

    def __init__(self) -> None:
        self.later_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.later_s

    def pass_s(self, care: WorkerCare, seconds: float) -> None:
        """In steps in which the care is never away for long."""
        for _ in range(int(seconds / (DID_NOT_RUN_S / 2)) + 1):
            self.later_s += DID_NOT_RUN_S / 2
            care.look()


@pytest.mark.processes
def test_a_worker_that_is_stopped_is_ended_and_another_takes_its_place(tmp_path: Path) -> None:
    clock = LaterClock()
    with Supervisor(tmp_path / "logs") as supervisor:
        spec = ChildSpec("watch", (sys.executable, "-c", BEATING, str(tmp_path)), lambda: True, 5, 1, restart=True)
        supervisor.start(spec)
        care = WorkerCare(supervisor, tmp_path, clock)
        first = supervisor.pid("watch")
        assert first is not None
        assert eventually(lambda: [one.pid for one in conditions(tmp_path)] == [first])
        clock.later_s += LOOK_EVERY_S
        care.look()
        assert json.loads(care.targets_file.read_text()) == [
            {"targets": ["127.0.0.1:4711"], "labels": {"job": "callstream", "worker": "watch"}}
        ]
        assert supervisor.pid("watch") == first, "one that runs is left alone"

        os.kill(first, signal.SIGSTOP)
        clock.pass_s(care, SILENT_AFTER_S)
        assert eventually(lambda: supervisor.pid("watch") is None)

        def another_runs() -> bool:
            supervisor.check()
            return supervisor.pid("watch") not in (None, first)

        assert eventually(another_runs)
        care.close()
        assert not care.targets_file.exists()


@pytest.mark.processes
def test_who_was_stopped_itself_ends_no_worker_because_of_that(tmp_path: Path) -> None:
    clock = LaterClock()
    with Supervisor(tmp_path / "logs") as supervisor:
        spec = ChildSpec("watch", (sys.executable, "-c", BEATING, str(tmp_path)), lambda: True, 5, 1, restart=True)
        supervisor.start(spec)
        care = WorkerCare(supervisor, tmp_path, clock)
        pid = supervisor.pid("watch")
        assert pid is not None
        assert eventually(lambda: [one.pid for one in conditions(tmp_path)] == [pid])
        clock.later_s += 3_600
        care.look()
        assert supervisor.pid("watch") == pid
        assert not care.targets_file.exists()
        clock.pass_s(care, 2 * DID_NOT_RUN_S)
        assert care.targets_file.exists(), "and looks again after that"


def test_only_workers_that_tell_their_metrics_are_targets() -> None:
    workers = [
        WorkerCondition("watch", 1, "works", 0, 1, metrics_address="127.0.0.1:2"),
        WorkerCondition("judge", 2, "works", 0, 1),
        WorkerCondition("listen", 3, "starts", 0, 1, metrics_address="127.0.0.1:1"),
    ]
    assert [target["targets"] for target in targets_of(workers)] == [["127.0.0.1:1"], ["127.0.0.1:2"]]


@pytest.mark.parametrize(
    ("address", "given"),
    [("", "127.0.0.1:0"), ("0.0.0.0:9464", "0.0.0.0:0"), ("[::1]:9464", "[::1]:0")],
)
def test_each_worker_of_a_machine_has_a_port_of_its_own(address: str, given: str) -> None:
    settings = Settings(metrics_address=address)
    name = variable_of("metrics_address")
    assert worker_spec("judge", 0, settings, restart=False, metrics=True).env[name] == given
    assert worker_spec("judge", 0, settings, restart=False).env[name] == ""
