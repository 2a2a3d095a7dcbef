"""Publishers for threads that publish at the same time."""

from collections.abc import Callable, Iterable
from queue import LifoQueue

from schemas.messages.records import ProducerRecord
from streams.ports import PublisherPort


class PublisherPool:
    """One publisher for each of several threads; more threads wait.

    A `Publisher` belongs to one thread at a time: it waits for all that its producer has under way, and so would take
    the end of another thread's message for that of its own. All are made at once: connecting takes a producer up to a
    second, which the first that publishes would wait for.
    """

    def __init__(self, make: Callable[[], PublisherPort], most: int = 4) -> None:
        self._idle: LifoQueue[PublisherPort] = LifoQueue()
        for _ in range(most):
            self._idle.put(make())

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        """See `PublisherPort.publish`."""
        publisher = self._idle.get()
        try:
            publisher.publish(records)
        finally:
            self._idle.put(publisher)
