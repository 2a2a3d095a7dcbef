"""Durations of calls, added up by ten minutes and by day of UTC, so that baselines read few rows: the SQL, and which
buckets have to be made. Pure; no database in sight. Why: docs/adr/0082-aggregated-by-ten-minutes.md.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from processors.judging.baselines import MOMENT_STEP, STEPS_PER_UNIT

SPAN = MOMENT_STEP
"""Length of a bucket."""

DAY = timedelta(days=1)
SPANS_OF_A_DAY = DAY // SPAN

SPAN_S = int(SPAN.total_seconds())
DAY_S = int(DAY.total_seconds())

Moments = tuple[datetime, datetime]
"""From a moment to before another."""

_STEP = f"toUInt16(floor(log(assumeNotNull(duration_ms)) * {STEPS_PER_UNIT}))"

# Calls that are blocked were erased by their customers: nothing is learnt from them.
_LEARNT_FROM = """outcome = 'analyzed' AND duration_ms > 0
        AND (tenant_id, call_id) GLOBAL NOT IN (SELECT tenant_id, call_id FROM blocked_calls)"""

_STARTS = "arrayMap(start_s -> toDateTime(start_s, 'UTC'), {starts:Array(UInt32)})"


def _bucket(moment: str) -> str:
    return f"toDateTime(intDiv(toUnixTimestamp({moment}), {SPAN_S}) * {SPAN_S}, 'UTC')"


CALLS_TOUCHED = f"""
SELECT {_bucket("ended_at")} AS bucket, max(stored_at)
FROM call_versions
WHERE stored_at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
    AND ended_at >= fromUnixTimestamp64Milli({{oldest:Int64}}, 'UTC')
    AND ended_at < fromUnixTimestamp64Milli({{until:Int64}}, 'UTC')
GROUP BY bucket
"""  # noqa: S608 - numbers of ours
"""Bucket → when the newest of its rows was stored, of what was stored since then."""

PURGES_TOUCHED = f"""
SELECT {_bucket("assumeNotNull(ended_at)")} AS bucket, max(at)
FROM purge_versions
WHERE at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
    AND ended_at >= fromUnixTimestamp64Milli({{oldest:Int64}}, 'UTC')
    AND ended_at < fromUnixTimestamp64Milli({{until:Int64}}, 'UTC')
GROUP BY bucket
"""  # noqa: S608 - numbers of ours
"""The same of calls that were blocked or destroyed."""

MADE = f"""
SELECT span_s, start, as_of FROM duration_buckets FINAL
WHERE tenant_id = '' AND start >= fromUnixTimestamp64Milli({{oldest:Int64}}, 'UTC')
    AND start < fromUnixTimestamp64Milli({{until:Int64}}, 'UTC') AND span_s IN ({SPAN_S}, {DAY_S})
"""  # noqa: S608 - numbers of ours
"""What was made: span, start, and as of when."""


def _write(span_s: int, starts: str, counts: str) -> str:
    return f"""
INSERT INTO duration_buckets
    (span_s, tenant_id, start, as_of, steps.queue, steps.inquiry_type, steps.step, steps.calls)
SELECT
    {span_s}, tenant_id, bucket, fromUnixTimestamp64Milli({{as_of:Int64}}, 'UTC'),
    arrayMap(each -> each.1, counted), arrayMap(each -> each.2, counted),
    arrayMap(each -> each.3, counted), arrayMap(each -> each.4, counted)
FROM
(
    SELECT tenant_id, bucket, arraySort(groupArrayIf((queue, inquiry_type, step, calls), calls > 0)) AS counted
    FROM
    (
        {counts}
        UNION ALL
        -- Tenants that had calls there when it was made last, and may have none now; then the row that says that it
        -- was made.
        SELECT tenant_id, start, NULL, NULL, toUInt16(0), toUInt64(0) FROM duration_buckets FINAL
        WHERE span_s = {span_s} AND start IN ({starts})
        UNION ALL
        SELECT '', arrayJoin({starts}), NULL, NULL, toUInt16(0), toUInt64(0)
    )
    GROUP BY tenant_id, bucket
)
"""  # noqa: S608 - numbers of ours


MAKE = _write(
    SPAN_S,
    _STARTS,
    f"""SELECT
            tenant_id, {_bucket("ended_at")} AS bucket, queue, inquiry_type, {_STEP} AS step, count() AS calls
        FROM call_versions FINAL
        WHERE ended_at >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC')
            AND ended_at < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
            AND has({_STARTS}, bucket) AND {_LEARNT_FROM}
        GROUP BY tenant_id, bucket, queue, inquiry_type, step""",  # noqa: S608 - numbers of ours
)
"""Makes buckets from the calls. Parameters: starts (s), first and end (ms, around all of them), as_of (ms)."""

MAKE_DAY = _write(
    DAY_S,
    _STARTS,
    f"""SELECT
            tenant_id, toDateTime(toStartOfDay(start, 'UTC'), 'UTC') AS bucket,
            steps.queue AS queue, steps.inquiry_type AS inquiry_type, steps.step AS step, sum(steps.calls) AS calls
        FROM duration_buckets FINAL ARRAY JOIN steps
        WHERE span_s = {SPAN_S} AND start >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC')
            AND start < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')
        GROUP BY tenant_id, bucket, queue, inquiry_type, step""",  # noqa: S608 - numbers of ours
)
"""Makes one day from its buckets, all of which must have been made. The same parameters."""


GROUP_COLUMNS = "tenant_id, queue, inquiry_type, middle, deviation, total"
"""A group, twice its median and four times its MAD as whole numbers of steps, and how many calls it has."""


def durations_sql(sources: "BucketSources") -> str:
    """The SELECT of what `GROUP_COLUMNS` names, a row for every group."""
    parts = []
    for span_s, starts in ((DAY_S, sources.days), (SPAN_S, sources.spans)):
        if starts:
            listed = ", ".join(str(int(start.timestamp())) for start in starts)
            parts.append(f"""
        SELECT tenant_id, steps.queue AS queue, steps.inquiry_type AS inquiry_type, steps.step AS step,
            sum(steps.calls) AS calls
        FROM duration_buckets FINAL ARRAY JOIN steps
        WHERE span_s = {span_s} AND tenant_id != '' AND toUnixTimestamp(start) IN ({listed})
        GROUP BY tenant_id, queue, inquiry_type, step""")  # noqa: S608 - numbers of ours
    if sources.calls:
        stretches = " OR ".join(
            f"ended_at >= fromUnixTimestamp64Milli({_ms(start)}, 'UTC') "
            f"AND ended_at < fromUnixTimestamp64Milli({_ms(end)}, 'UTC')"
            for start, end in sources.calls
        )
        parts.append(f"""
        SELECT tenant_id, queue, inquiry_type, {_STEP} AS step, count() AS calls
        FROM call_versions FINAL
        WHERE ({stretches}) AND {_LEARNT_FROM}
        GROUP BY tenant_id, queue, inquiry_type, step""")  # noqa: S608 - numbers of ours
    every = "\n        UNION ALL".join(parts)
    return f"""
SELECT {GROUP_COLUMNS}
FROM
(
SELECT
    tenant_id, queue, inquiry_type,
    arraySort(groupArray((toInt64(step), calls))) AS counted,
    arrayMap(each -> each.1, counted) AS steps,
    arrayCumSum(arrayMap(each -> each.2, counted)) AS ranks,
    ranks[-1] AS total,
    {_doubled("steps", "ranks")} AS middle,
    arraySort(arrayMap(each -> (abs(2 * each.1 - middle), each.2), counted)) AS apart,
    arrayMap(each -> each.1, apart) AS deviations,
    arrayCumSum(arrayMap(each -> each.2, apart)) AS deviation_ranks,
    {_doubled("deviations", "deviation_ranks")} AS deviation
FROM
(
    SELECT tenant_id, queue, inquiry_type, step, sum(calls) AS calls
    FROM
    ({every}
    )
    GROUP BY tenant_id, queue, inquiry_type, step
)
GROUP BY tenant_id, queue, inquiry_type
)
"""  # noqa: S608 - numbers of ours


def _doubled(values: str, ranks: str) -> str:
    """Twice the median, as `processors.judging.baselines` has it."""
    lower, upper = (f"{values}[arrayFirstIndex(rank -> rank >= intDiv(total + {n}, 2), {ranks})]" for n in (1, 2))
    return f"{lower} + {upper}"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True)
class BucketSources:
    """Where the calls of a stretch of time are counted: days and ten minutes that were made, and calls themselves."""

    days: tuple[datetime, ...]
    spans: tuple[datetime, ...]
    calls: tuple[Moments, ...]


def start_of_span(moment: datetime) -> datetime:
    """The start of the ten minutes that a moment lies in, UTC."""
    return datetime.fromtimestamp(int(moment.timestamp()) // SPAN_S * SPAN_S, UTC)


def start_of_day(moment: datetime) -> datetime:
    """The start of the day of UTC that a moment lies in."""
    return datetime.fromtimestamp(int(moment.timestamp()) // DAY_S * DAY_S, UTC)


def sources(start: datetime, end: datetime, days: Collection[datetime], spans: Collection[datetime]) -> BucketSources:
    """How to cover [start, end) with the days and ten minutes that were made; each moment is in one part exactly.

    `start` and `end` may lie within a bucket: what is left of it is counted from the calls.
    """
    chosen_days = tuple(sorted(day for day in days if start <= day and day + DAY <= end))
    taken = set(chosen_days)
    chosen = tuple(
        sorted(each for each in spans if start <= each and each + SPAN <= end and start_of_day(each) not in taken)
    )
    covered = sorted([(day, day + DAY) for day in chosen_days] + [(each, each + SPAN) for each in chosen])
    calls, at = [], start
    for first, last in covered:
        if at < first:
            calls.append((at, first))
        at = last
    if at < end:
        calls.append((at, end))
    return BucketSources(chosen_days, chosen, tuple(calls))


@dataclass(frozen=True)
class MadeBuckets:
    """The buckets that were made: start → as of when, for ten minutes and for days."""

    spans: Mapping[datetime, datetime]
    days: Mapping[datetime, datetime]


def due_spans(
    touched: Mapping[datetime, datetime], made: MadeBuckets, oldest: datetime, now: datetime, settling: timedelta
) -> dict[datetime, list[datetime]]:
    """Day → its ten minutes that have to be made, the newest day first, the ten minutes in order.

    `touched` is, of ten minutes with calls, when the newest of their rows was stored. They are due when they are over
    and were never made, or when something of them was stored since, for `settling` longer, because a row may become
    visible so long after the moment that it bears. Of a day that has calls, ten minutes without any are made, too, so
    that the day can be. What lies before `oldest` is made again where it was made, and never for the first time.
    """
    due: set[datetime] = set()
    for start, stored_at in touched.items():
        as_of = made.spans.get(start)
        if start + SPAN > now or (as_of is None and start < oldest):
            continue
        if as_of is None or stored_at + settling >= as_of:
            due.add(start)
    for day in {start_of_day(start) for start in due}:
        every = (day + n * SPAN for n in range(SPANS_OF_A_DAY))
        due.update(each for each in every if oldest <= each and each + SPAN <= now and each not in made.spans)
    by_day: dict[datetime, list[datetime]] = {}
    for start in sorted(due):
        by_day.setdefault(start_of_day(start), []).append(start)
    return dict(sorted(by_day.items(), reverse=True))


def due_days_of_buckets(made: MadeBuckets) -> list[datetime]:
    """Days all of whose ten minutes were made, one of them after the day itself; the newest first."""
    newest: dict[datetime, datetime] = {}
    count: dict[datetime, int] = {}
    for start, as_of in made.spans.items():
        day = start_of_day(start)
        newest[day] = max(as_of, newest.get(day, as_of))
        count[day] = count.get(day, 0) + 1
    never = datetime.fromtimestamp(0, UTC)
    return sorted(
        (day for day in newest if count[day] == SPANS_OF_A_DAY and made.days.get(day, never) < newest[day]),
        reverse=True,
    )
