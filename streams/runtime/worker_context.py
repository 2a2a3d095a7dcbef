"""What the builder of a stage is given: settings, the clock, the request to stop, and the loops that they make."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from streams.ports import Clock, PublisherPort, WorkSource
from streams.runtime.crash_guard import CrashGuard, Quarantine
from streams.runtime.heartbeat import LONGEST_STEP_S, Pulse
from streams.runtime.loop import REFUSALS_FILE, Loop, PollWorkPublishCommit, Streak, insist, no_audio, nothing
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.pauses import Pauses
from streams.runtime.stage import Stage
from streams.runtime.watchdog import Watchdog
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
    pauses: Pauses = field(default_factory=Pauses.none)
    """A stage that is paused as a whole is stopped from outside; it need not ask about itself."""

    @cached_property
    def metrics(self) -> WorkerMetrics:
        """What this process exports."""
        return WorkerMetrics(self.stage)

    @cached_property
    def watchdog(self) -> Watchdog:
        """Knows what is under way, and how long that may take."""
        return Watchdog(self.settings.stuck_after_minutes * 60, self.pulse.monotonic_s)

    def wait_for(self, attempt: Callable[[], T]) -> T:
        """Until an outside system answers. Raises `StoppedError`, and what only a person can mend."""

        def waited(error: RetryableError) -> None:
            self.metrics.waited(error)
            self.pulse.wait()

        return insist(attempt, self.stage, self.stop, self.settings.retry_max_wait_s, waited)

    def loop(
        self,
        step: Callable[[], Any],
        *,
        every_s: float = 0,
        recover: Callable[[], None] = nothing,
        close: Callable[[], None] = nothing,
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
            waited=self.metrics.waited,
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
            waited=self.metrics.waited,
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

    def loop_of(
        self,
        stage: Stage[Any, Any, Any],
        source: WorkSource,
        audio_s_of: Callable[[ConsumerRecord], float] = no_audio,
    ) -> Loop:
        """The loop of a stage that makes one message of one message; `audio_s_of` as in `PollWorkPublishCommit`."""
        refusals = Streak(f"{stage.name} refused", self.settings.dead_letter_streak_limit, self.folder / REFUSALS_FILE)
        timed = replace(stage, timed=self.metrics.timed)
        return self.loop_of_work(timed.work, source, refusals=refusals, audio_s_of=audio_s_of)

    def loop_of_work(
        self,
        work: Callable[[Sequence[ConsumerRecord]], Sequence[ProducerRecord]],
        source: WorkSource,
        *,
        batch: int = 1,
        wait_s: float = 1.0,
        refusals: Streak | None = None,
        audio_s_of: Callable[[ConsumerRecord], float] = no_audio,
        close: Callable[[], None] | None = None,
    ) -> Loop:
        """The loop of a stage that works on batches, with guard, watchdog and metrics."""
        cycle = PollWorkPublishCommit(
            self.stage,
            source,
            work,
            self.publisher(),
            self.stop,
            self.settings.retry_max_wait_s,
            batch=batch,
            wait_s=wait_s,
            refusals=refusals,
            guard=self.guard(),
            metrics=self.metrics,
            watchdog=self.watchdog,
            audio_s_of=audio_s_of,
        )
        loop = self.loop(cycle.step, recover=cycle.recover, close=close or source.close)
        cycle.beat = loop.beat
        return loop
