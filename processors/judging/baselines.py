"""What is usual for the duration of a call: groups of comparable calls, and the statistics of each (R42, R49)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import log
from statistics import median

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


def baseline_of(durations_ms: Sequence[int]) -> DurationBaseline:
    """Median and median absolute deviation of ln(ms); durations are positive, and there is at least one."""
    logs = [log(duration_ms) for duration_ms in durations_ms]
    middle = median(logs)
    return DurationBaseline(middle, median(abs(value - middle) for value in logs), len(logs))
