"""What a worker is at, and how long each of it may take: what takes longer hangs.

A call may take ten times its own length, which is far slower than any machine that could keep up, and everything has
some minutes. Moments are seconds of the monotonic clock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TIMES_ITS_LENGTH = 10
"""So many times the length of its recording a call may take."""


@dataclass(eq=False)
class WatchedWork:
    """Something under way; `what` names a record by position and call."""

    what: str
    since_s: float
    limit_s: float


class Watchdog:
    """For the work of one process, in whatever threads; any thread may ask."""

    def __init__(self, floor_s: float, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """`floor_s`: so long anything may take."""
        self.floor_s = floor_s
        self._monotonic_s = monotonic_s
        self._works: list[WatchedWork] = []
        self._lock = threading.Lock()
        self._own = threading.local()

    @contextmanager
    def watching(self, what: str, audio_s: float = 0) -> Iterator[WatchedWork]:
        """What is done inside may take `floor_s`, or ten times these seconds of audio where that is longer."""
        work = WatchedWork(what, self._monotonic_s(), self.limit_s(audio_s))
        before = getattr(self._own, "work", None)
        with self._lock:
            self._works.append(work)
        self._own.work = work
        try:
            yield work
        finally:
            self._own.work = before
            with self._lock:
                self._works.remove(work)

    def audio_is(self, audio_s: float) -> None:
        """What this thread is at has so much audio, whatever its event said; a limit is only ever made longer."""
        work: WatchedWork | None = getattr(self._own, "work", None)
        if work is not None:
            work.limit_s = max(work.limit_s, self.limit_s(audio_s))

    def limit_s(self, audio_s: float = 0) -> float:
        """How long work on so much audio may take."""
        return max(self.floor_s, TIMES_ITS_LENGTH * audio_s)

    @property
    def works(self) -> tuple[WatchedWork, ...]:
        """What is under way."""
        with self._lock:
            return tuple(self._works)

    def longest_limit_s(self) -> float:
        """Of what is under way, else of anything."""
        return max((work.limit_s for work in self.works), default=self.floor_s)

    def due_s(self) -> float | None:
        """By when the first of what is under way must have ended; None where nothing is."""
        return min((work.since_s + work.limit_s for work in self.works), default=None)

    def overdue(self) -> str | None:
        """What takes too long, by name."""
        now_s = self._monotonic_s()
        late = [work for work in self.works if now_s > work.since_s + work.limit_s]
        return min(late, key=lambda work: work.since_s).what if late else None

    def forgive(self, gap_s: float) -> None:
        """For so long the whole process did not run (it was stopped, its machine slept): that does not count."""
        for work in self.works:
            work.since_s += gap_s
