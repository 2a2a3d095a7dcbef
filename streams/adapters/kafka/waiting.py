"""Since when the oldest record waits that a consumer group has not finished."""

import time
from collections.abc import Iterable
from datetime import datetime

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.client import GROUP_PREFIX, Lag, client_config, consumer_record, failure
from streams.settings import Settings

READ_WITHIN_S = 10.0
_READ_AHEAD_KB = 1_024
"""Of each partition one record is read; a broker gives a whole batch at least."""

Place = tuple[str, int]
"""Topic and partition."""


def oldest_unread(settings: Settings, lags: Iterable[Lag]) -> dict[tuple[str, str], datetime]:
    """Group and topic → when the oldest record was written that the group has not finished.

    Written is what the broker says (`LogAppendTime`). Groups that have finished everything are not in it, nor those
    for which no record could be read within `READ_WITHIN_S`. Raises `RetryableError` and `KafkaAccessError`.
    """
    lags = list(lags)
    moments = _written_at(settings, {(lag.topic, *unread) for lag in lags for unread in lag.unread})
    oldest: dict[tuple[str, str], datetime] = {}
    for lag in lags:
        found = [moments[lag.topic, *unread] for unread in lag.unread if (lag.topic, *unread) in moments]
        if found:
            oldest[lag.stage, lag.topic] = min(found)
    return oldest


def _written_at(settings: Settings, wanted: set[tuple[str, int, int]]) -> dict[tuple[str, int, int], datetime]:
    """Topic, partition and offset → when that record, or where it was compacted away the next one, was written.

    A partition can be read in one place at a time: where groups stand at different ones, in one round after another.
    """
    left: dict[Place, list[int]] = {}
    for topic, partition, offset in sorted(wanted, reverse=True):
        left.setdefault((topic, partition), []).append(offset)
    moments: dict[tuple[str, int, int], datetime] = {}
    if not left:
        return moments
    ends_at_s = time.monotonic() + READ_WITHIN_S
    probe = Consumer(
        client_config(settings)
        | {
            "group.id": GROUP_PREFIX + "status",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.min.messages": 1,
            "queued.max.messages.kbytes": _READ_AHEAD_KB,
        }
    )
    try:
        while left and time.monotonic() < ends_at_s:
            places = {place: offsets.pop() for place, offsets in left.items()}
            left = {place: offsets for place, offsets in left.items() if offsets}
            moments |= _first_moments(probe, places, ends_at_s)
    except KafkaException as error:
        raise failure("Kafka cannot be read", error) from None
    finally:
        probe.close()
    return moments


def _first_moments(probe: Consumer, places: dict[Place, int], ends_at_s: float) -> dict[tuple[str, int, int], datetime]:
    """One record of each place. Raises `KafkaException`."""
    probe.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in places.items()])
    moments: dict[tuple[str, int, int], datetime] = {}
    ahead = set(places)
    while ahead and time.monotonic() < ends_at_s:
        for message in probe.consume(len(ahead), 0.2):
            problem = message.error()
            place = (message.topic() or "", message.partition() or 0)
            if place not in ahead:
                continue
            if problem is None:
                if message.timestamp()[0] != TIMESTAMP_NOT_AVAILABLE:
                    moments[*place, places[place]] = consumer_record(message).written_at
                ahead.discard(place)
            elif problem.code() == KafkaError._PARTITION_EOF:  # what was counted was compacted away
                ahead.discard(place)
    return moments
