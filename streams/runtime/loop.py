"""How every stage runs: step, try again, pause, stop — written once, and without any framework.

A stage that reads a topic runs `PollWorkPublishCommit` as its step; one that asks a database runs its question. Around
the step is the same `Loop`.
"""

import logging
import math
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from schemas.errors import InvalidMessageError, OperatorError, RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord, call_of_key
from schemas.messages.topics import CALLS_DEAD_LETTERS
from streams.ports import PublisherPort, WorkSource
from streams.runtime import tracing
from streams.runtime.crash_guard import CrashGuard
from streams.runtime.logs import at_records, describe
from streams.runtime.metrics import WorkerMetrics
from streams.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT_S = 0.5

EXIT_BREAKER = 6
"""Of a worker that stopped itself because nothing went right; it is not to be started again by itself."""


class StoppedError(Exception):
    """The worker is asked to stop; what it was about to do is not done."""


class RetryLaterError(RetryableError):
    """Of records that are read again; their metrics are counted."""


def no_audio(_record: ConsumerRecord) -> float:
    """0: for a stage that hears nothing."""
    return 0


class TooManyFailuresError(OperatorError):
    """Nothing went right for too long: then the code, the settings or the producer is wrong, not single messages.

    A person must look; starting again would refuse the next ones.
    """

    exit_code = EXIT_BREAKER


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


def nothing() -> None:
    """Nothing has to be done."""


def nothing_of(_error: RetryableError) -> None:
    """Nothing has to be done about it."""


def insist(
    attempt: Callable[[], T],
    what_waits: str,
    stop: threading.Event,
    max_wait_s: float,
    waited: Callable[[RetryableError], None] = nothing_of,
) -> T:
    """The result of the attempt, made again for as long as an outside system does not answer; `waited` hears of each
    time that it did not.

    Raises `StoppedError` when asked to stop, and whatever else the attempt raises.
    """
    back_off = BackOff(max_wait_s, stop)
    while True:
        try:
            return attempt()
        except RetryableError as error:
            log.warning("%s waits: %s", what_waits, str(error))
            waited(error)
            back_off.wait()


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
    waited: Callable[[RetryableError], None] = nothing_of
    """Called when a step ended because an outside system did not answer."""

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
            if not isinstance(error, RetryLaterError):
                self.waited(error)
        except StoppedError:
            raise
        except OperatorError as error:
            if not self.survives_bugs:
                raise
            log.critical("%s: %s", self.name, str(error))
        except Exception as error:
            if not self.survives_bugs:
                raise
            log.critical("%s begins again after a bug: %s", self.name, describe(error))
        else:
            return True
        self.recover()
        return False


@dataclass
class Streak:
    """Counts what went wrong in a row, and breaks where nothing goes right any more.

    With a `file` the count survives the process: one that is started again for ever would refuse a whole topic.
    """

    what: str
    limit: int
    file: Path | None = None
    _length: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.file is not None:
            self._length = _number_in(self.file)

    def count(self, more: int = 1) -> None:
        """Once more. Raises `TooManyFailuresError`."""
        self._set(self._length + more)
        if self._length >= self.limit:
            raise TooManyFailuresError(
                f"{self.what} {self._length} messages in a row: look at `callstream status` and mend what they have in"
                " common; after that the first message that goes right ends the count"
            )

    def reset(self) -> None:
        """Something went right."""
        if self._length:
            self._set(0)

    def _set(self, length: int) -> None:
        self._length = length
        if self.file is None:
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.file.write_text(f"{length}\n", encoding="utf-8")
        except OSError as error:
            # The count of this process goes on; only one that is started again would begin from what the file says.
            log.warning("%s cannot be written: %s", self.file, error.strerror)


def _number_in(file: Path) -> int:
    """0 where nothing stands there that is a number, or nothing can be read."""
    with suppress(OSError, ValueError):  # of thousands of digits Python makes no number
        text = file.read_text(encoding="utf-8", errors="replace").strip()
        return int(text) if text.isdecimal() else 0
    return 0


REFUSALS_FILE = "refusals"
"""In the folder of a stage: how many messages it has refused in a row."""


def refused_in_a_row(folder: Path) -> int:
    """By the stage of that folder, on this machine; 0 where the last one went right."""
    return _number_in(folder / REFUSALS_FILE)


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
    refusals: Streak | None = None
    """Counts messages that become dead letters; None: any number may."""
    guard: CrashGuard | None = None
    metrics: WorkerMetrics = field(default_factory=lambda: WorkerMetrics(""))
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(math.inf))
    """Knows how long the records under way may take; what takes longer hangs, and the worker ends itself."""
    audio_s_of: Callable[[ConsumerRecord], float] = no_audio
    """How many seconds of audio come with a record, where the stage hears them."""
    beat: Callable[[], None] = nothing
    """Called whenever it has come a step further, or has waited for an outside system."""
    _records: Sequence[ConsumerRecord] = field(default=(), init=False, repr=False)

    def step(self) -> None:
        """Raises `RetryableError`, `StoppedError`, `TooManyFailuresError`, and whatever bug the stage has."""
        self._records = self.source.poll(self.batch, self.wait_s)
        if not self._records:
            return
        for part in self.guard.parts(self._records) if self.guard is not None else [self._records]:
            self._finish(part)
        with self.metrics.timed("commit"):
            self.source.commit(self._records)
        self._records = ()

    def _finish(self, records: Sequence[ConsumerRecord]) -> None:
        """Everything that comes of them is durable when this returns."""
        audio_s = sum(self.audio_s_of(record) for record in records)
        try:
            with (
                at_records(records),
                self.watchdog.watching(_named(records), audio_s),
                self.metrics.timed("work"),
                tracing.working(self.name, records) as span,
            ):
                outputs: Sequence[ProducerRecord] = span.marked(self._outputs_of(records))
        finally:
            self.beat()  # after an hour at a call it is not late
        if outputs:
            with self.metrics.timed("publish"):
                outputs = self._published(records, outputs)
        self.metrics.worked(records, outputs)
        self._count(records, outputs)
        if self.guard is not None:
            self.guard.leave()

    def _published(
        self, records: Sequence[ConsumerRecord], outputs: Sequence[ProducerRecord]
    ) -> Sequence[ProducerRecord]:
        """What was written: these, or the dead letter of a record whose outputs can never be."""
        try:
            self._insist_on_writing(outputs)
        except InvalidMessageError as error:
            if self.guard is None or len(records) > 1:
                raise
            log.error("%s: %s becomes a dead letter: %s", self.name, _named(records), error)
            letter = self.guard.letter_of(records[0], error)
            self._insist_on_writing((letter,))
            return (letter,)
        return outputs

    def _insist_on_writing(self, outputs: Sequence[ProducerRecord]) -> None:
        insist(lambda: self.publisher.publish(outputs), self.name, self.stop, self.max_wait_s, self._waited)

    def _waited(self, error: RetryableError) -> None:
        self.metrics.waited(error)
        self.beat()  # a broker that is away is no hang

    def _outputs_of(self, records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
        try:
            if self.guard is not None and (letters := self.guard.enter(records)):
                return letters
            return self.work(records)
        except RetryableError as error:
            if self.guard is not None:
                self.guard.leave()
            self.metrics.retried(records, error)
            raise RetryLaterError(f"{_named(records)}, {error}") from None
        except StoppedError:
            raise
        except OperatorError:
            if self.guard is not None:
                self.guard.leave()  # the installation is wrong, and no record is to blame
            raise
        except Exception:
            log.critical("%s: stopped at %s", self.name, _named(records))
            raise

    def _count(self, records: Sequence[ConsumerRecord], outputs: Sequence[ProducerRecord]) -> None:
        if self.refusals is None:
            return
        refused = sum(output.topic == CALLS_DEAD_LETTERS.name for output in outputs)
        if refused == len(records):
            self.refusals.count(refused)
        else:
            self.refusals.reset()

    def recover(self) -> None:
        """What was read and not committed is read again."""
        self.source.rewind(self._records)
        self._records = ()


def _named(records: Sequence[ConsumerRecord]) -> str:
    """Of one record, its position and call, where its key tells it: whoever reads the log can look at it."""
    if len(records) > 1:
        return f"{len(records)} messages"
    call = call_of_key(records[0].key)
    return records[0].position + (f" (call {'/'.join(call)})" if call else "")


def in_own_thread(loop: Loop) -> threading.Thread:
    """The loop, started beside the others of its process."""
    thread = threading.Thread(target=loop.run, name=loop.name, daemon=True)
    thread.start()
    return thread
