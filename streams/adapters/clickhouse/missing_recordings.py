"""`streams.stages.reconcile.MissingRecordings` on ClickHouse: each step is one statement; no row comes here."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from processors.clickhouse.rows import EXCHANGE_CALLS, MISSING_RECORDINGS, OUTCOMES
from processors.telephony.missing import COMPLETE_RULE, MISSING_RULE, NO_EVENT, HourOfMissing
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import execute, read_rows

TIMEOUT_S = 600

# A call that has a tombstone was purged or is blocked, whether or not its event ever came: it is not missing.
# On a cluster: the rows are in the tables of the shards when the statement returns.
_INSERT = f"""
INSERT INTO {MISSING_RECORDINGS} (tenant_id, call_id, missing, reason, ended_at, found_at, since, version)
SETTINGS distributed_foreground_insert = 1
"""

_FIND = f"""
{_INSERT}
WITH
    fromUnixTimestamp64Milli({{now:Int64}}, 'UTC') AS found,
    fromUnixTimestamp64Milli({{oldest:Int64}}, 'UTC') AS oldest,
    fromUnixTimestamp64Milli({{due:Int64}}, 'UTC') AS due,
    listed AS
    (
        SELECT tenant_id, call_id, ended_at
        FROM {EXCHANGE_CALLS} FINAL
        WHERE (tenant_id, call_id) GLOBAL IN
            (
                SELECT tenant_id, call_id FROM {EXCHANGE_CALLS}
                WHERE ended_at >= oldest AND ended_at < due
                    AND (
                        stored_at >= fromUnixTimestamp64Milli({{looked:Int64}}, 'UTC')
                        OR ended_at >= fromUnixTimestamp64Milli({{looked_due:Int64}}, 'UTC')
                    )
            )
            AND recorded
            AND ended_at >= oldest AND ended_at < due
    )
SELECT tenant_id, call_id, true, '{NO_EVENT}', ended_at, found, found, toUnixTimestamp64Milli(found)
FROM listed
WHERE (tenant_id, call_id) GLOBAL NOT IN
    (
        SELECT tenant_id, call_id FROM {OUTCOMES}
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM listed)
    )
    AND (tenant_id, call_id) GLOBAL NOT IN
    (
        SELECT tenant_id, call_id FROM {MISSING_RECORDINGS} FINAL
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM listed) AND missing
    )
    AND (tenant_id, call_id) GLOBAL NOT IN
    (
        SELECT tenant_id, call_id FROM purge_versions
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM listed)
    )
"""  # noqa: S608 - names of tables

_LET_GO = f"""
{_INSERT}
WITH
    fromUnixTimestamp64Milli({{now:Int64}}, 'UTC') AS found,
    gone AS (SELECT tenant_id, call_id, ended_at, found_at FROM {MISSING_RECORDINGS} FINAL WHERE missing)
SELECT tenant_id, call_id, false, '', ended_at, found_at, found, toUnixTimestamp64Milli(found)
FROM gone
WHERE (tenant_id, call_id) GLOBAL IN
    (
        SELECT tenant_id, call_id FROM {OUTCOMES}
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM gone)
    )
    OR (tenant_id, call_id) GLOBAL IN
    (
        SELECT tenant_id, call_id FROM purge_versions
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM gone)
    )
    OR (tenant_id, call_id) GLOBAL IN
    (
        SELECT tenant_id, call_id FROM {EXCHANGE_CALLS} FINAL
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM gone) AND NOT recorded
    )
"""  # noqa: S608 - names of tables

_HOURS = f"""
SELECT tenant_id, toUnixTimestamp(toStartOfHour(found_at)) AS hour_s, countIf(missing), count(),
    toUnixTimestamp64Milli(max(ended_at))
FROM {MISSING_RECORDINGS} FINAL
WHERE found_at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
GROUP BY tenant_id, hour_s ORDER BY tenant_id, hour_s
"""  # noqa: S608 - names of tables

_FIRST = f"""
SELECT call_id FROM {MISSING_RECORDINGS} FINAL
WHERE tenant_id = {{tenant_id:String}} AND missing
    AND found_at >= fromUnixTimestamp({{hour_s:Int64}}) AND found_at < fromUnixTimestamp({{hour_s:Int64}} + 3600)
ORDER BY ended_at, call_id LIMIT {{most:UInt32}}
"""  # noqa: S608 - names of tables

_RAISED = f"""
SELECT DISTINCT alert_id FROM alert_versions
WHERE rule_id IN ('{MISSING_RULE}', '{COMPLETE_RULE}') AND raised_at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
"""  # noqa: S608 - names of rules


class ClickHouseMissingRecordings:
    """Connects at the first question, and again after an error. For one thread. Raises as `connect` does."""

    def __init__(self, url: str) -> None:
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)

    def find(self, *, now: datetime, oldest: datetime, due: datetime, looked: datetime, looked_due: datetime) -> None:
        """As the port says."""
        self._execute(
            "finding missing recordings", _FIND, now=now, oldest=oldest, due=due, looked=looked, looked_due=looked_due
        )

    def let_go(self, now: datetime) -> None:
        """As the port says."""
        self._execute("letting go of recordings that came", _LET_GO, now=now)

    def hours(self, since: datetime) -> list[HourOfMissing]:
        """As the port says."""
        return [
            HourOfMissing(
                tenant_id,
                datetime.fromtimestamp(hour_s, UTC),
                missing,
                ever,
                datetime.fromtimestamp(last_ms / 1000, UTC),
            )
            for tenant_id, hour_s, missing, ever, last_ms in self._rows("missing recordings", _HOURS, since=since)
        ]

    def first_calls(self, hour: HourOfMissing, most: int) -> tuple[str, ...]:
        """As the port says."""
        asked = {"tenant_id": hour.tenant_id, "hour_s": int(hour.hour.timestamp()), "most": most}
        return tuple(call_id for (call_id,) in self._rows("calls without a recording", _FIRST, **asked))

    def raised(self, since: datetime) -> frozenset[str]:
        """As the port says."""
        return frozenset(alert_id for (alert_id,) in self._rows("alerts about recordings", _RAISED, since=since))

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def _execute(self, operation: str, statement: str, **parameters: object) -> None:
        with self._connection.client() as client:
            execute(client, operation, statement, **_in_ms(parameters))

    def _rows(self, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        with self._connection.client() as client:
            return read_rows(client, operation, query, **_in_ms(parameters))


def _in_ms(parameters: dict[str, object]) -> dict[str, object]:
    """Moments as milliseconds: the driver would cut them to seconds."""
    return {
        name: int(value.timestamp() * 1000) if isinstance(value, datetime) else value
        for name, value in parameters.items()
    }
