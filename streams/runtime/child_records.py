"""What a supervisor writes down of its children, so that `callstream status` sees those that end again and again."""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from streams.runtime.json_files import read_object, write_whole
from streams.runtime.process_identity import ProcessIdentity

LOOP_WITHIN_S = 600.0
LOOP_RESTARTS = 3
"""A child that ended so often within `LOOP_WITHIN_S` is in a crash loop."""

_PREFIX = "supervisor."

ChildState = Literal["runs", "waits", "ended", "stopped"]


@dataclass(frozen=True)
class ChildRecord:
    """A child. `waits`: for its next start; `ended`: it is not started again; `stopped`: on purpose."""

    name: str
    state: ChildState
    exit_code: int | None
    """Of its last end, negative for a signal; None where it has not ended yet."""
    ends_s: tuple[float, ...]
    """Its ends within `LOOP_WITHIN_S` before the last one, as moments of the monotonic clock."""
    log_file: str


@dataclass(frozen=True)
class _Records:
    """What stands in the file."""

    process: ProcessIdentity
    children: list[ChildRecord]


_FORM = TypeAdapter(_Records)


@dataclass(frozen=True)
class ChildCondition:
    """A child of a supervisor that runs: `ends` of the last `LOOP_WITHIN_S` seconds."""

    name: str
    state: ChildState
    exit_code: int | None
    ends: int
    log_file: str

    @property
    def is_in_crash_loop(self) -> bool:
        """Whether it ends again and again."""
        return self.ends >= LOOP_RESTARTS

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to look."""
        return self.state == "ended" or self.is_in_crash_loop


def recent_ends(ends_s: tuple[float, ...], now_s: float) -> tuple[float, ...]:
    """Those that count for a crash loop."""
    return tuple(end_s for end_s in ends_s if now_s - end_s <= LOOP_WITHIN_S)


class ChildRecordFile:
    """The file of the supervisor in this process."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "workers"
        self._own = ProcessIdentity.own()
        self._path = self._folder / f"{_PREFIX}{self._own.pid}.json"

    def write(self, children: list[ChildRecord]) -> None:
        """In place of what stood there; files of supervisors that run no more go. Raises `OSError`."""
        if not self._path.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._folder.glob(f"{_PREFIX}*.json"):
                process, _ = _read(path)
                if process is None or (process.is_of_this_host and not process.runs):
                    path.unlink(missing_ok=True)
        write_whole(self._path, {"process": asdict(self._own), "children": [asdict(child) for child in children]})

    def remove(self) -> None:
        """The supervisor ends in good order."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def child_conditions(data_dir: Path, now_s: float | None = None) -> list[ChildCondition]:
    """Of all children of all supervisors that run on this data folder and machine.

    `now_s` is a moment of the monotonic clock.
    """
    now_s = time.monotonic() if now_s is None else now_s
    found = []
    for path in sorted((data_dir / "workers").glob(f"{_PREFIX}*.json")):
        process, children = _read(path)
        if process is not None and process.runs:
            found += [
                ChildCondition(
                    child.name, child.state, child.exit_code, len(recent_ends(child.ends_s, now_s)), child.log_file
                )
                for child in children
            ]
    return found


def _read(path: Path) -> tuple[ProcessIdentity | None, list[ChildRecord]]:
    try:
        found = _FORM.validate_python(read_object(path))
    except ValidationError:
        return None, []
    return found.process, found.children
