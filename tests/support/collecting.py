"""The stage `collect` as a process that can be killed at a stated place; in place of Kafka a file that outlives it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any

from processors.listening.audio import probe
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ProducerRecord
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.register import Register
from streams.ports import Clock
from streams.settings import Settings
from streams.stages.collect import Collect, Collected, facts_of, inbox_of
from streams.stages.sweep import Sweep
from streams.stages.take_in import LEASE, take_in_from
from tests.support.later_clock import LaterClock

KILLED = -signal.SIGKILL
AFTER = timedelta(seconds=60)


class Collecting:
    """A folder of telephony, and a process that empties it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recordings = folder / "recordings"
        self.recordings.mkdir()
        self._events = folder / "events.jsonl"

    def leave(self, name: str, data: bytes, facts: Mapping[str, Any]) -> None:
        (self.recordings / name).write_bytes(data)
        (self.recordings / name).with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")

    def run(self, kill: str = "", ahead: timedelta = timedelta()) -> int:
        """Its exit code: `KILLED` where it got so far. It takes it for so much later than it is."""
        command = [
            sys.executable,
            "-m",
            "tests.support.collecting",
            str(self._folder),
            kill,
            str(ahead.total_seconds()),
        ]
        return subprocess.run(command, cwd=Path(__file__).parents[2], timeout=3_600, check=False).returncode

    def sweep(self) -> None:
        """What `sweep` does in the next minutes and, at the end, days later."""
        from streams.adapters.object_store.from_settings import object_store_from

        settings = Settings(data_dir=self._folder / "data")
        store, publisher = object_store_from(settings), _File(self._events)
        for ahead in (LEASE + AFTER, LEASE + 3 * AFTER, timedelta(days=2)):
            clock, register = LaterClock(ahead), Register.of(settings)
            Sweep(store, RegisterIntakes(register, clock), publisher, clock, AFTER, timedelta(days=30)).step()
            register.close()

    @property
    def events(self) -> list[CallEnded]:
        return [CallEnded.decode(line) for line in self._events.read_bytes().splitlines()]

    @property
    def left(self) -> list[Path]:
        return [path for path in self.recordings.rglob("*") if not path.is_dir()]

    @property
    def objects(self) -> list[Path]:
        return [path for path in (self._folder / "data").rglob("recordings/**/*.wav") if path.is_file()]


class _File:
    """A `PublisherPort` on a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        with self._file.open("ab") as stream:
            stream.writelines(record.value + b"\n" for record in records)


def _killing(when: str, count: int, call: Callable[..., Any], *, only: str = "") -> Callable[..., Any]:
    """Ends the process at the call of that number; `only` counts those with an argument of that name."""
    calls = 0

    @wraps(call)
    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += not only or only in named
        here = calls == count and (not only or only in named)
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(*arguments, **named)
        finally:
            if here and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)

    return counted


def main(folder: Path, kill: str, clock: Clock) -> None:
    settings = Settings(data_dir=folder / "data", collect_from=str(folder / "recordings"))
    prepare(settings)
    publisher, source_inbox = _File(folder / "events.jsonl"), inbox_of(settings)
    if kill:
        when, what, count = kill.split(":")
        if what == "publish":
            publisher.publish = _killing(when, int(count), publisher.publish)  # type: ignore[method-assign]
        elif what == "unlink":
            os.unlink = _killing(when, int(count), os.unlink, only="dir_fd")
        else:
            os.fstat = _killing(when, int(count), os.fstat)
    take_in = take_in_from(settings, publisher, probe, clock)
    collect = Collect([source_inbox], facts_of(settings), take_in, clock, settings.intake_max_bytes)
    while collect.step() != Collected():
        pass


def prepare(settings: Settings) -> None:
    """Register, keys and bucket, as `callstream up` makes them."""
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.adapters.register.migrate import migrate_register
    from streams.wiring import prepare_keys

    register = Register.of(settings)
    migrate_register(register)
    register.close()
    prepare_keys(settings)
    object_store_from(settings).apply()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], LaterClock(timedelta(seconds=float(sys.argv[3]))))
