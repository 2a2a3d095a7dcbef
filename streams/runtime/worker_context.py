"""What the builder of a stage is given: settings, the clock, the request to stop, and the loops that they make."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from streams.ports import Clock, PublisherPort, WorkSource
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.heartbeat import LONGEST_STEP_S, Pulse
from streams.runtime.loop import REFUSALS_FILE, Loop, PollWorkPublishCommit, Streak, insist, no_answer, nothing
from streams.runtime.stage import Stage
from streams.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class WorkerContext:
    """One worker process on its way up."""

    stage: str
    settings: Settings
    clock: Clock
    publisher: Callable[[], PublisherPort]
    stop: threading.Event = field(default_factory=threading.Event)
    pulse: Pulse = field(default_factory=Pulse)

    def wait_for(self, attempt: Callable[[], T]) -> T:
        """Until an outside system answers. Raises `StoppedError`, and what only a person can mend."""
        return insist(attempt, self.stage, self.stop, self.settings.retry_max_wait_s)

    def loop(
        self,
        step: Callable[[], Any],
        *,
        every_s: float = 0,
        recover: Callable[[], None] = nothing,
        close: Callable[[], None] = nothing,
        hangs_on: Callable[[], str | None] = no_answer,
        longest_step_s: float = LONGEST_STEP_S,
    ) -> Loop:
        """A loop with the pauses of the settings, whose beats are seen.

        `longest_step_s`: how long a step may take between two beats while no record is under way.
        """
        pulse = self.pulse.of_loop(self.stage, every_s + 2 * self.settings.retry_max_wait_s + longest_step_s)
        return Loop(
            self.stage,
            step,
            self.stop,
            self.settings.retry_max_wait_s,
            every_s=every_s,
            recover=recover,
            close=close,
            beat=lambda: self.pulse.beat(pulse),
            hangs_on=hangs_on,
        )

    def loop_beside(
        self, what: str, step: Callable[[], Any], *, every_s: float, longest_step_s: float = LONGEST_STEP_S
    ) -> Loop:
        """One more loop of this process, for a thread of its own. Its beats are seen, too; a bug does not end it."""
        name = f"{self.stage}: {what}"
        pulse = self.pulse.of_loop(name, every_s + 2 * self.settings.retry_max_wait_s + longest_step_s)
        return Loop(
            name,
            step,
            self.stop,
            self.settings.retry_max_wait_s,
            every_s=every_s,
            survives_bugs=True,
            beat=lambda: self.pulse.beat(pulse),
        )

    @property
    def folder(self) -> Path:
        """What this stage remembers on this machine."""
        return self.settings.data_dir / "workers" / self.stage

    def forget_what_is_under_way(self) -> None:
        """The process ends in good order in the middle of a record, which has done nothing wrong."""
        CrashGuard.forget_own(Quarantine.of_stage(self.settings.data_dir, self.stage))

    def guard(self) -> CrashGuard:
        """What finds out records that end the process."""
        quarantine = Quarantine.of_stage(self.settings.data_dir, self.stage)
        return self.wait_for(lambda: CrashGuard(self.stage, quarantine, self.clock))

    def loop_of(self, stage: Stage[Any, Any, Any], source: WorkSource) -> Loop:
        """The loop of a stage that makes one message of one message."""
        cycle = PollWorkPublishCommit(
            stage.name,
            source,
            stage.work,
            self.publisher(),
            self.stop,
            self.settings.retry_max_wait_s,
            refusals=Streak(
                f"{stage.name} refused", self.settings.dead_letter_streak_limit, self.folder / REFUSALS_FILE
            ),
            guard=self.guard(),
            longest_work_s=self.settings.stuck_after_minutes * 60,
        )
        return self.loop(cycle.step, recover=cycle.recover, close=source.close, hangs_on=cycle.hangs_on)
