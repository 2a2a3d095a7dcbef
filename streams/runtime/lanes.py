"""Two sources as one: a lane that goes first, and one that is read when the first leaves room."""

from collections.abc import Sequence

from schemas.messages.records import ConsumerRecord
from streams.ports import WorkSource


class Lanes:
    """`WorkSource` out of two. The second is read after a batch of the first that was not full: the first never waits
    behind it, and it never waits for ever. A batch is of one lane."""

    def __init__(self, first: WorkSource, second: WorkSource) -> None:
        self._first = first
        self._second = second
        self._last = first
        self._second_is_next = False

    def poll(self, most: int, wait_s: float) -> Sequence[ConsumerRecord]:
        """As `WorkSource.poll`; the second lane is not waited for."""
        if self._second_is_next:
            self._second_is_next = False
            self._last = self._second
            if records := self._second.poll(most, 0):
                return records
        self._last = self._first
        records = self._first.poll(most, wait_s)
        self._second_is_next = len(records) < most
        return records

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        """In the lane that they came from."""
        self._last.commit(records)

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        """In the lane that they came from; the first is read next."""
        self._second_is_next = False
        self._last.rewind(records)

    def close(self) -> None:
        """Leave both groups."""
        self._first.close()
        self._second.close()
