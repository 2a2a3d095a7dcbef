"""Publishers for threads that publish at the same time."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.errors import RetryableError
from schemas.messages.records import ProducerRecord
from streams.adapters.kafka.publisher_pool import PublisherPool
from streams.adapters.memory.broker import MemoryBroker


class OneThreadAtATime:
    """A publisher that notices two threads in it."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._busy = threading.Lock()

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        assert self._busy.acquire(blocking=False), "another thread is publishing with it"
        try:
            self._broker.publish(outputs)
        finally:
            self._busy.release()


def test_no_publisher_is_used_by_two_threads_and_nothing_is_lost() -> None:
    broker, made = MemoryBroker(), list[OneThreadAtATime]()

    def make() -> OneThreadAtATime:
        made.append(OneThreadAtATime(broker))
        return made[-1]

    pool = PublisherPool(make, most=3)
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda n: pool.publish([ProducerRecord("t", b"k", str(n).encode())]), range(300)))
    assert {record.value for record in broker.records["t"]} == {str(n).encode() for n in range(300)}
    assert 1 <= len(made) <= 3


def test_a_publisher_that_fails_is_used_again() -> None:
    class Fails:
        def publish(self, outputs: Iterable[ProducerRecord]) -> None:
            raise RetryableError(f"{len(list(outputs))} not taken")

    pool = PublisherPool(Fails, most=1)
    for _ in range(3):
        with pytest.raises(RetryableError):
            pool.publish([])
