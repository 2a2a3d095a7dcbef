"""Stretches of time put together and laid over each other."""

from collections.abc import Sequence

from schemas.interval import Interval


def length_ms(intervals: Sequence[Interval]) -> int:
    """How long the intervals are together."""
    return sum(interval.end_ms - interval.start_ms for interval in intervals)


def common(first: Sequence[Interval], second: Sequence[Interval]) -> tuple[Interval, ...]:
    """Where an interval of one lies over an interval of the other; both are in order and do not overlap themselves."""
    found: list[Interval] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start_ms = max(first[i].start_ms, second[j].start_ms)
        end_ms = min(first[i].end_ms, second[j].end_ms)
        if start_ms < end_ms:
            found.append(Interval(start_ms=start_ms, end_ms=end_ms))
        if first[i].end_ms <= second[j].end_ms:
            i += 1
        else:
            j += 1
    return tuple(found)


def union(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The same stretches in order, overlapping ones joined."""
    joined: list[Interval] = []
    for interval in sorted(intervals, key=lambda item: (item.start_ms, item.end_ms)):
        if joined and interval.start_ms <= joined[-1].end_ms:
            end_ms = max(joined[-1].end_ms, interval.end_ms)
            joined[-1] = Interval(start_ms=joined[-1].start_ms, end_ms=end_ms)
        else:
            joined.append(interval)
    return tuple(joined)
