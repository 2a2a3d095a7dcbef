"""A record that ends its worker is found out, tried alone and given up; others lose nothing by it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.errors import RetryableError
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS
from streams.adapters.memory.broker import MemoryBroker
from streams.runtime.crash_guard import ENDS_LIMIT, CrashGuard, Quarantine
from streams.runtime.loop import Loop, PollWorkPublishCommit

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
TOPIC = "calls.ended.v1"
POISON = b"poison"


class FixedClock:
    def now(self) -> datetime:
        return NOW


class Ended(BaseException):
    """Stands for the end of a process: nothing catches it, and nothing is tidied up."""


class Machine:
    """Workers on one data folder, one after the other; each stands for a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.quarantine = Quarantine(folder)
        self.done: list[bytes] = []
        self.batches: list[int] = []

    def send(self, *values: bytes) -> None:
        self.broker.publish(ProducerRecord(TOPIC, b"acme/" + value, value) for value in values)

    def work(self, records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
        self.batches.append(len(records))
        if any(record.value == POISON for record in records):
            raise Ended
        self.done += [record.value or b"" for record in records]
        return ()

    def cycle(self, stop: threading.Event, batch: int = 10) -> PollWorkPublishCommit:
        consumer = self.broker.consumer("stage", [TOPIC])
        guard = CrashGuard("stage", self.quarantine, FixedClock())
        return PollWorkPublishCommit("stage", consumer, self.work, self.broker, stop, 0.01, batch=batch, guard=guard)

    def run_until_it_ends(self, batch: int = 10) -> bool:
        """Whether the worker ended by a record; else it has done everything."""
        stop = threading.Event()
        cycle = self.cycle(stop, batch)

        def step() -> None:
            cycle.step()
            if self.broker.committed.get(("stage", TOPIC), 0) == len(self.broker.records[TOPIC]):
                stop.set()

        try:
            Loop("stage", step, stop, 0.01).run()
        except Ended:
            return True
        return False

    def letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(record.value) for record in self.broker.records[CALLS_DEAD_LETTERS.name]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "workers" / "stage")


def test_it_becomes_a_dead_letter_after_three_ends_and_the_others_are_done(machine: Machine) -> None:
    machine.send(b"before", POISON, b"after")
    ends = 0
    while machine.run_until_it_ends(batch=1):
        ends += 1
        assert ends <= ENDS_LIMIT
    assert ends == ENDS_LIMIT
    assert machine.done == [b"before", b"after"]
    (letter,) = machine.letters()
    assert (letter.exception_class, letter.source_offset, letter.call_id) == ("EndedTheWorkerError", 1, "poison")
    assert letter.problems == ("the worker ended 3 times while it worked on this message",)


def test_in_a_batch_nobody_is_given_up_before_it_was_tried_alone(machine: Machine) -> None:
    machine.send(*(f"{number}".encode() for number in range(6)), POISON, b"last")
    ends = 0
    while machine.run_until_it_ends():
        ends += 1
    assert ends == 1 + ENDS_LIMIT, "once together, three times alone"
    assert [letter.call_id for letter in machine.letters()] == ["poison"]
    assert {*machine.done} == {b"0", b"1", b"2", b"3", b"4", b"5", b"last"}
    assert {suspect.state for suspect in machine.quarantine.suspects().values()} == {"given_up"}


def test_what_went_well_is_no_suspect_any_more(machine: Machine) -> None:
    machine.send(b"one", POISON)
    assert machine.run_until_it_ends()
    machine.broker.records[TOPIC][1] = ConsumerRecord(TOPIC, 0, 1, b"acme/x", b"harmless")
    assert not machine.run_until_it_ends()
    assert machine.quarantine.suspects() == {}
    assert machine.letters() == []


def test_one_that_a_person_skips_is_given_up_without_another_try(machine: Machine) -> None:
    machine.send(POISON)
    assert machine.run_until_it_ends(batch=1)
    (suspect,) = machine.quarantine.suspects().values()
    machine.quarantine.put(suspect.__class__(**{**vars(suspect), "state": "skip"}))
    assert not machine.run_until_it_ends(batch=1)
    assert len(machine.letters()) == 1


def test_a_worker_that_stops_in_good_order_accuses_nobody(machine: Machine) -> None:
    guard = CrashGuard("stage", machine.quarantine, FixedClock())
    guard.enter([ConsumerRecord(TOPIC, 0, 0, b"acme/c1", b"slow")])
    CrashGuard.forget_own(machine.quarantine)
    CrashGuard("stage", machine.quarantine, FixedClock())
    assert machine.quarantine.suspects() == {}


@pytest.mark.processes
def test_what_another_living_worker_is_at_is_left_alone(machine: Machine) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    machine.quarantine.folder.mkdir(parents=True)
    file = machine.quarantine.folder / f"under_way.{other.pid}.json"
    place = {"topic": TOPIC, "partition": 0, "offset": 5, "call": "acme/c5"}
    file.write_text(json.dumps({"stage": "stage", "records": [place]}), encoding="utf-8")
    CrashGuard("stage", machine.quarantine, FixedClock())
    assert machine.quarantine.suspects() == {}
    other.communicate(b"\n")
    CrashGuard("stage", machine.quarantine, FixedClock())
    (suspect,) = machine.quarantine.suspects().values()
    assert (suspect.position, suspect.ends, suspect.call) == (f"{TOPIC}/0/5", 1, "acme/c5")


def test_files_that_cannot_be_read_do_not_stop_a_worker(machine: Machine) -> None:
    machine.quarantine.folder.mkdir(parents=True)
    (machine.quarantine.folder / f"under_way.{os.getpid()}.json").write_text("{half", encoding="utf-8")
    (machine.quarantine.folder / "suspect.x.json").write_text("[]", encoding="utf-8")
    machine.send(b"one")
    assert not machine.run_until_it_ends()
    assert machine.done == [b"one"]


def test_a_disk_that_takes_nothing_lets_the_worker_wait(machine: Machine) -> None:
    machine.send(b"one")
    cycle = machine.cycle(threading.Event())
    away = machine.quarantine.folder.rename(machine.quarantine.folder.with_name("away"))
    with pytest.raises(RetryableError, match=f"^{TOPIC}/0/0.*cannot be noted .No such file or directory"):
        cycle.step()
    cycle.recover()
    assert (machine.done, machine.broker.committed) == ([], {})
    away.rename(machine.quarantine.folder)
    cycle.step()
    assert machine.done == [b"one"]
    assert machine.broker.committed == {("stage", TOPIC): 1}


def test_a_suspect_keeps_its_count_while_the_disk_takes_nothing(machine: Machine) -> None:
    machine.send(POISON)
    assert machine.run_until_it_ends()
    cycle = machine.cycle(threading.Event())
    away = machine.quarantine.folder.rename(machine.quarantine.folder.with_name("away"))
    with pytest.raises(RetryableError):
        cycle.step()
    away.rename(machine.quarantine.folder)
    (suspect,) = machine.quarantine.suspects().values()
    assert suspect.ends == 1
