"""The stage `sweep`: finishes what taking in began and did not end, whoever died where.

What is stored is announced; what was never finished is removed, with whatever lies in the store of it; what was taken
in long ago is forgotten. It needs no key: it neither seals nor opens anything. A second `sweep` does the same work
again, and no harm.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta

from processors.custody.intake import Expire, Stored
from processors.custody.ports import Tombstones
from schemas.messages.call_ended import CallEnded
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.intakes import RegisterIntakes
from streams.adapters.register.register import Register
from streams.adapters.register.tombstones import RegisterTombstones
from streams.ports import Clock, Intakes, ObjectStore, PublisherPort
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.loop import Loop
from streams.runtime.worker_context import WorkerContext
from streams.stages.take_in import announce
from streams.wiring import require_topics

log = logging.getLogger(__name__)

AT_ONCE = 500
"""As many of a kind in one round; the next one goes on."""

FORGOTTEN_AT_ONCE = 250
"""Rows; on SQLite nobody else writes meanwhile."""

FORGETS = 80
"""So many times in one round: at a round a minute, 28 million calls a day."""

LEFT_FOR = timedelta(days=1)
"""So long after it was given up may an attempt still be writing, if its process was stopped and goes on: then what it
wrote is removed once more, and forgotten."""


@dataclass(frozen=True)
class Swept:
    """How many of each kind one round saw to."""

    announced: int = 0
    given_up: int = 0
    removed: int = 0
    forgotten: int = 0


def build(worker: WorkerContext) -> Loop:
    """Waits for object store, register and Kafka; raises `StoreAccessError`."""
    settings = worker.settings
    store = object_store_from(settings)
    worker.wait_for(store.check)
    register = Register.of(settings)
    worker.wait_for(register.check)
    worker.wait_for(lambda: require_topics(settings))
    sweep = Sweep(
        store,
        RegisterIntakes(register, worker.clock),
        worker.publisher(),
        worker.clock,
        timedelta(seconds=settings.sweep_every_s),
        timedelta(days=settings.intakes_keep_days),
        RegisterTombstones(register, worker.clock),
    )
    return worker.loop(lambda: sweep.step(worker.stop), every_s=settings.sweep_every_s, close=register.close)


@dataclass(frozen=True)
class Sweep:
    """Looks at everything that is older than `after`; what is younger is still under way. What was taken in is kept
    for `keep`."""

    store: ObjectStore
    intakes: Intakes
    publisher: PublisherPort
    clock: Clock
    after: timedelta
    keep: timedelta
    tombstones: Tombstones = NO_TOMBSTONES

    def step(self, stop: threading.Event | None = None) -> Swept:
        """One round. Raises `RetryableError` and `OperatorError`: then the next round does what is left."""
        stop = stop or threading.Event()
        swept = Swept(self._announce(stop), self._give_up(stop), self._remove(stop), self._forget(stop))
        if swept.announced or swept.given_up or swept.removed:
            log.warning(
                "sweep: %d call(s) announced that were stored, %d upload(s) given up, %d object(s) removed",
                swept.announced,
                swept.given_up,
                swept.removed,
            )
        return swept

    def _announce(self, stop: threading.Event) -> int:
        count = 0
        for row in self.intakes.unannounced(self.clock.now() - self.after, AT_ONCE):
            if stop.is_set():
                break
            if isinstance(row.state, Stored) and not self.tombstones.among([(row.tenant_id, row.call_id)]):
                announce(self.intakes, self.publisher, self.clock, CallEnded.decode(row.state.event))
                count += 1
        return count

    def _give_up(self, stop: threading.Event) -> int:
        count = 0
        for row in self.intakes.expired(self.clock.now(), AT_ONCE):
            if stop.is_set():
                break
            self.intakes.tell(row.tenant_id, row.call_id, Expire(self.clock.now()))
            count += 1
        return count

    def _remove(self, stop: threading.Event) -> int:
        """Twice: soon, and when surely nobody is writing it any more."""
        count = 0
        for removed, age in ((False, self.after), (True, LEFT_FOR)):
            for key in self.intakes.leftovers(self.clock.now() - age, AT_ONCE, removed=removed):
                if stop.is_set():
                    break
                self.store.delete(key)
                self.intakes.was_removed(key, for_good=removed)
                count += not removed
        return count

    def _forget(self, stop: threading.Event) -> int:
        count = 0
        for _ in range(FORGETS):
            if stop.is_set():
                break
            forgotten = self.intakes.forget(self.clock.now() - self.keep, FORGOTTEN_AT_ONCE)
            count += forgotten
            if forgotten < FORGOTTEN_AT_ONCE:
                break
        return count
