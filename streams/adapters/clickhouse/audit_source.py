"""What the audit log hears from ClickHouse: what people asked it, and where the calls of a day ended."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from processors.clickhouse.grants import quote_identifier
from streams.adapters.clickhouse.connection import ClickHouseAddress
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows

log = logging.getLogger(__name__)

TIMEOUT_S = 120
_LOG = "system.query_log"
MOST_QUERIES = 10_000
ACCESS_DENIED = 497
"""ClickHouse's code of a query that asks for what its account may not see."""


@dataclass(frozen=True)
class AskedQuery:
    """A query of somebody, without its text. `error` is ClickHouse's code, 0 for none; `began` whether it read."""

    query_id: str
    user: str
    at: datetime
    error: int
    began: bool
    tables: tuple[str, ...]
    rows_read: int
    rows: int


@dataclass(frozen=True)
class DayAccount:
    """Where the calls of a tenant ended that ended on a UTC day: outcome → calls."""

    tenant_id: str
    outcomes: dict[str, int]


class ClickHouseAuditSource:
    """Asks in the name of the workers' account. For one thread. Every method may raise `RetryableError` and
    `OperatorError`.
    """

    def __init__(self, url: str, cluster: str = "") -> None:
        self._clients = ReconnectingClient(url, timeout_s=TIMEOUT_S)
        address = ClickHouseAddress.parse(url)
        self.own_account = address.user
        self._database = address.database
        self._log = _LOG if not cluster else f"clusterAllReplicas({quote_identifier(cluster)}, {_LOG})"
        self._told = False

    def queries(self, since: datetime, without: Collection[str]) -> Sequence[AskedQuery]:
        """SELECTs that ended at that time or later and read a table of ours, and queries that were refused, in their
        order; not those of the accounts `without`. At most `MOST_QUERIES`; none where there is no query log.
        """
        query = f"""
            SELECT query_id, user, event_time_microseconds, exception_code, type != 'ExceptionBeforeStart',
                arraySort(arrayMap(t -> substring(t, length({{database:String}}) + 2),
                    arrayFilter(t -> startsWith(t, concat({{database:String}}, '.')), tables))) AS ours,
                read_rows, result_rows
            FROM {self._log}
            WHERE event_date >= toDate({{since:DateTime64(6, 'UTC')}}) - 1
                AND event_time_microseconds >= {{since:DateTime64(6, 'UTC')}}
                AND type != 'QueryStart' AND is_initial_query
                AND NOT has({{without:Array(String)}}, user)
                AND (exception_code = {ACCESS_DENIED} OR (query_kind = 'Select' AND notEmpty(ours)))
            ORDER BY event_time_microseconds, query_id
            LIMIT {MOST_QUERIES}
        """  # noqa: S608 - a name that is quoted
        with self._clients.client() as client:
            known = read_rows(
                client,
                "whether there is a query log",
                "SELECT count() FROM system.tables WHERE database = 'system' AND name = 'query_log'",
            )
            if not known[0][0]:  # made when the first query is logged
                if not self._told:
                    log.warning(
                        "audit: ClickHouse keeps no query log, or nobody has asked it anything yet: a server of your "
                        "own needs a <query_log> in its configuration (docs/audit.md)"
                    )
                self._told = True
                return []
            rows = read_rows(
                client,
                "its query log",
                query,
                database=self._database,
                since=since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
                without=sorted({self.own_account, *without}),
            )
        return [
            AskedQuery(
                str(query_id), str(user), _utc(at), int(error), bool(began), tuple(tables), int(read), int(given)
            )
            for query_id, user, at, error, began, tables, read, given in rows
        ]

    def account(self, day: date) -> Sequence[DayAccount]:
        """Where the calls ended that ended on that day, by tenant."""
        query = """
            SELECT tenant_id, outcome, count() FROM outcomes
            WHERE toDate(coalesce(ended_at, since), 'UTC') = {day:Date}
            GROUP BY tenant_id, outcome ORDER BY tenant_id, outcome
        """
        with self._clients.client() as client:
            rows = read_rows(client, "the account of a day", query, day=day)
        found: dict[str, dict[str, int]] = {}
        for tenant_id, outcome, calls in rows:
            found.setdefault(str(tenant_id), {})[str(outcome)] = int(calls)
        return [DayAccount(tenant_id, outcomes) for tenant_id, outcomes in found.items()]

    def close(self) -> None:
        """Let go of the connection."""
        self._clients.close()


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
