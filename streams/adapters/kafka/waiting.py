"""Since when the oldest record waits that a consumer group has not finished."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from streams.adapters.kafka.client import Lag
from streams.adapters.kafka.fetcher import Fetcher
from streams.ports import Place
from streams.settings import Settings

READ_WITHIN_S = 10.0
READ_WAIT_S = 1.0
"""So long a round waits for the first record of any partition."""


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
    fetcher = Fetcher(settings)
    try:
        while left and time.monotonic() < ends_at_s:
            places = {place: offsets.pop() for place, offsets in left.items()}
            left = {place: offsets for place, offsets in left.items() if offsets}
            moments |= _first_moments(fetcher, places, ends_at_s)
    finally:
        fetcher.close()
    return moments


def _first_moments(
    fetcher: Fetcher, places: Mapping[Place, int], ends_at_s: float
) -> dict[tuple[str, int, int], datetime]:
    """When the first record of each place was written. Raises `RetryableError` and `KafkaAccessError`."""
    moments: dict[tuple[str, int, int], datetime] = {}
    ahead = dict(places)
    fetcher.assign(ahead)
    while ahead and time.monotonic() < ends_at_s:
        records = fetcher.take(len(ahead), READ_WAIT_S)
        for record in records:
            place = (record.topic, record.partition)
            if place in ahead:
                moments[(*place, ahead.pop(place))] = record.written_at
        if records:
            fetcher.assign(ahead)  # else a full partition would come before all others
    return moments
