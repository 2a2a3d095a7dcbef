"""Attacks on what workers tell of themselves on their machine: files of another shape, numbers given again, disks."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RetryableError
from streams.runtime.child_records import ChildRecordFile, child_conditions
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.free_space import lack_of_space
from streams.runtime.heartbeat import HeartbeatFile, Pulse, conditions
from streams.runtime.process_identity import ProcessIdentity
from tests.streams.runtime.test_crash_guard import TOPIC, FixedClock, Machine
from tests.support.disks import small_disk

OWN = asdict(ProcessIdentity.own())
BEAT: dict[str, Any] = {
    "stage": "store",
    "process": OWN,
    "sequence": 1,
    "started_s": 1.0,
    "written_s": 1.0,
    "longest_work_s": 10.0,
    "loops": [{"name": "store", "due_within_s": 1.0, "last_s": 1.0, "beats": 1}],
}
CHILD = {"name": "store", "state": "runs", "exit_code": 1, "ends_s": ["long ago"], "log_file": "x"}
PLACE = {"topic": TOPIC, "partition": 0, "offset": 5, "call": "acme/c5"}
OF_ANOTHER_SHAPE: dict[str, Any] = {
    "a time in words": BEAT | {"written_s": "soon"},
    "a loop that never began": BEAT | {"loops": [BEAT["loops"][0] | {"last_s": None}]},
    "no number": BEAT | {"written_s": math.nan},
    "a time without end": BEAT | {"written_s": math.inf},
    "a process of no number": BEAT | {"process": OWN | {"pid": None}},
    "a process of a huge number": BEAT | {"process": OWN | {"pid": 2**70}},
    "children of another release": {"process": OWN | {"pid": 2**70}, "children": [CHILD]},
    "ends in words": {"process": OWN, "children": [CHILD]},
    "places in words": {"stage": "store", "records": ["calls.ended.v1/0/5"]},
    "no places": {"stage": "store", "records": None},
    "a place with more": {"stage": "store", "records": [PLACE | {"since": 1}]},
}


@pytest.mark.parametrize("content", OF_ANOTHER_SHAPE.values(), ids=OF_ANOTHER_SHAPE)
def test_no_file_of_another_shape_stops_status_or_a_worker(tmp_path: Path, content: object) -> None:
    everywhere(tmp_path, json.dumps(content))
    is_passed(tmp_path)


def test_a_file_of_nothing_but_brackets_stops_neither(tmp_path: Path) -> None:
    everywhere(tmp_path, "[" * 100_000)
    is_passed(tmp_path)


def everywhere(data_dir: Path, text: str) -> None:
    """As every kind of file, also under names that are no number."""
    folder = data_dir / "workers" / "store"
    folder.mkdir(parents=True)
    for number in ("999999", "x", "٣", "-1", "9" * 30):
        (folder.parent / f"supervisor.{number}.json").write_text(text)
        for kind in ("heartbeat", "under_way", "suspect"):
            (folder / f"{kind}.{number}.json").write_text(text)


def is_passed(data_dir: Path) -> None:
    folder = data_dir / "workers" / "store"
    assert {worker.state for worker in conditions(data_dir)} <= {"gone"}
    assert child_conditions(data_dir) == []
    HeartbeatFile(folder, "store", Pulse(), lambda: 1.0).start()
    CrashGuard("store", Quarantine(folder), FixedClock())
    ChildRecordFile(data_dir).write([])
    assert [worker.pid for worker in conditions(data_dir)] == [os.getpid()]


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"\n")


@pytest.mark.processes
def test_a_record_that_ended_a_worker_whose_number_was_given_to_another_is_found_out(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    """In a container numbers are given again at each start; the record would have ended every worker for ever."""
    left = {"stage": "store", "process": OWN | {"pid": other.pid, "started_ticks": 1}, "records": [PLACE]}
    (tmp_path / f"under_way.{other.pid}.json").write_text(json.dumps(left))
    (suspect,) = Quarantine(tmp_path).suspects().values()
    assert (suspect.position, suspect.ends) == (f"{TOPIC}/0/5", 1)


@pytest.mark.processes
def test_a_disk_that_can_only_be_read_since_a_record_was_begun_lets_the_worker_wait(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        folder = disk / "workers" / "stage"
        machine = Machine(folder)
        machine.send(b"one")
        cycle = machine.cycle(threading.Event())
        folder.joinpath("heartbeat.999999.json").write_text("{}")
        heartbeat = HeartbeatFile(folder, "stage", Pulse(), lambda: 1.0)
        ours = machine.work

        def work(records: Any) -> Any:
            remount(disk, "ro")
            return ours(records)

        cycle.work = work
        with pytest.raises(RetryableError, match=r"cannot be noted \(Read-only file system\)"):
            cycle.step()
        cycle.recover()
        heartbeat.start()
        heartbeat.remove()
        CrashGuard.forget_own(machine.quarantine)
        with pytest.raises(RetryableError, match="Read-only file system"):
            cycle.step()
        cycle.recover()
        remount(disk, "rw")
        cycle.work = ours
        cycle.step()
        assert machine.broker.committed == {("stage", TOPIC): 1}


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@pytest.mark.processes
def test_a_disk_that_takes_no_more_files_is_full_whatever_room_there_is(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "512m,nr_inodes=2") as disk:
        assert lack_of_space(disk) == ()
        (disk / "the last").touch()
        (sentence,) = lack_of_space(disk / "data")
    assert f"no more files can be made in {disk}" in sentence
    assert "remove" in sentence
