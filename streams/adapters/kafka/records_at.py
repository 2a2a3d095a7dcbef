"""Records at places that somebody names, and what `store` has not read yet of a topic; outside of any group."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from confluent_kafka import TopicPartition

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord
from streams.adapters.kafka.client import ASK_WITHIN_S, READ_WITHIN_S, asking, lags, partitions_of
from streams.adapters.kafka.fetcher import Fetcher
from streams.ports import Place
from streams.settings import Settings

PASSED_OVER = 200
"""So many records are rather read and dropped than sought behind: a seek costs a round to the broker."""

RecordAt = tuple[str, int, int]
"""Topic, partition, offset."""


class RecordsAt:
    """For one thread; one connection for as long as it is open."""

    def __init__(self, settings: Settings) -> None:
        """Asks nobody yet."""
        self._settings = settings
        self._fetcher = Fetcher(settings)
        self._bounds: dict[Place, tuple[int, int]] = {}

    def read(self, wanted: Collection[RecordAt]) -> dict[RecordAt, ConsumerRecord]:
        """Those that are there; a place that retention has passed, or that never was, is not in it.

        Raises `RetryableError` and `KafkaAccessError`.
        """
        by_place: dict[Place, list[int]] = defaultdict(list)
        for topic, partition, offset in sorted(set(wanted)):
            by_place[topic, partition].append(offset)
        self._learn_bounds(by_place)
        found: dict[RecordAt, ConsumerRecord] = {}
        for place, offsets in by_place.items():
            low, high = self._bounds.get(place, (0, 0))
            there = [offset for offset in offsets if low <= offset < high]
            if there:
                found.update({(*place, record.offset): record for record in self._of_partition(place, there)})
        return found

    def _of_partition(self, place: Place, offsets: list[int]) -> Iterator[ConsumerRecord]:
        missing = set(offsets)
        self._fetcher.assign({place: offsets[0]})
        deadline_s = time.monotonic() + READ_WITHIN_S
        while missing:
            records = self._fetcher.take(PASSED_OVER, 0.5)
            for record in records:
                if record.offset in missing:
                    missing.discard(record.offset)
                    yield record
            following = self._fetcher.position(place)
            if records:
                deadline_s = time.monotonic() + READ_WITHIN_S
            elif time.monotonic() > deadline_s:
                raise RetryableError("Kafka did not answer with the records in time")
            if following is None:
                continue
            # What was passed is not there: deleted meanwhile, or the marker of a transaction.
            missing = {offset for offset in missing if offset >= following}
            if missing and min(missing) > following + PASSED_OVER:
                self._fetcher.seek(place, min(missing))

    def _learn_bounds(self, places: Collection[Place]) -> None:
        """Anew for each question: retention may have passed since."""
        with asking(self._settings) as consumer:
            for topic in {topic for topic, _ in places}:
                known = {place.partition for place in partitions_of(consumer, topic)}
                for place in [each for each in places if each[0] == topic]:
                    if place[1] in known:
                        self._bounds[place] = consumer.get_watermark_offsets(
                            TopicPartition(*place), timeout=ASK_WITHIN_S
                        )

    def close(self) -> None:
        """Let go of the connection."""
        self._fetcher.close()


@contextmanager
def records_at(settings: Settings) -> Iterator[RecordsAt]:
    """Closed at the end."""
    reader = RecordsAt(settings)
    try:
        yield reader
    finally:
        reader.close()


def not_yet_read(settings: Settings, group: str, topic: str) -> Iterator[ConsumerRecord]:
    """What stands in the topic and the group has not committed. Raises `RetryableError` and `KafkaAccessError`."""
    (lag,) = lags(settings, {group: (topic,)})
    ends, first = dict(lag.ends), dict(lag.unread)
    fetcher = Fetcher(settings)
    try:
        fetcher.assign({(topic, partition): offset for partition, offset in first.items()})
        deadline_s = time.monotonic() + READ_WITHIN_S
        ahead = set(first)
        while ahead:
            records = fetcher.take(1_000, 0.5)
            yield from (record for record in records if record.offset < ends[record.partition])
            ahead = {each for each in ahead if (fetcher.position((topic, each)) or 0) < ends[each]}
            if records:
                deadline_s = time.monotonic() + READ_WITHIN_S
            elif ahead and time.monotonic() > deadline_s:
                raise RetryableError("Kafka did not reach the end of a topic in time")
    finally:
        fetcher.close()
