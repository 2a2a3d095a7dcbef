"""Doing the work of a stage on one message: handle, publish, try again, give up — without any framework."""

import logging
import random
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from schemas.errors import RetryableError
from streams.runtime.record import ConsumerRecord
from streams.runtime.stage import Output, Stage

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5


class PublisherPort(Protocol):
    """Writes messages; durable when it returns. Raises `RetryableError`."""

    def publish(self, outputs: Iterable[Output]) -> None: ...


class StoppedError(Exception):
    """The worker is asked to stop; the message is not done."""


class TooManyDeadLettersError(Exception):
    """The stage refused every message for too long: then the code is wrong, not the messages."""


class BackOff:
    """Growing pauses with jitter, capped; `stop` ends a pause at once."""

    def __init__(self, max_wait_s: float, stop: threading.Event) -> None:
        self._max_wait_s = max_wait_s
        self._stop = stop
        self._next_s = FIRST_WAIT_S

    def wait(self) -> None:
        """Pause before the next try. Raises `StoppedError` when asked to stop."""
        pause_s = min(self._next_s, self._max_wait_s) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
        self._next_s = min(self._next_s * 2, self._max_wait_s)
        if self._stop.wait(pause_s):
            raise StoppedError

    def reset(self) -> None:
        """The outside system answers again."""
        self._next_s = FIRST_WAIT_S


class StageRunner:
    """Runs a stage on messages, one after the other, from one thread."""

    def __init__(
        self,
        stage: Stage[Any, Any, Any],
        publisher: PublisherPort,
        *,
        retry_max_wait_s: float,
        dead_letter_streak_limit: int,
        stop: threading.Event,
    ) -> None:
        self.stage = stage
        self._publisher = publisher
        self._retry_max_wait_s = retry_max_wait_s
        self._limit = dead_letter_streak_limit
        self._stop = stop
        self._streak = 0

    def process(self, raw: ConsumerRecord) -> None:
        """Returns when the outputs of this message are durable: only then may its offset move.

        Tries again for as long as an outside system does not answer. Raises `StoppedError` when asked to stop,
        `TooManyDeadLettersError`, and whatever bug the stage has.
        """
        outputs = self._insist(lambda: self.stage.handle(raw), raw)
        self._insist(lambda: self._publisher.publish(outputs), raw)
        if not self.stage.is_dead_letter(outputs):
            self._streak = 0
            return
        self._streak += 1
        if self._streak >= self._limit:
            raise TooManyDeadLettersError(f"{self.stage.name} refused {self._streak} messages in a row")

    def _insist(self, attempt: Callable[[], Any], raw: ConsumerRecord) -> Any:
        back_off = BackOff(self._retry_max_wait_s, self._stop)
        while True:
            try:
                return attempt()
            except RetryableError as error:
                log.warning("%s: %s waits, %s", self.stage.name, raw.place, str(error))
                back_off.wait()
