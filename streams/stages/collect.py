"""The stage `collect`: recordings that telephony leaves in a folder or a bucket are taken in, and removed from there.

Killed anywhere, it loses and doubles nothing: what was not removed is taken in once more, which is the same call.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from processors.custody.intake import IntakeBusyError, IntakeConflictError, IntakeSource, LeaseLostError
from processors.telephony.file_facts import FileFacts
from schemas.errors import InvalidCallError
from streams.adapters.inbox.arrival import Arrival, Inbox, StillWrittenError, UnreadableError
from streams.ports import Clock
from streams.stages.take_in import TakenIn, TooLargeError

log = logging.getLogger(__name__)

REFUSALS = (InvalidCallError, TooLargeError, IntakeConflictError, UnreadableError)
"""What is wrong with a recording, and not with us: it is put aside. All else is tried again, or stops the worker."""

LATER = (StillWrittenError, IntakeBusyError, LeaseLostError)
"""Of one recording: the others go on."""


class TakesIn(Protocol):
    """`streams.stages.take_in.TakeIn`, or what stands for it."""

    def take_in(
        self,
        facts: Mapping[str, Any],
        chunks: Iterable[bytes],
        *,
        extension: str,
        source: IntakeSource,
        received_at: Callable[[], datetime] | None = None,
    ) -> TakenIn: ...


@dataclass(frozen=True)
class Collected:
    """What one look came to."""

    taken_in: int = 0
    again: int = 0
    """Were taken in before, and not removed."""
    refused: int = 0
    later: int = 0


@dataclass(frozen=True)
class Collect:
    """Takes in what lies in inboxes."""

    inboxes: Sequence[tuple[IntakeSource, Inbox]]
    facts: FileFacts
    take_in: TakesIn
    clock: Clock
    max_bytes: int

    def step(self, stop: threading.Event | None = None, beat: Callable[[], None] = lambda: None) -> Collected:
        """One look at all. Raises `RetryableError` and `OperatorError`: then the next look does what is left."""
        stop = stop or threading.Event()
        counts = {"taken_in": 0, "again": 0, "refused": 0, "later": 0}
        for source, inbox in self.inboxes:
            for arrival in inbox.arrivals():
                if stop.is_set():
                    return Collected(**counts)
                beat()
                counts[self._one(source, arrival)] += 1
        collected = Collected(**counts)
        if collected != Collected():
            log.info(
                "collect: %d recording(s) taken in, %d once more, %d refused, %d left for later",
                *(collected.taken_in, collected.again, collected.refused, collected.later),
            )
        return collected

    def _one(self, source: IntakeSource, arrival: Arrival) -> str:
        """Names of files are not logged: they may hold phone numbers."""
        try:
            if arrival.size_bytes > self.max_bytes:
                raise TooLargeError(f"it has more than {self.max_bytes} bytes (intake_max_bytes)")
            facts = self.facts.of(arrival.name, arrival.side, arrival.written_at)
            # A clock of the writer that is ahead would make capturing end before it began.
            written_at = min(arrival.written_at, self.clock.now())
            taken = self.take_in.take_in(
                facts,
                arrival.chunks(),
                extension=_extension_of(arrival.name),
                source=source,
                received_at=lambda: written_at,
            )
        except REFUSALS as error:
            log.warning("collect: a recording is refused: %s", error)
            arrival.refuse(str(error))
            return "refused"
        except LATER as error:
            log.info("collect: a recording is left for later: %s", error)
            return "later"
        arrival.finish()
        return "taken_in" if taken.created else "again"


def _extension_of(name: str) -> str:
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    return ending if ending.isascii() and ending.isalnum() and len(ending) <= 8 else "bin"


def usual_facts(text: str) -> dict[str, Any]:
    """What holds for every recording, as JSON. Raises `InvalidCallError`."""
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise InvalidCallError("collect_usual_file must hold one JSON object with fields of the call")
    return facts
