"""A stage that makes one message of one message. Knows no framework and no broker."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from processors.custody.ports import CallPurgedError, Tombstones
from schemas.errors import InvalidMessageError
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.message import Message
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_DEAD_LETTERS, Topic
from streams.ports import Clock
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.metrics import TimedStep

log = logging.getLogger(__name__)

In = TypeVar("In", bound=Message)
Loaded = TypeVar("Loaded")
Out = TypeVar("Out", bound=Message)


def no_side_outputs(_result: object) -> Sequence[ProducerRecord]:
    """For a stage that writes its result and nothing else."""
    return ()


def untimed(_step: TimedStep) -> AbstractContextManager[None]:
    """For a stage of which nobody wants to know how long its steps take."""
    return nullcontext()


@dataclass(frozen=True)
class Stage(Generic[In, Loaded, Out]):
    """`source` → `load` → `step` → `save` → `target`.

    `load` and `save` are the only parts that may touch the outside, `step` is pure. `side_outputs` are the messages for
    other topics that follow from the result (the alerts of a judgement).
    """

    name: str
    source: Topic[In]
    load: Callable[[In], Loaded]
    step: Callable[[Loaded], Out]
    save: Callable[[Loaded, Out], None]
    target: Topic[Out]
    clock: Clock
    side_outputs: Callable[[Out], Sequence[ProducerRecord]] = no_side_outputs
    tombstones: Tombstones = NO_TOMBSTONES
    """A message of a call that has one is dropped, also where it gets one while the step works."""
    timed: Callable[[TimedStep], AbstractContextManager[None]] = untimed
    """As `WorkerMetrics.timed`."""

    def work(self, records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
        """As `handle`, for several records."""
        return [output for record in records for output in self.handle(record)]

    def handle(self, record: ConsumerRecord) -> tuple[ProducerRecord, ...]:
        """The outputs of one message: its result and what follows from it, or its one dead letter; nothing of a call
        that was destroyed.

        Raises `RetryableError` when an outside system must be asked again; any other exception is a bug.
        May block for as long as recognition takes: never call it on an event loop.
        """
        event: In | None = None
        try:
            event = self.source.read(record)
            self._refuse_purged(event)
            with self.timed("load"):
                loaded = self.load(event)
            with self.timed("step"):
                result = self.step(loaded)
            self._refuse_purged(event)
            outputs = (self.target.record(result), *self.side_outputs(result))
            with self.timed("save"):
                self.save(loaded, result)
        except CallPurgedError:
            log.info("%s: %s is dropped, its call was destroyed", self.name, record.position)
            return ()
        except InvalidMessageError as error:
            log.warning(
                "%s: %s becomes a dead letter, it can never be processed: %s",
                self.name,
                record.position,
                "; ".join(error.problems),
            )
            letter = dead_letter_for(self.name, record, event, error, self.clock.now())
            return (CALLS_DEAD_LETTERS.record(letter),)
        return outputs

    def _refuse_purged(self, event: In) -> None:
        """Raises `CallPurgedError`."""
        call = getattr(event, "tenant_id", None), getattr(event, "call_id", None)
        if isinstance(call[0], str) and isinstance(call[1], str) and self.tombstones.among([(call[0], call[1])]):
            raise CallPurgedError
