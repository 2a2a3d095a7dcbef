"""Whether a worker lives, has started and is ready: three questions with three answers.

* **It lives** while its loops come round: a call under way may take its time, and a system that is away is no hang.
  Nothing outside is asked, or a broker that restarts would have every worker killed.
* **It has started** once its models are loaded and its stage is built.
* **It is ready** when it has started and every system that it asks answers. They are asked in the background, each in
  a thread of its own, so that one that hangs holds up neither the others nor an answer.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.errors import OperatorError, RetryableError
from streams.runtime.heartbeat import Pulse
from streams.runtime.logs import describe
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

ASK_EVERY_S = 10.0
ANSWER_WITHIN_S = 15.0
"""A question that has been open for longer counts as not answered."""

Check = Callable[[], None]
"""Asks a system, with a limit of time of its own. Raises where it does not answer, or refuses us."""


@dataclass
class _Asked:
    check: Check
    began_s: float | None = None
    """Since when a question is open."""
    problem: str = "it has not been asked yet"


class Readiness:
    """Asks systems, by name, until `stop` is set."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        stop: threading.Event,
        monotonic_s: Callable[[], float] = time.monotonic,
        every_s: float = ASK_EVERY_S,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self._asked = {system: _Asked(check) for system, check in checks.items()}
        self._stop = stop
        self._monotonic_s = monotonic_s
        self._every_s = every_s
        self._answer_within_s = answer_within_s

    def start(self) -> None:
        """Ask from now on."""
        for system, asked in self._asked.items():
            threading.Thread(target=self._ask, args=(asked,), name=f"is {system} there", daemon=True).start()

    def problems(self) -> dict[str, str]:
        """Every system → what keeps it from answering, empty where it does."""
        now_s = self._monotonic_s()
        late = {
            system
            for system, asked in self._asked.items()
            if (began_s := asked.began_s) is not None and now_s - began_s > self._answer_within_s
        }
        return {
            system: f"no answer within {self._answer_within_s:.0f} s" if system in late else asked.problem
            for system, asked in self._asked.items()
        }

    def _ask(self, asked: _Asked) -> None:
        while not self._stop.is_set():
            asked.began_s = self._monotonic_s()
            asked.problem = _problem_of(asked.check)
            asked.began_s = None
            self._stop.wait(self._every_s)


def _problem_of(check: Check) -> str:
    try:
        check()
    except (OperatorError, RetryableError) as error:
        return str(error)
    except Exception as error:  # a bug of the check stops nobody's work
        log.warning("a check of what the worker asks failed: %s", describe(error))
        return type(error).__name__
    return ""


@dataclass
class WorkerHealth:
    """Of one worker process. Each answer is the list of what stands against it, empty where nothing does."""

    stage: str
    pulse: Pulse
    watchdog: Watchdog
    metrics: WorkerMetrics
    readiness: Readiness
    has_started: threading.Event = field(default_factory=threading.Event)

    def against_living(self) -> list[str]:
        """What hangs: loops, and what the worker is at."""
        loops = self.pulse.overdue(self.stage, self.watchdog.due_s())
        record = self.watchdog.overdue()
        return [*(f"{loop} does not come round" for loop in loops), *([f"it hangs on {record}"] if record else [])]

    def against_having_started(self) -> list[str]:
        """That it has not."""
        return [] if self.has_started.is_set() else ["it has not started yet"]

    def against_being_ready(self) -> list[str]:
        """Systems that do not answer, with why, or that it has not started."""
        away = [f"{system}: {problem}" for system, problem in self.readiness.problems().items() if problem]
        return [*self.against_having_started(), *away]

    def export(self) -> None:
        """Into the metrics, as it is now."""
        problems = self.readiness.problems()
        self.metrics.systems(
            {system: not problem for system, problem in problems.items()}, is_ready=self._is_ready(problems)
        )
        from_monotonic_s = time.time() - self.pulse.monotonic_s()
        due_s = self.pulse.due_s(self.stage, self.watchdog.due_s())
        moved = [({"loop": loop.name}, loop.last_s + from_monotonic_s) for loop in self.pulse.loops]
        due = [({"loop": name}, at_s + from_monotonic_s) for name, at_s in due_s.items()]
        self.metrics.measured("callstream_loop_moved_timestamp_seconds", moved)
        self.metrics.measured("callstream_loop_due_timestamp_seconds", due)

    def away(self) -> list[str]:
        """Systems that do not answer, by name."""
        return [system for system, problem in self.readiness.problems().items() if problem]

    def _is_ready(self, problems: Mapping[str, str]) -> bool:
        return self.has_started.is_set() and not any(problems.values())
