"""Heartbeats: how another process of this machine sees that a worker moves, and what it is at.

Every loop of a worker counts its steps in memory. The main thread, which does nothing else, writes these counts to a
file every few seconds, and so tells two things apart: a loop that does not come round, and a process that does not run.
What a loop is at for an hour stands in the file of the crash guard.

Moments are seconds of the monotonic clock, which all processes since a start of the machine share, and which nobody
sets. Workers on other machines, in other containers too, are not seen here.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from streams.runtime.crash_guard import records_under_way
from streams.runtime.json_files import read_object, write_whole
from streams.runtime.process_identity import ProcessIdentity

log = logging.getLogger(__name__)

WRITE_EVERY_S = 2.0
LONGEST_STEP_S = 300.0
"""A step without a record under way (asking Kafka or ClickHouse, sending an alert) ends far sooner."""
SILENT_AFTER_S = 60.0
"""A process whose main thread has written nothing for so long does not run, or the disk is full."""
START_WITHIN_S = 900.0
"""For models, rules and waiting for what is outside; a worker that takes longer cannot work."""

_PREFIX = "heartbeat."


@dataclass
class LoopPulse:
    """The beats of one loop. It is due again within `due_within_s` unless a record is under way."""

    name: str
    due_within_s: float
    last_s: float
    beats: int = 0


class Pulse:
    """The loops of one process, in whatever threads. `monotonic_s` gives seconds that only grow."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.monotonic_s = monotonic_s
        self._loops: list[LoopPulse] = []
        self._waited_s = monotonic_s()

    def of_loop(self, name: str, due_within_s: float) -> LoopPulse:
        """One more loop, from now on."""
        loop = LoopPulse(name, due_within_s, self.monotonic_s())
        self._loops.append(loop)
        return loop

    def beat(self, loop: LoopPulse) -> None:
        """It moves."""
        loop.beats += 1
        loop.last_s = self.monotonic_s()

    def forget(self, loop: LoopPulse) -> None:
        """It has ended in good order."""
        if loop in self._loops:
            self._loops.remove(loop)

    def wait(self) -> None:
        """The worker is not built yet: it waits for an outside system, and hangs no more than one that works."""
        self._waited_s = self.monotonic_s()

    def forgive(self, gap_s: float) -> None:
        """For so long the whole process did not run (it was stopped, its machine slept): that does not count."""
        self._waited_s += gap_s
        for loop in self.loops:
            loop.last_s += gap_s

    def due_s(self, stage: str, work_due_s: float | None = None) -> dict[str, float]:
        """Loop → by when it must come round. `work_due_s`: by when what the loop of the stage is at must have ended;
        None where it is at nothing."""
        due_s = {loop.name: loop.last_s + loop.due_within_s for loop in self.loops}
        if work_due_s is not None and stage in due_s:
            due_s[stage] = max(due_s[stage], work_due_s)
        return due_s

    def overdue(self, stage: str, work_due_s: float | None = None) -> tuple[str, ...]:
        """Loops that hang, by name; while there are none yet, `start` where that takes too long."""
        now_s = self.monotonic_s()
        if not self._loops:
            return ("start",) if now_s - self._waited_s > START_WITHIN_S else ()
        return tuple(name for name, due_s in self.due_s(stage, work_due_s).items() if now_s > due_s)

    @property
    def loops(self) -> tuple[LoopPulse, ...]:
        """Those that are to move; none before the stage is built."""
        return tuple(self._loops)


class HeartbeatFile:
    """The file of this process, in the folder of its stage. One that is left behind tells of a sudden end."""

    def __init__(
        self,
        folder: Path,
        stage: str,
        pulse: Pulse,
        longest_work_s: Callable[[], float],
        metrics_address: Callable[[], str] = lambda: "",
        away: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`longest_work_s`: what takes longer at the record under way hangs, and the worker ends itself.
        `metrics_address`: where its metrics are, `host:port`; empty where nobody listens. `away`: systems that do not
        answer it."""
        self._folder = folder
        self._stage = stage
        self._pulse = pulse
        self._longest_work_s = longest_work_s
        self._metrics_address = metrics_address
        self._away = away
        self._own = ProcessIdentity.own()
        self._path = folder / f"{_PREFIX}{self._own.pid}.json"
        self._started_s = pulse.monotonic_s()
        self._next_s = 0.0
        self._sequence = 0
        self._writes = True
        self.paused = False
        """Whether the stage is to stand still: then nothing has to move."""

    def start(self) -> None:
        """Write it for the first time, and take away those of former workers of the stage that run no more."""
        for path in self._folder.glob(f"{_PREFIX}*.json"):
            former = _read(path)
            if former is None or (former.process.is_of_this_host and not former.process.runs):
                with suppress(OSError):  # `keep_up` tells of a disk that takes nothing
                    path.unlink(missing_ok=True)
        self.keep_up()

    def keep_up(self) -> None:
        """Write it where it is due; call this often. A disk that takes nothing stops no worker, and is told once."""
        now_s = self._pulse.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + WRITE_EVERY_S
        self._sequence += 1
        beat = Heartbeat(
            self._stage,
            self._own,
            self._sequence,
            self._started_s,
            now_s,
            self._longest_work_s(),
            self._pulse.loops,
            self._metrics_address(),
            self.paused,
            tuple(self._away()),
        )
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, asdict(beat))
            self._writes = True
        except OSError as error:
            if self._writes:
                log.warning("%s: no heartbeat can be written: %s", self._stage, os.strerror(error.errno or 0))
            self._writes = False

    def stand_still(self) -> None:
        """The stage is paused from now on. Written at once: whoever takes the place of this process needs a while."""
        self.paused, self._next_s = True, 0.0
        self.keep_up()

    def remove(self) -> None:
        """The worker ends in good order."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


WorkerState = Literal["works", "starts", "paused", "frozen", "gone"]


@dataclass(frozen=True)
class Heartbeat:
    """What stands in the file."""

    stage: str
    process: ProcessIdentity
    sequence: int
    started_s: float
    written_s: float
    longest_work_s: float
    loops: tuple[LoopPulse, ...]
    metrics_address: str = ""
    paused: bool = False
    away: tuple[str, ...] = ()


_FORM = TypeAdapter(Heartbeat)


@dataclass(frozen=True)
class WorkerCondition:
    """How a worker of this machine is.

    `for_s`: how long its slowest loop has been at its present step, or, where it does not run, how long it has not.
    `at`: the records under way, by position and call.
    """

    stage: str
    pid: int
    state: WorkerState
    for_s: float
    sequence: int
    at: tuple[str, ...] = ()
    loop: str = ""
    """Which loop is frozen, where not all are."""
    metrics_address: str = ""
    """Where it tells its metrics, `host:port`; empty where it tells none."""
    away: tuple[str, ...] = ()
    """Systems that do not answer it, where it asks (`metrics_address`): it is not ready."""

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to look. A worker that is gone may just be started again."""
        match self.state:
            case "works" | "paused":
                return False
            case "starts":
                return self.for_s > START_WITHIN_S
            case "gone":
                return self.for_s > SILENT_AFTER_S
        return True


def conditions(data_dir: Path, now_s: float | None = None) -> list[WorkerCondition]:
    """Of every worker that runs with this data folder on this machine, or ended there without a word.

    `now_s` is a moment of the monotonic clock.
    """
    now_s = time.monotonic() if now_s is None else now_s
    return [
        _condition(beat, records_under_way(folder, beat.process.pid), now_s) for folder, beat in _heartbeats(data_dir)
    ]


def _heartbeats(data_dir: Path) -> Iterator[tuple[Path, Heartbeat]]:
    for path in sorted(data_dir.glob(f"workers/*/{_PREFIX}*.json")):
        beat = _read(path)
        if beat is not None and beat.process.is_of_this_host:
            yield path.parent, beat


def _condition(beat: Heartbeat, at: tuple[str, ...], now_s: float) -> WorkerCondition:
    def in_state(state: WorkerState, for_s: float, loop: str = "") -> WorkerCondition:
        pid, address = beat.process.pid, beat.metrics_address
        return WorkerCondition(beat.stage, pid, state, max(for_s, 0), beat.sequence, at, loop, address, beat.away)

    silent_s = now_s - beat.written_s
    if not beat.process.runs:
        # Since a restart of the machine its clock has begun anew.
        return in_state("gone", silent_s if silent_s >= 0 else now_s)
    if silent_s > SILENT_AFTER_S:
        return in_state("frozen", silent_s)
    if beat.paused:
        return in_state("paused", now_s - beat.started_s)
    if not beat.loops:
        return in_state("starts", now_s - beat.started_s)
    ages_s = {loop.name: now_s - loop.last_s for loop in beat.loops}
    limits_s = {loop.name: loop.due_within_s for loop in beat.loops}
    if at:  # under way is always what the loop of the stage is at
        limits_s[beat.stage] = beat.longest_work_s + LONGEST_STEP_S
    frozen = {name: age_s for name, age_s in ages_s.items() if age_s > limits_s[name]}
    if frozen:
        name = max(frozen, key=lambda each: frozen[each])
        return in_state("frozen", frozen[name], name if name != beat.stage else "")
    return in_state("works", max(ages_s.values()))


def _read(path: Path) -> Heartbeat | None:
    """None for what another release, or nobody, has written so."""
    try:
        return _FORM.validate_python(read_object(path))
    except ValidationError:
        return None
