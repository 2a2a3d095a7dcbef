"""A stage: reads one topic, does one thing, writes one topic. Knows no framework and no broker."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.errors import InvalidMessageError
from schemas.messages.message import Message
from schemas.messages.topics import CALLS_DEAD_LETTERS, Topic
from streams.ports import Clock
from streams.runtime.record import ConsumerRecord, dead_letter_for

log = logging.getLogger(__name__)

In = TypeVar("In", bound=Message)
Loaded = TypeVar("Loaded")
Out = TypeVar("Out", bound=Message)


@dataclass(frozen=True)
class Output:
    """A message to be written; the source message is done once all of its outputs are acknowledged."""

    topic: str
    key: bytes
    value: bytes


def nothing_more(_result: object) -> Sequence[Output]:
    """For a stage that writes its result and nothing else."""
    return ()


@dataclass(frozen=True)
class Stage(Generic[In, Loaded, Out]):
    """`source` → `load` → `step` → `save` → `target`.

    `load` and `save` are the only parts that may touch the outside, `step` is pure. `key` gives the Kafka key
    of the result; `side_outputs` the messages for other topics that follow from it (the alerts of a judgement).
    """

    name: str
    source: Topic[In]
    load: Callable[[In], Loaded]
    step: Callable[[Loaded], Out]
    save: Callable[[Loaded, Out], None]
    key: Callable[[Out], bytes]
    target: Topic[Out]
    clock: Clock
    side_outputs: Callable[[Out], Sequence[Output]] = nothing_more

    def handle(self, raw: ConsumerRecord) -> tuple[Output, ...]:
        """The outputs of one message: its result and what follows from it, or its one dead letter.

        Raises `RetryableError` when an outside system must be asked again; any other exception is a bug.
        May block for as long as recognition takes: never call it on an event loop.
        """
        event: In | None = None
        try:
            event = self.source.decode(raw.value)
            loaded = self.load(event)
            result = self.step(loaded)
            value = result.encode()
            if len(value) > result.max_bytes:
                raise InvalidMessageError(["the result is larger than a message may be"])
            outputs = (Output(self.target.name, self.key(result), value), *self.side_outputs(result))
            self.save(loaded, result)
        except InvalidMessageError as error:
            log.warning(
                "%s: %s becomes a dead letter, it can never be processed: %s",
                self.name,
                raw.place,
                "; ".join(error.problems),
            )
            letter = dead_letter_for(self.name, raw, event, error, self.clock.now())
            return (Output(CALLS_DEAD_LETTERS.name, letter.dead_letter_id.encode(), letter.encode()),)
        return outputs

    def is_dead_letter(self, outputs: Sequence[Output]) -> bool:
        """Whether `handle` refused the message."""
        return outputs[0].topic == CALLS_DEAD_LETTERS.name
