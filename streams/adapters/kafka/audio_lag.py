"""How much audio waits to be heard: messages of lag mean nothing where a call lasts four seconds or an hour.

The events that `listen` has not finished are read by the side, outside of any group, and say how long their calls
lasted. What has been read is remembered, so that each is read once; where there is more than that, the rest counts as
long as the mean of what is known.
"""

import time
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import LANE_OF, LANES, Lane
from streams.adapters.kafka.client import Lag, lags
from streams.adapters.kafka.fetcher import Fetcher
from streams.ports import Place
from streams.runtime.audio_length import audio_s_of
from streams.settings import Settings

HEARD_BY = "listen"
"""The consumer group."""

USUAL_CALL_S = 240.0
"""So long a call counts while not one that waits could be read."""

MOST_KEPT = 5_000_000
"""So many lengths are remembered, of all partitions together: 20 MB."""
READ_AT_ONCE = 500
READ_WAIT_S = 1.0


@dataclass(frozen=True)
class AudioWaiting:
    """Of one lane. `is_estimate`: not every event that waits has been read."""

    messages: int
    audio_s: float
    is_estimate: bool


@dataclass
class _Lengths:
    """Of the events of a partition from the offset `first` on, one after the other; 0 for an offset without any."""

    first: int
    audio_s: "array[float]" = field(default_factory=lambda: array("f"))

    @property
    def next(self) -> int:
        return self.first + len(self.audio_s)

    def audio_s_at(self, offset: int) -> float | None:
        """Of the event there; None where it has not been read."""
        return self.audio_s[offset - self.first] if self.first <= offset < self.next else None

    def begin_at(self, offset: int) -> None:
        """Everything before is done. Where a group has gone back, what is known begins anew."""
        if self.first <= offset <= self.next:
            del self.audio_s[: offset - self.first]
        else:
            self.audio_s = array("f")
        self.first = offset

    def add(self, offset: int, audio_s: float) -> None:
        if offset >= self.next:
            self.audio_s.extend([0.0] * (offset - self.next))
            self.audio_s.append(audio_s)


class AudioAhead:
    """What waits, asked again and again. For one thread."""

    def __init__(self, settings: Settings, most_records: int = 20_000, within_s: float = 10.0) -> None:
        """`most_records` are read in one `ask` at most, and no new ones after `within_s`."""
        self._settings = settings
        self._most_records = most_records
        self._within_s = within_s
        self._longest_s = settings.max_call_minutes * 60.0
        self._known: dict[Place, _Lengths] = {}
        self._fetcher: Fetcher | None = None

    def ask(self) -> dict[Lane, AudioWaiting]:
        """Lane → what waits in it. Raises `RetryableError` and `KafkaAccessError`."""
        found = {lag.topic: lag for lag in lags(self._settings, {HEARD_BY: tuple(LANE_OF)})}
        self._begin_where_they_stand(found)
        with suppress(RetryableError):  # offsets were told: what could not be read counts as the others
            self._read_ahead(found)
        return {lane: self._waiting(found[topic.name]) for lane, topic in LANES.items()}

    def close(self) -> None:
        """Let go of the topics."""
        if self._fetcher is not None:
            self._fetcher.close()
            self._fetcher = None

    def _begin_where_they_stand(self, found: Mapping[str, Lag]) -> None:
        unread = {(lag.topic, *place) for lag in found.values() for place in lag.unread}
        waiting = {(topic, partition): offset for topic, partition, offset in unread}
        self._known = {place: self._known.get(place, _Lengths(offset)) for place, offset in waiting.items()}
        for place, offset in waiting.items():
            self._known[place].begin_at(offset)

    def _read_ahead(self, found: Mapping[str, Lag]) -> None:
        ends = {(lag.topic, partition): end for lag in found.values() for partition, end in lag.ends}
        left = min(self._most_records, MOST_KEPT - sum(len(each.audio_s) for each in self._known.values()))
        until_s = time.monotonic() + self._within_s
        ahead = {place: known.next for place, known in self._known.items() if known.next < ends[place]}
        if not ahead:
            return
        if self._fetcher is None:
            self._fetcher = Fetcher(self._settings)
        self._fetcher.assign(ahead)
        while left > 0 and time.monotonic() < until_s and any(self._known[each].next < ends[each] for each in ahead):
            records = self._fetcher.take(min(left, READ_AT_ONCE), READ_WAIT_S)
            if not records:
                return
            for record in records:
                known = self._known.get((record.topic, record.partition))
                if known is not None:
                    known.add(record.offset, self._length_s(record))
            left -= len(records)

    def _length_s(self, record: ConsumerRecord) -> float:
        """A longer recording is refused, whatever its event claims."""
        return min(audio_s_of(record), self._longest_s)

    def _waiting(self, lag: Lag) -> AudioWaiting:
        known = {partition: each for (topic, partition), each in self._known.items() if topic == lag.topic}
        finished = (known[partition].audio_s_at(offset) for partition, offset in lag.done if partition in known)
        done_s = [audio_s for audio_s in finished if audio_s is not None]
        read = sum(len(each.audio_s) for each in known.values()) - len(done_s)
        read_s = sum(sum(each.audio_s) for each in known.values()) - sum(done_s)
        unread = max(lag.messages - read, 0)
        usual_s = read_s / read if read else USUAL_CALL_S
        return AudioWaiting(lag.messages, read_s + unread * usual_s, is_estimate=unread > 0)
