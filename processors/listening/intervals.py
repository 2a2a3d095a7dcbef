"""Intervals of time: their union, their overlap and their length."""

from collections.abc import Iterator, Sequence
from operator import attrgetter

from schemas.messages.interval import Interval


def length_ms(intervals: Sequence[Interval]) -> int:
    """The total length of the intervals."""
    return sum(interval.end_ms - interval.start_ms for interval in intervals)


def common(first: Sequence[Interval], second: Sequence[Interval]) -> tuple[Interval, ...]:
    """Where an interval of one lies over an interval of the other; both are in order and do not overlap themselves."""
    return tuple(Interval(start_ms=start_ms, end_ms=end_ms) for start_ms, end_ms in _common(first, second))


def common_ms(first: Sequence[Interval], second: Sequence[Interval]) -> int:
    """The total length of what both have in common."""
    return sum(end_ms - start_ms for start_ms, end_ms in _common(first, second))


def _common(first: Sequence[Interval], second: Sequence[Interval]) -> Iterator[tuple[int, int]]:
    i = j = 0
    while i < len(first) and j < len(second):
        one, other = first[i], second[j]
        start_ms = max(one.start_ms, other.start_ms)
        end_ms = min(one.end_ms, other.end_ms)
        if start_ms < end_ms:
            yield start_ms, end_ms
        if one.end_ms <= other.end_ms:
            i += 1
        else:
            j += 1


def union(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The same stretches in order, overlapping ones joined."""
    joined: list[Interval] = []
    for interval in sorted(intervals, key=_BOUNDS):
        if joined and interval.start_ms <= joined[-1].end_ms:
            end_ms = max(joined[-1].end_ms, interval.end_ms)
            joined[-1] = Interval(start_ms=joined[-1].start_ms, end_ms=end_ms)
        else:
            joined.append(interval)
    return tuple(joined)


_BOUNDS = attrgetter("start_ms", "end_ms")
