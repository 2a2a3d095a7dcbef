"""What `callstream status` asks: outcomes, calls without one, dead letters, calls per minute.

It is asked every minute, so of outcomes only what is recent is read, in the table that is sorted by time. A granule in
which nothing is recent is passed over by its smallest and largest time; FINAL reads what lies beside one that is not,
so that a call whose event comes once more after years is not taken for a new one.
"""

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


_ALLOWED_DAYS = 1
"""A refusal may say that it is so much older than the event that it refuses: clocks differ."""

_SINCE = "fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
_BEFORE = "fromUnixTimestamp64Milli({before:Int64}, 'UTC')"

_WITHOUT_END = f"""
    SELECT tenant_id, call_id FROM timed_outcome_versions
    WHERE NOT known_end AND moment >= {_SINCE} - toIntervalDay({_ALLOWED_DAYS})"""  # noqa: S608 - names of ours
"""Calls of which something was stored that does not tell when they ended, mostly that they were refused. What else is
known of such a call lies elsewhere in the table, so it does not replace it."""

_UNACCOUNTED = f"""
SELECT count(), minOrNull(waits_since) FROM
(
    SELECT since AS waits_since FROM timed_outcome_versions FINAL
    WHERE known_end AND pending_since >= {_SINCE} AND pending_since < {_BEFORE}
        AND (tenant_id, call_id) GLOBAL NOT IN ({_WITHOUT_END} AND outcome != 'pending')
    UNION ALL
    SELECT argMax(since, version) AS waits_since FROM timed_outcome_versions
    WHERE NOT known_end AND moment >= {_SINCE} - toIntervalDay({_ALLOWED_DAYS})
    GROUP BY tenant_id, call_id
    HAVING argMax(outcome, version) = 'pending' AND waits_since >= {_SINCE} AND waits_since < {_BEFORE}
)
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 1
"""  # noqa: S608 - names of ours

_MISSING = f"SELECT tenant_id, call_id FROM missing_recording_versions FINAL WHERE missing AND since >= {_SINCE}"  # noqa: S608

_COUNTS = f"""
SELECT outcome, count() FROM
(
    SELECT outcome FROM timed_outcome_versions FINAL
    WHERE known_end AND since >= {_SINCE} AND (tenant_id, call_id) GLOBAL NOT IN ({_WITHOUT_END})
    UNION ALL
    SELECT argMax(outcome, version) FROM timed_outcome_versions
    WHERE since >= {_SINCE} - toIntervalDay({_ALLOWED_DAYS}) AND (tenant_id, call_id) GLOBAL IN ({_WITHOUT_END})
    GROUP BY tenant_id, call_id HAVING argMax(since, version) >= {_SINCE}
    UNION ALL
    SELECT 'not_received' FROM ({_MISSING})
    WHERE (tenant_id, call_id) GLOBAL NOT IN
    (
        SELECT tenant_id, call_id FROM timed_outcome_versions
        WHERE since >= {_SINCE} AND (tenant_id, call_id) GLOBAL IN ({_MISSING})
    )
)
GROUP BY outcome ORDER BY outcome
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 1
"""  # noqa: S608 - names of ours

_DECIDED = """
SELECT uniqExact(tenant_id, call_id) FROM timed_outcome_versions
WHERE outcome NOT IN ('pending', 'refused')
    AND since > fromUnixTimestamp64Milli({after:Int64}, 'UTC') AND since <= fromUnixTimestamp64Milli({now:Int64}, 'UTC')
"""

_UNHANDLED = f"FROM dead_letter_versions FINAL WHERE handling = '' AND failed_at >= {_SINCE}"

_OPEN_LETTERS = f"""
SELECT step, exception_class, count() AS letters FROM
(
    SELECT step, exception_class, source_topic, failed_at, tenant_id, call_id {_UNHANDLED}
) AS unhandled
GLOBAL LEFT JOIN
(
    SELECT
        tenant_id AS of_tenant, call_id AS of_call,
        argMax(outcome, version) AS outcome, argMax(since, version) AS decided_at
    FROM timed_outcome_versions
    WHERE since >= {_SINCE} AND (tenant_id, call_id) GLOBAL IN
    (
        SELECT assumeNotNull(tenant_id), assumeNotNull(call_id) {_UNHANDLED}
            AND isNotNull(tenant_id) AND isNotNull(call_id)
    )
    GROUP BY tenant_id, call_id
) AS calls_of_letters
    ON unhandled.tenant_id = calls_of_letters.of_tenant AND unhandled.call_id = calls_of_letters.of_call
WHERE outcome != 'purged' AND NOT (
    outcome NOT IN ('', 'pending', 'refused') AND decided_at >= failed_at
    AND source_topic IN ('calls.ended.v1', 'calls.backfilled.v1', 'calls.reannounced.v1', 'transcripts.received.v1',
        'calls.transcribed.v1', 'calls.analyzed.v1', 'calls.reanalyzed.v1')
    AND step IN ('listen', 'receive', 'judge', 'store') AND exception_class != 'ConflictingCallError'
)
GROUP BY step, exception_class ORDER BY letters DESC, step, exception_class
"""  # noqa: S608 - names of ours
"""What the view `dead_letters` calls open; its own look-up of the calls reads outcomes of all time."""


def outcome_counts(client: Client, *, since: datetime) -> dict[str, int]:
    """Calls by outcome, `not_received` included, that came or were decided since then: those of which the view
    `outcomes` has a later `since`. One that was refused then and had its outcome long before counts as refused."""
    rows = read_rows(client, "outcome counts", _COUNTS, since=_milliseconds(since))
    return {str(row[0]): int(row[1]) for row in rows}


def count_unaccounted(client: Client, *, older_than_s: float, since: datetime, now: datetime) -> Unaccounted:
    """Calls whose event came since then and that wait for their outcome for longer than `older_than_s`."""
    before = _milliseconds(now) - int(older_than_s * 1000)
    rows = read_rows(client, "unaccounted calls", _UNACCOUNTED, since=_milliseconds(since), before=before)
    calls, oldest_since = rows[0]
    return Unaccounted(calls, oldest_since)


def dead_letter_counts(client: Client, *, since: datetime) -> list[DeadLetterCount]:
    """Letters that were written since then and are open, by step and kind of error, the most frequent first."""
    rows = read_rows(client, "dead letter counts", _OPEN_LETTERS, since=_milliseconds(since))
    return [DeadLetterCount(step, exception_class, letters) for step, exception_class, letters in rows]


def calls_per_minute(client: Client, *, now: datetime, minutes: int) -> float:
    """Calls that reached an outcome in the last `minutes`, per minute; a refusal is no throughput."""
    now_ms = _milliseconds(now)
    rows = read_rows(client, "calls per minute", _DECIDED, now=now_ms, after=now_ms - minutes * 60_000)
    return float(rows[0][0]) / minutes


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
