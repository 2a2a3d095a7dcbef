"""Which stages are to stand still, and for which tenants, as workers ask while they run.

What is asked never waits: a thread of its own reads the register every few seconds. Where the register does not answer,
what was last known holds.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from schemas.errors import OperatorError, RetryableError
from streams.runtime.logs import describe

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0
"""A pause is known to every worker, and its end, within so long."""

PauseKind = Literal["pause", "drain"]
"""`pause`: the worker stays, idle. `drain`: it ends; one that is started stays idle."""


@dataclass(frozen=True)
class Pause:
    """A stage that is to stand still until somebody resumes it, for one tenant or, where that is "", for all."""

    stage: str
    tenant_id: str
    kind: PauseKind
    why: str
    actor: str
    since: datetime


class Pauses:
    """Safe to share between threads. Nothing is paused until `look` or `follow` has found something."""

    def __init__(self, read: Callable[[], Sequence[Pause]]) -> None:
        """`read` gives the pauses that hold. Raises `RetryableError` where nobody answers."""
        self._read = read
        self._found: tuple[Pause, ...] = ()
        self._told: str | None = None

    @classmethod
    def none(cls) -> Self:
        """Nothing is ever paused."""
        return cls(lambda: ())

    def of_stage(self, stage: str) -> Pause | None:
        """What keeps the whole stage from working; None where it may work."""
        return next((each for each in self._found if each.stage == stage and not each.tenant_id), None)

    def stage_is_paused(self, stage: str) -> bool:
        """Whether the whole stage is to stand still."""
        return self.of_stage(stage) is not None

    def paused_tenants(self, stage: str) -> frozenset[str]:
        """The tenants for whom the stage is to do nothing. None of their calls is lost: they wait."""
        return frozenset(each.tenant_id for each in self._found if each.stage == stage and each.tenant_id)

    def look(self) -> None:
        """Read them now. Raises `RetryableError`."""
        self._found = tuple(self._read())
        self._told = None

    def follow(self, stop: threading.Event) -> threading.Thread:
        """Have a thread read them every `LOOK_AGAIN_S`, until asked to stop."""
        thread = threading.Thread(target=self._follow, args=(stop,), name="pauses", daemon=True)
        thread.start()
        return thread

    def _follow(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_AGAIN_S):
            try:
                self.look()
            except (RetryableError, OperatorError) as error:
                self._tell_once(str(error))
            except Exception as error:  # the stage does not stop because of it, and a pause still holds
                self._tell_once(describe(error))

    def _tell_once(self, why: str) -> None:
        if why != self._told:
            log.warning("which stages are paused is not known anew, what was known holds: %s", why)
        self._told = why
