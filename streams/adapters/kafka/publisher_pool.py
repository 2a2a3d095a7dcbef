"""Publishers for threads that publish at the same time."""

from collections.abc import Callable, Iterable
from queue import LifoQueue

from schemas.messages.records import ProducerRecord
from streams.ports import PublisherPort


class PublisherPool:
    """One publisher for each of several threads; more threads wait. Publishers are made when they are needed.

    A `Publisher` belongs to one thread at a time: it waits for all that its producer has under way, and so would take
    the end of another thread's message for that of its own.
    """

    def __init__(self, make: Callable[[], PublisherPort], most: int = 4) -> None:
        self._make = make
        self._idle: LifoQueue[PublisherPort | None] = LifoQueue()
        for _ in range(most):
            self._idle.put(None)

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        """See `PublisherPort.publish`."""
        publisher = self._idle.get()
        try:
            if publisher is None:
                publisher = self._make()
            publisher.publish(records)
        finally:
            self._idle.put(publisher)
