"""What `callstream status` asks: outcomes, calls without one, dead letters, calls per minute."""

from dataclasses import dataclass
from datetime import datetime

from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.statements import read_rows


@dataclass(frozen=True)
class Unaccounted:
    """Calls without an outcome for longer than the processing objective, and since when the oldest of them waits."""

    calls: int
    oldest_since: datetime | None


@dataclass(frozen=True)
class DeadLetterCount:
    """Dead letters of one step and kind of error."""

    step: str
    exception_class: str
    letters: int


def outcome_counts(client: Client) -> dict[str, int]:
    """Call events by outcome, `missing_migrations` included."""
    query = "SELECT outcome, count() FROM outcomes GROUP BY outcome ORDER BY outcome"
    rows = read_rows(client, "outcome counts", query)
    return {str(row[0]): int(row[1]) for row in rows}


def count_unaccounted(client: Client, *, older_than_s: float, now: datetime) -> Unaccounted:
    """Call events that wait for their outcome for longer than `older_than_s`."""
    rows = read_rows(
        client,
        "unaccounted calls",
        "SELECT count(), minOrNull(since) FROM unaccounted WHERE since < fromUnixTimestamp64Milli({before:Int64})",
        before=int((now.timestamp() - older_than_s) * 1000),
    )
    calls, oldest_since = rows[0]
    return Unaccounted(calls, oldest_since)


def dead_letter_counts(client: Client) -> list[DeadLetterCount]:
    """Open dead letters by step and kind of error, the most frequent first."""
    rows = read_rows(
        client,
        "dead letter counts",
        "SELECT step, exception_class, count() AS letters FROM dead_letters WHERE state = 'open' "
        "GROUP BY step, exception_class ORDER BY letters DESC, step, exception_class",
    )
    return [DeadLetterCount(step, exception_class, letters) for step, exception_class, letters in rows]


def calls_per_minute(client: Client, *, now: datetime, minutes: int) -> float:
    """Calls that reached an outcome in the last `minutes`, per minute; a refusal is no throughput."""
    rows = read_rows(
        client,
        "calls per minute",
        "SELECT count() FROM outcomes WHERE outcome NOT IN ('pending', 'refused', 'not_received') "
        "AND since > fromUnixTimestamp64Milli({after:Int64}) AND since <= fromUnixTimestamp64Milli({now:Int64})",
        now=int(now.timestamp() * 1000),
        after=int(now.timestamp() * 1000) - minutes * 60_000,
    )
    return float(rows[0][0]) / minutes
