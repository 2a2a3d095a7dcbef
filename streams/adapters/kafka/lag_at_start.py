"""What lay in the topics of a worker when it started, and whether it has gone through that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streams.adapters.kafka.client import Lag, lags
from streams.settings import Settings

_Place = tuple[str, str, int]
"""Group, topic and partition."""


@dataclass
class LagAtStart:
    """Of these groups, each with the topics that it reads. What comes later does not count: a worker that keeps up is
    never quite without a lag."""

    settings: Settings
    groups: Mapping[str, Sequence[str]]
    _ends: Mapping[_Place, int] | None = field(default=None, init=False, repr=False)

    def is_done(self) -> bool:
        """Whether all is committed that was there when this was asked first. Raises `RetryableError` and
        `KafkaAccessError`."""
        now = lags(self.settings, self.groups)
        if self._ends is None:
            self._ends = {place: end for lag in now for place, end in _places(lag, lag.ends)}
        unread = {place: offset for lag in now for place, offset in _places(lag, lag.unread)}
        return all(unread.get(place, end) >= end for place, end in self._ends.items())


def _places(lag: Lag, offsets: Sequence[tuple[int, int]]) -> list[tuple[_Place, int]]:
    return [((lag.stage, lag.topic, partition), offset) for partition, offset in offsets]
