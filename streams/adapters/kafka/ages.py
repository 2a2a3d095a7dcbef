"""How long the oldest message waits that a consumer group has not finished, without reading a message.

Whoever reads topics for that alone would need the right to read all of them, masked texts included. What is asked here
is how far each partition reached, and when: at the first question by the broker's own times, then by looking again and
again. A message was written between two looks; its age is counted from the later one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from confluent_kafka import TopicPartition

from streams.adapters.kafka.client import ASK_WITHIN_S, Lag, asking, require_told
from streams.ports import Place
from streams.settings import Settings

ASKED_BACK = tuple(
    timedelta(seconds=seconds) for seconds in (15, 30, 60, 120, 300, 600, 1_800, 3_600, 4 * 3_600, 86_400, 7 * 86_400)
)
"""How far back partitions are looked at when they are looked at for the first time."""

MOST_LOOKS = 200
"""So many are remembered of a partition that is behind; then every second of the older half is forgotten."""

Look = tuple[datetime, int]
"""When, and the offset that the next message of the partition had then."""


class UnfinishedAges:
    """Asked again and again. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looks: dict[Place, list[Look]] = {}

    def ask(self, lags: Sequence[Lag], now: datetime) -> dict[tuple[str, str], float]:
        """Group and topic → seconds; 0 where nothing waits. Raises `RetryableError` and `KafkaAccessError`."""
        ends = {(lag.topic, partition): end for lag in lags for partition, end in lag.ends}
        positions = _lowest_positions(lags)
        new = [place for place in positions if not self._looks.get(place)]
        # tansu answers 0 to every question for the offset of a time.
        if new and self._settings.kafka_flavour != "tansu":
            self._look_back(new, ends, now)
        for place, end in ends.items():
            self._look(place, now, end)
            self._looks[place] = remembered(self._looks[place], positions.get(place, end))
        return {
            (lag.stage, lag.topic): max(
                (age_s(self._looks[lag.topic, partition], offset, now) for partition, offset in lag.unread), default=0
            )
            for lag in lags
        }

    def _look(self, place: Place, at: datetime, end: int) -> None:
        looks = self._looks.setdefault(place, [])
        if looks and end < looks[-1][1]:  # the topic was made anew
            looks.clear()
        if not looks or end > looks[-1][1]:
            looks.append((at, end))

    def _look_back(self, places: Iterable[Place], ends: Mapping[Place, int], now: datetime) -> None:
        with asking(self._settings) as consumer:
            for back in sorted(ASKED_BACK, reverse=True):
                at = now - back
                wanted = [TopicPartition(topic, number, int(at.timestamp() * 1_000)) for topic, number in places]
                told = consumer.offsets_for_times(wanted, timeout=ASK_WITHIN_S)
                require_told(told)
                for each in told:
                    place = (each.topic, each.partition)
                    # No offset is told where nothing has been written since then.
                    self._look(place, at, each.offset if each.offset >= 0 else ends[place])


def _lowest_positions(lags: Iterable[Lag]) -> dict[Place, int]:
    """Of each partition where somebody is behind, the first message that somebody has not finished."""
    lowest: dict[Place, int] = {}
    for lag in lags:
        for partition, offset in lag.unread:
            place = (lag.topic, partition)
            lowest[place] = min(offset, lowest.get(place, offset))
    return lowest


def age_s(looks: Sequence[Look], offset: int, now: datetime) -> float:
    """How long the message at that offset has been there, at least; 0 where no look has seen it."""
    seen_at = next((at for at, end in looks if end > offset), now)
    return max((now - seen_at).total_seconds(), 0)


def remembered(looks: list[Look], offset: int) -> list[Look]:
    """Those that tell of messages from this offset on, and the last one before it."""
    first = next((number for number, (_, end) in enumerate(looks) if end > offset), len(looks))
    kept = looks[max(first - 1, 0) :]
    if len(kept) <= MOST_LOOKS:
        return kept
    middle = len(kept) // 2
    return [*kept[:middle:2], *kept[middle:]]
