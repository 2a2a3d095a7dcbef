"""What is usual for the duration of a call: groups of comparable calls, and the statistics of each (R42, R49).

Durations are counted by steps of their logarithm, so that those of 28 days are a few hundred numbers for a group,
which can be added up (docs/adr/0082-aggregated-by-ten-minutes.md).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import floor, log

from processors.judging.call_context import DurationBaseline
from schemas.messages.call_ended import CallEnded

Group = tuple[str, str | None, str | None]
"""Tenant, queue, inquiry type. Calls without a queue or inquiry type are a group of their own."""

MOMENT_STEP = timedelta(minutes=10)


def group_of(call: CallEnded) -> Group:
    """The group whose baseline a call is compared with, and becomes part of."""
    return call.tenant_id, call.queue, call.inquiry_type


def moment_of(ended_at: datetime) -> datetime:
    """The moment as of which a call that ended then is judged: the last full ten minutes before, in UTC.

    The baseline holds calls that ended before this moment; so never the call itself nor a later one, whenever and
    how often it is judged, and calls of the same ten minutes share one baseline.
    """
    step_s = int(MOMENT_STEP.total_seconds())
    return datetime.fromtimestamp(int(ended_at.timestamp()) // step_s * step_s, UTC)


STEPS_PER_UNIT = 256
"""Steps in which ln(ms) is counted: each is 0.4 % long, so that the median is right to 0.2 %."""


def step_of(duration_ms: int) -> int:
    """The step that a duration lies in; durations are positive."""
    return floor(log(duration_ms) * STEPS_PER_UNIT)


def baseline_of(durations_ms: Sequence[int]) -> DurationBaseline:
    """Median and median absolute deviation of ln(ms); durations are positive, and there is at least one."""
    return baseline_of_steps(Counter(map(step_of, durations_ms)))


def baseline_of_steps(calls: Mapping[int, int]) -> DurationBaseline:
    """The same of the number of calls in each step. A call stands in the middle of its step."""
    doubled = _doubled_median(calls.items())
    deviations = ((abs(2 * step - doubled), count) for step, count in calls.items())
    return baseline_in_steps(doubled, _doubled_median(deviations), sum(calls.values()))


def baseline_in_steps(doubled_median: int, fourfold_mad: int, calls: int) -> DurationBaseline:
    """Of whole numbers of steps: twice the median of the steps, and four times the median deviation from it."""
    return DurationBaseline((doubled_median + 1) / (2 * STEPS_PER_UNIT), fourfold_mad / (4 * STEPS_PER_UNIT), calls)


def _doubled_median(counted: Iterable[tuple[int, int]]) -> int:
    """Twice the median of values that each stand there so many times: a whole number."""
    ordered = sorted(counted)
    total = sum(count for _, count in ordered)
    return _at_rank(ordered, (total + 1) // 2) + _at_rank(ordered, (total + 2) // 2)


def _at_rank(ordered: Sequence[tuple[int, int]], rank: int) -> int:
    for value, count in ordered:
        rank -= count
        if rank <= 0:
            return value
    raise ValueError("there are fewer values")
