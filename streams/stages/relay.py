"""The stage `relay`: publishes what the register has in its outbox, and looks after the register.

An event is marked as sent after Kafka has acknowledged it. Killed between the two, the relay publishes it again, with
the same id; whoever counts, counts ids. A second relay does the same work again, and no harm.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from streams.adapters.register.outbox import Outbox
from streams.adapters.register.partitions import prepare_days
from streams.adapters.register.register import Register
from streams.ports import Clock, PublisherPort
from streams.runtime.loop import Loop, nothing
from streams.runtime.worker_context import WorkerContext
from streams.wiring import require_register, require_topics

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 500
MAINTAINED_EVERY = timedelta(hours=1)


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and the register."""
    settings = worker.settings
    worker.wait_for(lambda: require_topics(settings))
    register = Register.of(settings)
    worker.wait_for(lambda: require_register(register))
    relay = Relay(register, worker.publisher(), worker.clock, timedelta(days=settings.outbox_keep_days))
    loop = worker.loop(
        lambda: relay.step(worker.stop, loop.beat),
        every_s=settings.relay_every_s,
        recover=register.close,
        close=register.close,
    )
    return loop


class Relay:
    """Publishes what waits; once an hour makes the partitions of the next days and removes what was sent long ago."""

    def __init__(
        self,
        register: Register,
        publisher: PublisherPort,
        clock: Clock,
        keep: timedelta,
        at_once: int = EVENTS_AT_ONCE,
    ) -> None:
        self._register = register
        self._outbox = Outbox(register)
        self._publisher = publisher
        self._clock = clock
        self._keep = keep
        self._at_once = at_once
        self._maintained_at: datetime | None = None

    def step(self, stop: threading.Event | None = None, beat: Callable[[], None] = nothing) -> int:
        """Publish all that waits; how many events that were. `beat` is called before each part.

        Raises `RetryableError`: then the next step does what is left. Raises `OperatorError` and what the publisher
        does.
        """
        self._maintain()
        count = 0
        while stop is None or not stop.is_set():
            beat()
            events = self._outbox.waiting(self._at_once)
            if not events:
                break
            self._publisher.publish([event.record for event in events])
            self._outbox.mark_sent(events, self._clock.now())
            count += len(events)
        return count

    def _maintain(self) -> None:
        now = self._clock.now()
        if self._maintained_at is not None and now - self._maintained_at < MAINTAINED_EVERY:
            return
        prepare_days(self._register, now.date())
        pruned = 0
        while part := self._outbox.prune(now - self._keep):
            pruned += part
        if pruned:
            log.info("relay: removed %d events that were sent before %s", pruned, (now - self._keep).isoformat())
        self._maintained_at = now
