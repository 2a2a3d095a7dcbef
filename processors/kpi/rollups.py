"""Roll-ups of KPIs: the query that makes a day of them, and which days have to be made. Pure; no database in sight."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

from processors.kpi.sql import TOPIC_OF_CALL
from schemas.clickhouse import days as day_sql
from schemas.config.kpis.kpi import BY_TOPIC, DIMENSIONS, Dimension, KpiRegistry
from schemas.config.kpis.kpi_expression import MAX_NUMBER
from schemas.config.tenants import TenantDays

DAILY_ONLY: tuple[Dimension, ...] = (
    *("agent_inquiry_type", "agent_profile"),
    *("seniority", "tenure", "rated", "team_topic", "tenure_direction"),
)
HOURLY: tuple[Dimension, ...] = tuple(name for name in DIMENSIONS if name not in DAILY_ONLY)
"""Dimensions that are also kept by hour. An agent has a handful of calls in an hour: by inquiry type, too, there would
be a row for nearly every call. What the others say is not asked of an hour."""

COLUMNS = tuple(dict.fromkeys(column for columns in DIMENSIONS.values() for column in columns))

SETTLING = timedelta(seconds=60)
"""A row may become visible so long after the moment that it bears: until then its day is made again."""

RELATED_EVERY = timedelta(hours=1)
"""How often a day is made again for the sake of later days alone: a repeat of a call, or a window that has passed."""

RESTS = 10
"""A day that was touched is made again when ten times as long has passed as it took: a tenth of the database's time."""

RELATED_RESTS = 100
"""The same for days that are made again for the sake of other days. There may be eight of them for each that runs."""


def rollup_query(registry: KpiRegistry, days: TenantDays) -> str:
    """The SELECT whose rows are those of `kpi_rollup_rows`, for the days from first to last.

    Parameters: first, last (days of the tenants), start, end (times, UTC, end exclusive, between which these days lie
    wherever they begin), window_days.
    """
    ratios = [(kpi.id, kpi.ratio) for kpi in registry.ratios if kpi.ratio is not None]
    names = [name for name, _ in ratios]
    pairs = ",\n                    ".join(
        f"(toNullable(toFloat64({ratio.numerator})), toNullable(toFloat64({ratio.denominator})), "
        f"toUInt64(ifNull({ratio.pending}, false)))"
        for _, ratio in ratios
    )
    columns = ", ".join(COLUMNS)
    every_grouping = [("day", name) for name in DIMENSIONS] + [("hour", name) for name in HOURLY]
    groupings = [each for each in every_grouping if each[1] not in BY_TOPIC]
    of_topics = [each for each in every_grouping if each[1] in BY_TOPIC]
    # Two passes: in one, each call would be counted for each of its topics in every grouping.
    passes = "\n    UNION ALL\n".join(_grouped(each, pairs, days) for each in (groupings, of_topics))
    # A number that is infinite, none or larger than any measure does not count: it would spoil the sums of a whole day.
    # Sums of whole arrays, one element for each KPI: one pass over the calls for each grouping, not one for each KPI.
    return f"""
SELECT
    tenant_id, day, splitByChar('/', label)[1] AS grain,
    if(grain = 'hour', hour, toDateTime({day_sql.start(days, "day")}, 'UTC')) AS period,
    splitByChar('/', label)[2] AS dimension, {columns}, calls,
    {", ".join(_where_counted(values) for values in (names, *_SUMS))}
FROM
(
{passes}
)
"""  # noqa: S608 - made of the registry alone


def _grouped(groupings: Sequence[tuple[str, Dimension]], pairs: str, days: TenantDays) -> str:
    """The sums of some groupings, each a grain and a dimension."""
    used = tuple(column for column in COLUMNS if any(column in DIMENSIONS[name] for _, name in groupings))
    keys = ",\n    ".join(
        f"(tenant_id, day{', hour' if grain == 'hour' else ''}{''.join(f', {c}' for c in DIMENSIONS[name])})"
        for grain, name in groupings
    )
    numbers = [_grouping(("hour",) * (grain == "hour") + DIMENSIONS[name], used) for grain, name in groupings]
    labels = [f"{grain}/{name}" for grain, name in groupings]
    columns = ", ".join(used)
    every_column = ", ".join(c if c in used else f"CAST(NULL, '{_NULLABLE}') AS {c}" for c in COLUMNS)
    # Where a column is not grouped by it is null, if only its type has a null.
    nullable = ", ".join(f"CAST({_FROM_CALLS.get(c, f'kpi_calls.{c}')}, '{_NULLABLE}') AS {c}" for c in used)
    return f"""
    SELECT
        tenant_id, day, hour, {every_column},
        transform(grouping(hour, {columns}), {numbers}, {labels}, '') AS label,
        count() AS calls, sumForEach(counted) AS n, sumForEach(x) AS numerators, sumForEach(y) AS denominators,
        sumForEach(arrayMap(a -> a * a, x)) AS numerator_squares,
        sumForEach(arrayMap((a, b) -> a * b, x, y)) AS products,
        sumForEach(arrayMap(b -> b * b, y)) AS denominator_squares, sumForEach(waiting) AS pending
    FROM
    (
        SELECT
            tenant_id, day, hour, {columns},
            arrayMap(
                pair -> ifNull(abs(pair.1) <= {MAX_NUMBER!r} AND pair.2 > 0 AND pair.2 <= {MAX_NUMBER!r}, false), pairs
            ) AS counted,
            arrayMap((pair, counts) -> if(counts, assumeNotNull(pair.1), 0), pairs, counted) AS x,
            arrayMap((pair, counts) -> if(counts, assumeNotNull(pair.2), 0), pairs, counted) AS y,
            arrayMap((pair, counts) -> if(counts, 0, pair.3), pairs, counted) AS waiting
        FROM
        (
            SELECT
                tenant_id, {day_sql.day(days, "ended_at")} AS day, {day_sql.hour_start(days, "ended_at")} AS hour,
                {nullable},
                [
                    {pairs}
                ] AS pairs
            FROM kpi_calls(start = {{start:String}}, end = {{end:String}}, window_days = {{window_days:UInt32}})
            AS kpi_calls
            WHERE day BETWEEN {{first:Date32}} AND {{last:Date32}}
        )
    )
    GROUP BY GROUPING SETS (
    {keys}
    )"""  # noqa: S608 - made of the registry alone


_NULLABLE = "LowCardinality(Nullable(String))"
_FROM_CALLS = {"topic": TOPIC_OF_CALL}
_SUMS = ("n", "numerators", "denominators", "numerator_squares", "products", "denominator_squares", "pending")


def _where_counted(values: str | list[str]) -> str:
    """The elements of an array that stand at KPIs for which a call counts, or will."""
    return f"arrayFilter((value, counting, to_come) -> counting + to_come > 0, {values}, n, pending)"


def _grouping(grouped: Sequence[str], columns: Sequence[str]) -> int:
    """What `grouping(hour, columns…)` gives: a bit for each, the first the highest, 1 where it is not grouped by."""
    number = 0
    for column in ("hour", *columns):
        number = 2 * number + (column not in grouped)
    return number


@dataclass(frozen=True)
class RollupDefinition:
    """What a roll-up is made by; days that were made by another definition are made again."""

    registry: KpiRegistry
    days: TenantDays
    window_days: int

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        text = f"{rollup_query(self.registry, self.days)}\n{self.window_days}"
        return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class MadeDay:
    """When a day was rolled up, and by which definition."""

    as_of: datetime
    definition: str


@dataclass(frozen=True)
class Pace:
    """How often a day may be made again."""

    related_every: timedelta = RELATED_EVERY
    rests: int = RESTS
    related_rests: int = RELATED_RESTS


PACE = Pace()
"""Of the worker."""

BY_HAND = Pace(rests=0)
"""Of somebody who asks for it: whatever was touched is made, however long it takes."""


def due_days(
    touched: Mapping[date, datetime],
    made: Mapping[date, MadeDay],
    definition: RollupDefinition,
    now: datetime,
    *,
    took: Mapping[date, timedelta] = MappingProxyType({}),
    pace: Pace = PACE,
) -> list[date]:
    """The days that have to be made, the newest first.

    `touched` holds every day with calls, and when the newest of its rows, or a rating of its calls, was stored; `took`
    how long the making of a day took last. A day is due at once when it was never made or was made by another
    definition, and when it was touched since and `pace.rests` times as long has passed as it took. It is due once in
    `pace.related_every`, and no sooner than after `pace.related_rests` times what it took, when a day within the window
    after it or before it was touched since, because a call there may be a repeat of one of it, or the other way round,
    and while calls of it may have been pending when it was made. Of a day of which nobody knows what it took the
    dearest is believed. A day after tomorrow, where a wrong clock has put its calls, is never due.
    """
    digest = definition.digest
    last_day = max(now.astimezone(zone).date() for zone in definition.days.zones) + timedelta(days=1)
    window = timedelta(days=definition.window_days)
    dearest = max(took.values(), default=timedelta())
    due = []
    for day, stored_at in touched.items():
        if day > last_day:
            continue
        last = made.get(day)
        if last is None or last.definition != digest:
            due.append(day)
            continue
        cost, age = took.get(day, dearest), now - last.as_of
        if stored_at + SETTLING >= last.as_of:
            if age >= pace.rests * cost:
                due.append(day)
            continue
        closes_at = definition.days.last_start(day + timedelta(days=1)) + window
        repeats_may_have_come = _latest(touched, day, definition.window_days + 1) + SETTLING >= last.as_of
        every = max(pace.related_every, pace.related_rests * cost)
        if age >= every and (repeats_may_have_come or last.as_of < closes_at):
            due.append(day)
    return sorted(due, reverse=True)


def _latest(touched: Mapping[date, datetime], day: date, days_around: int) -> datetime:
    near = (day + timedelta(days=n) for n in range(-days_around, days_around + 1))
    return max(touched[other] for other in near if other in touched)


def runs_of(days: Iterable[date], most: int) -> list[tuple[date, date]]:
    """Days as stretches (first, last) of days that follow each other, at most `most` long, in the order of `days`
    from the newest."""
    stretches: list[tuple[date, date]] = []
    for day in days:
        if stretches:
            first, last = stretches[-1]
            if day == first - timedelta(days=1) and (last - day).days < most:
                stretches[-1] = (day, last)
                continue
        stretches.append((day, day))
    return stretches
