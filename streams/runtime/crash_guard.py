"""Records that end the process that works on them: found out, tried alone, and given up after a few times.

Before a record is worked on, its position is written to a file, and removed afterwards. A file that a process left
behind names what it was at when it ended by whatever cannot be caught: a crash in C code, the kernel's lack of memory,
a hang that the watchdog ended, a bug. Records of a batch are then tried one by one; one that has ended the process
`ENDS_LIMIT` times becomes a dead letter, and the others go on.

All of it lies in a folder of the data folder, one file for each record, so that `callstream quarantine` can show it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from schemas.errors import EndedTheWorkerError, InvalidMessageError, RetryableError
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.records import ConsumerRecord, ProducerRecord, call_of_key
from schemas.messages.topics import CALLS_DEAD_LETTERS
from streams.ports import Clock
from streams.runtime.json_files import read_object, write_whole
from streams.runtime.process_identity import ProcessIdentity

ENDS_LIMIT = 3
"""So many times may a record end its worker. An innocent one that was under way at a power failure has two left."""

_UNDER_WAY = "under_way."

State = Literal["suspect", "skip", "given_up"]


@dataclass(frozen=True)
class Suspect:
    """A record that was under way when its worker ended.

    `ends` counts only ends while it was worked on alone. `skip`: a person has decided that it is not tried again;
    `given_up`: its dead letter is written.
    """

    stage: str
    topic: str
    partition: int
    offset: int
    call: str
    ends: int
    state: State
    seen_at: str

    @property
    def position(self) -> str:
        """As `ConsumerRecord.position`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Quarantine:
    """The suspects of one stage on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_stage(cls, data_dir: Path, stage: str) -> Self:
        """In the data folder of a worker."""
        return cls(data_dir / "workers" / stage)

    @classmethod
    def all_in(cls, data_dir: Path) -> list["Quarantine"]:
        """Of every stage that has run with this data folder."""
        return [Quarantine(folder) for folder in sorted((data_dir / "workers").glob("*")) if folder.is_dir()]

    def suspects(self) -> dict[str, Suspect]:
        """By position; first what processes that run no more have left behind becomes suspect."""
        for file in self.folder.glob(f"{_UNDER_WAY}*.json"):
            left = read_object(file) or {}
            if not _is_of_one_that_runs(file, left):
                self._take_over(file, left)
        return self._known()

    def _known(self) -> dict[str, Suspect]:
        found = (_read(path) for path in sorted(self.folder.glob("suspect.*.json")))
        return {one.position: one for one in found if one is not None}

    def _take_over(self, file: Path, left: dict[str, Any]) -> None:
        stage, places = left.get("stage", ""), left.get("records") or []
        known = self._known()
        for place in places:
            try:
                suspect = Suspect(stage, **place, ends=0, state="suspect", seen_at=datetime.now(UTC).isoformat())
            except TypeError:  # whoever wrote that, it names no record
                continue
            before = known.get(suspect.position, suspect)
            alone = len(places) == 1
            self.put(replace(before, ends=before.ends + alone, seen_at=suspect.seen_at))
        file.unlink(missing_ok=True)

    def put(self, suspect: Suspect) -> None:
        """Remember it, in place of what was known of its record. Raises `RetryableError` where the disk refuses."""
        _note(self._file(suspect.position), asdict(suspect))

    def forget(self, position: str) -> None:
        """It is done, or is to be tried like any other."""
        self._file(position).unlink(missing_ok=True)

    def _file(self, position: str) -> Path:
        return self.folder / f"suspect.{position.replace('/', '.')}.json"


class CrashGuard:
    """For one worker process and one thread.

    Where its folder cannot be written (a full disk, no more open files) it raises `RetryableError`: the worker waits
    rather than work on a record that nobody would find out.
    """

    def __init__(self, stage: str, quarantine: Quarantine, clock: Clock, limit: int = ENDS_LIMIT) -> None:
        self._stage = stage
        self._quarantine = quarantine
        self._clock = clock
        self._limit = limit
        self._file = quarantine.folder / f"{_UNDER_WAY}{os.getpid()}.json"
        with _refusal_of_the_disk_waits(quarantine.folder):
            quarantine.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._suspects = quarantine.suspects()
        self._records: list[ConsumerRecord] = []

    def is_suspect(self, record: ConsumerRecord) -> bool:
        """Whether it is to be worked on alone: with nothing else between `enter` and `leave`."""
        return record.position in self._suspects

    def parts(self, records: Sequence[ConsumerRecord]) -> Iterator[Sequence[ConsumerRecord]]:
        """The records in their order, suspects alone."""
        together: list[ConsumerRecord] = []
        for record in records:
            if record.position not in self._suspects:
                together.append(record)
                continue
            if together:
                yield together
            yield (record,)
            together = []
        if together:
            yield together

    def enter(self, records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
        """These are worked on from now on, beside what was entered before and not left.

        What to write instead where the record is given up: its dead letter.
        """
        known = self._suspects.get(records[0].position) if len(records) == 1 else None
        if known is not None and (known.state != "suspect" or known.ends >= self._limit):
            self._records += records
            self._suspects[known.position] = replace(known, state="given_up")
            error = EndedTheWorkerError([f"the worker ended {known.ends} times while it worked on this message"])
            return (self.letter_of(records[0], error),)
        self._note([*self._records, *records])
        self._records += records
        return ()

    def _note(self, records: Sequence[ConsumerRecord]) -> None:
        places = [_place(record) for record in records]
        _note(self._file, {"stage": self._stage, "process": asdict(ProcessIdentity.own()), "records": places})

    def letter_of(self, record: ConsumerRecord, error: InvalidMessageError) -> ProducerRecord:
        """The dead letter of a record that is given up."""
        return CALLS_DEAD_LETTERS.record(dead_letter_for(self._stage, record, None, error, self._clock.now()))

    def leave(self, records: Sequence[ConsumerRecord] | None = None) -> None:
        """These, or all, are done, or will be tried again in good order."""
        left = list(self._records if records is None else records)
        positions = {record.position for record in left}
        stays = [record for record in self._records if record.position not in positions]
        with _refusal_of_the_disk_waits(self._quarantine.folder):
            if stays:
                self._note(stays)
            else:
                self._file.unlink(missing_ok=True)
            for record in left:
                known = self._suspects.pop(record.position, None)
                if known is None:
                    continue
                if known.state == "given_up":
                    self._quarantine.put(known)
                else:
                    self._quarantine.forget(known.position)
        self._records = stays

    def hand_back(self) -> None:
        """What is under way is left to another worker, because this one is to end: it has done nothing wrong."""
        self.forget_own(self._quarantine)

    @staticmethod
    def forget_own(quarantine: Quarantine) -> None:
        """What this process was at is no suspect."""
        with suppress(OSError):  # a disk that takes nothing does not keep it from ending
            (quarantine.folder / f"{_UNDER_WAY}{os.getpid()}.json").unlink(missing_ok=True)


def _place(record: ConsumerRecord) -> dict[str, str | int]:
    call = call_of_key(record.key)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "call": "/".join(call) if call else "",
    }


def _is_of_one_that_runs(file: Path, left: dict[str, Any]) -> bool:
    """Whether the very process that wrote it runs; our own number is that of a process that ended."""
    pid = file.name.removeprefix(_UNDER_WAY).removesuffix(".json")
    if pid == str(os.getpid()):
        return False
    try:
        writer = ProcessIdentity(**left["process"])
        return str(writer.pid) == pid and writer.runs
    except (KeyError, TypeError):  # of before 0.3, or damaged
        return pid.isdecimal() and _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> Suspect | None:
    try:
        return Suspect(**read_object(path) or {})
    except TypeError:
        return None


def _note(path: Path, content: object) -> None:
    with _refusal_of_the_disk_waits(path.parent):
        write_whole(path, content)


@contextmanager
def _refusal_of_the_disk_waits(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RetryableError(
            f"{folder}: what is being worked on cannot be noted ({error.strerror}): free space there, or mend rights"
        ) from None


def records_under_way(folder: Path, pid: int) -> tuple[str, ...]:
    """What that process works on, by position and call; `folder` is that of its stage."""
    left = read_object(folder / f"{_UNDER_WAY}{pid}.json") or {}
    try:
        return tuple(
            f"{place['topic']}/{place['partition']}/{place['offset']}"
            + (f" (call {place['call']})" if place["call"] else "")
            for place in left.get("records", [])
        )
    except (KeyError, TypeError):
        return ()
