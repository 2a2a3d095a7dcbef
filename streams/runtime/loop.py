"""How every stage runs: step, try again, pause, stop — written once, and without any framework.

A stage that reads a topic runs `PollWorkPublishCommit` as its step; one that asks a database runs its question. Around
the step is the same `Loop`.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS
from streams.ports import PublisherPort, WorkSource
from streams.runtime.logs import describe

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT_S = 0.5


class StoppedError(Exception):
    """The worker is asked to stop; what it was about to do is not done."""


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


def insist(attempt: Callable[[], T], what_waits: str, stop: threading.Event, max_wait_s: float) -> T:
    """The result of the attempt, made again for as long as an outside system does not answer.

    Raises `StoppedError` when asked to stop, and whatever else the attempt raises.
    """
    back_off = BackOff(max_wait_s, stop)
    while True:
        try:
            return attempt()
        except RetryableError as error:
            log.warning("%s waits: %s", what_waits, str(error))
            back_off.wait()


class Runnable(Protocol):
    """What the builder of a stage returns."""

    def run(self) -> None:
        """Until the worker is asked to stop. Whatever it raises is a bug, or needs a person."""
        ...


def nothing() -> None:
    """Nothing has to be done."""


@dataclass
class Loop:
    """Steps, one after the other, until asked to stop.

    A step that raises `RetryableError` is made again after a growing pause; `recover` puts things right before that.
    A step that went well is followed by a pause of `every_s`, and ends the growing of the pauses.
    """

    name: str
    step: Callable[[], object]
    stop: threading.Event
    max_wait_s: float
    every_s: float = 0
    recover: Callable[[], None] = nothing
    close: Callable[[], None] = nothing
    """Called once, in the thread of the loop, however it ends."""
    survives_bugs: bool = False
    """For a loop beside others, which must not stop with it: a bug is logged, and the step is made again."""
    beat: Callable[[], None] = nothing
    """Called before each step: the loop moves."""

    def run(self) -> None:
        """As `Runnable.run`."""
        back_off = BackOff(self.max_wait_s, self.stop)
        try:
            with suppress(StoppedError):
                while not self.stop.is_set():
                    self.beat()
                    if self._step():
                        back_off.reset()
                        self.stop.wait(self.every_s)
                    else:
                        back_off.wait()
        finally:
            self.close()

    def _step(self) -> bool:
        """Whether it went well; if not, the next one may be tried after a pause."""
        try:
            self.step()
        except RetryableError as error:
            log.warning("%s waits: %s", self.name, str(error))
        except StoppedError:
            raise
        except Exception as error:
            if not self.survives_bugs:
                raise
            log.critical("%s begins again after a bug: %s", self.name, describe(error))
        else:
            return True
        self.recover()
        return False


@dataclass
class DeadLetterBreaker:
    """Stops a stage that refuses everything. One message that is taken ends the streak."""

    stage: str
    limit: int
    _streak: int = field(default=0, init=False)

    def count(self, records: Sequence[ConsumerRecord], outputs: Sequence[ProducerRecord]) -> None:
        """What became of a batch. Raises `TooManyDeadLettersError`."""
        refused = sum(output.topic == CALLS_DEAD_LETTERS.name for output in outputs)
        self._streak = self._streak + refused if refused == len(records) else 0
        if self._streak >= self.limit:
            raise TooManyDeadLettersError(f"{self.stage} refused {self._streak} messages in a row")


@dataclass
class PollWorkPublishCommit:
    """The step of a stage that reads topics: offsets move only once every output is durable.

    `work` turns records into what is to be written. It is not repeated because a broker does not answer: recognising a
    call again would cost minutes.
    """

    name: str
    source: WorkSource
    work: Callable[[Sequence[ConsumerRecord]], Sequence[ProducerRecord]]
    publisher: PublisherPort
    stop: threading.Event
    max_wait_s: float
    batch: int = 1
    wait_s: float = 1.0
    breaker: DeadLetterBreaker | None = None
    _records: Sequence[ConsumerRecord] = field(default=(), init=False, repr=False)

    def step(self) -> None:
        """Raises `RetryableError`, `StoppedError`, `TooManyDeadLettersError`, and whatever bug the stage has."""
        self._records = self.source.poll(self.batch, self.wait_s)
        if not self._records:
            return
        try:
            outputs = self.work(self._records)
        except RetryableError as error:
            raise RetryableError(f"{_named(self._records)}, {error}") from None
        except StoppedError:
            raise
        except Exception:
            log.critical("%s: stopped at %s", self.name, self._records[0].position)
            raise
        if outputs:
            insist(lambda: self.publisher.publish(outputs), self.name, self.stop, self.max_wait_s)
        if self.breaker is not None:
            self.breaker.count(self._records, outputs)
        self.source.commit(self._records)
        self._records = ()

    def recover(self) -> None:
        """What was read and not committed is read again."""
        self.source.rewind(self._records)
        self._records = ()


def _named(records: Sequence[ConsumerRecord]) -> str:
    return records[0].position if len(records) == 1 else f"{len(records)} messages"


def in_own_thread(loop: Loop) -> threading.Thread:
    """The loop, started beside the others of its process."""
    thread = threading.Thread(target=loop.run, name=loop.name, daemon=True)
    thread.start()
    return thread
