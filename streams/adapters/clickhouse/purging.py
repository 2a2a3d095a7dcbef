"""Destroyed calls in ClickHouse: finds what there is of them, takes it away by mutations, looks whether it has gone.

Asks by an account that may change rows (`custody_keeper` in `roles.yaml`); that of `store` may not.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, cast

from processors.clickhouse.purge_sql import (
    CONTACTS,
    FORGET_CUSTOMER,
    KEEP_CONTACTS,
    OF_A_PERSON,
    PURGE_STATE_STEP,
    PURGED,
    TABLES,
    PurgedTable,
    mutations,
)
from processors.clickhouse.rows import OUTCOMES, PURGED_VERSION
from processors.custody.listed_call import ListedCall
from processors.custody.purge import PlaceCounts
from schemas.clickhouse.cluster import Cluster, to_sql
from schemas.errors import RetryableError
from streams.adapters.clickhouse.connection import ClickHouseAddress
from streams.adapters.clickhouse.listed_calls import read_listed
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.statements import execute, read_rows

TIMEOUT_S = 3_600
"""For a mutation of months of calls; nobody waits for it but the purge."""

OLD_PARTS_WITHIN_S = 300.0
"""So long ClickHouse may take to remove what mutations have replaced: forty seconds, and its own rhythm."""

# Which facts go is asked of the calls, which nothing changes meanwhile: every replica finds the same.
_AT_ONCE = "SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1"

_STATES = {"blocked": 0, "purging": PURGE_STATE_STEP, "purged": 2 * PURGE_STATE_STEP}

# Whoever reads the log of queries must not find the key of a customer there.
_UNLOGGED = "SETTINGS log_queries = 0"

_DAYS = """
SELECT DISTINCT call_id, ended_at FROM
(
    SELECT call_id, ended_at FROM outcome_versions
    WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} AND isNotNull(ended_at)
    UNION ALL
    SELECT call_id, toNullable(ended_at) FROM call_versions
    WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
    UNION ALL
    SELECT call_id, toNullable(ended_at) FROM transcript_versions
    WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
)
"""

# Of a call without a recording the list is all there ever was: it was not announced, and has no outcome.
_UNRECORDED = """
SELECT call_id FROM exchange_call_versions
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} GROUP BY call_id HAVING NOT max(recorded)
"""

_LISTED_ENDS = """
SELECT call_id, argMax(ended_at, version) FROM exchange_call_versions
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} GROUP BY call_id
"""

_UNDECIDED = """
SELECT call_id, outcome FROM outcome_versions FINAL
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
"""

_OF_CUSTOMER = f"""
SELECT call_id, max(ended_at) FROM
(
    SELECT call_id, ended_at FROM call_versions
    WHERE tenant_id = {{tenant:String}} AND customer_key IN {{keys:Array(String)}}
    UNION ALL
    SELECT call_id, ended_at FROM exchange_call_versions
    WHERE tenant_id = {{tenant:String}} AND customer_key IN {{keys:Array(String)}}
)
GROUP BY call_id ORDER BY call_id {_UNLOGGED}
"""  # noqa: S608 - names of ours

_OLD_PARTS = """
SELECT count() FROM {parts} WHERE database = {{database:String}} AND table IN {{tables:Array(String)}} AND NOT active
    AND remove_time <= {{before:DateTime('UTC')}}
"""


class ClickHousePurge:
    """Connects at the first question, and again after an error. For one thread. Raises as `connect` does."""

    def __init__(
        self, url: str, window_days: int, cluster: str = "", pause: Callable[[float], object] = time.sleep
    ) -> None:
        """`window_days`: within so many days a call of the same customer is a repeat (`first_contact_days`)."""
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)
        self._window_days = window_days
        self._database = ClickHouseAddress.parse(url).database
        self._cluster = Cluster(cluster, self._database) if cluster else None
        self._pause = pause

    def now(self) -> datetime:
        """The time of the database."""
        ((moment,),) = self._rows("the time", "SELECT now64(3, 'UTC')")
        return cast(datetime, moment)

    def days_of(self, tenant_id: str, calls: Collection[str]) -> dict[str, set[date]]:
        """Call → the UTC days on which it ended, as far as they are known here."""
        days: dict[str, set[date]] = defaultdict(set)
        for call_id, ended_at in self._rows("the days of calls", _DAYS, tenant=tenant_id, calls=sorted(calls)):
            days[call_id].add(ended_at.astimezone(UTC).date())
        return dict(days)

    def calls_of_customer(self, tenant_id: str, customer_keys: Collection[str]) -> dict[str, datetime]:
        """Call → when it ended, of every call of the customer, those of the exchange's list included."""
        rows = self._rows("the calls of a customer", _OF_CUSTOMER, tenant=tenant_id, keys=sorted(customer_keys))
        return {str(call_id): ended_at for call_id, ended_at in rows}

    def listed(self, tenant_id: str, calls: Collection[str]) -> dict[str, ListedCall]:
        """Call → what the exchange's list says of it."""
        with self._connection.client() as client:
            return read_listed(client, tenant_id, sorted(calls))

    def tell(
        self,
        tenant_id: str,
        calls: Collection[str],
        state: str,
        *,
        reason: str,
        policy: str,
        purge_id: str,
        at: datetime,
    ) -> None:
        """Say in which state they are. Blocked ones are hidden from every view when this returns."""
        ends = self._ends(tenant_id, calls)
        stamp = _STATES[state] + _milliseconds(at)
        rows = [
            {
                "tenant_id": tenant_id,
                "call_id": call_id,
                "state": state,
                "reason": reason,
                "policy_version": policy,
                "purge_id": purge_id,
                "ended_at": ends.get(call_id),
                "at": at,
                "version": stamp,
            }
            for call_id in sorted(calls)
        ]
        hidden = [{"tenant_id": tenant_id, "call_id": call_id} for call_id in sorted(calls)]
        if state != "purged":
            # Also while they are being destroyed: what a view still has of them is not shown any more.
            self._write({"blocked_calls": hidden})
        self._write({"purge_versions": rows})

    def destroy(self, tenant_id: str, calls: Sequence[str], at: datetime, *, of_a_person: bool) -> PlaceCounts:
        """Take away what tells of these calls; what `kpi_calls` knows by their customers stays in their rows.

        Table → rows that had something. Returns when every replica has done it. Again is right.
        """
        self._keep_contacts(tenant_id, calls)
        self._decide(tenant_id, calls, at)
        before = self.left(tenant_id, calls, of_a_person=of_a_person)
        for purged in mutations(of_a_person):
            self._mutate(purged.mutation(), tenant=tenant_id, calls=list(calls), at=_milliseconds(at))
        return before

    def forget_customer(self, tenant_id: str, customer_keys: Collection[str]) -> None:
        """Take away what other systems know of a customer, of whose calls nothing is left. Again is right."""
        digests = sorted(sha256(key.encode()).hexdigest() for key in customer_keys)
        self._mutate(FORGET_CUSTOMER, tenant=tenant_id, digests=digests)

    def left(self, tenant_id: str, calls: Sequence[str], *, of_a_person: bool) -> PlaceCounts:
        """Table → rows that still have something of these calls: 0 everywhere, after `destroy`."""
        counts = dict.fromkeys(TABLES, 0)
        for purged in OF_A_PERSON if of_a_person else PURGED:
            counts[purged.table] += self._count(purged, tenant_id, calls)
        return counts

    def wait_for_old_parts(self) -> None:
        """Until the files that mutations have replaced are gone from the disks. Raises `RetryableError`."""
        tables = [f"{table}_local" if self._cluster else table for table in TABLES]
        parts = f"clusterAllReplicas('{self._cluster.name}', system.parts)" if self._cluster else "system.parts"
        before, waited_s = self.now().strftime("%Y-%m-%d %H:%M:%S"), 0.0
        query = _OLD_PARTS.format(parts=parts)
        while self._rows("old parts", query, database=self._database, tables=tables, before=before)[0][0]:
            if waited_s > OLD_PARTS_WITHIN_S:
                raise RetryableError("ClickHouse has not yet removed the files that were replaced")
            self._pause(1.0)
            waited_s += 1.0

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def _keep_contacts(self, tenant_id: str, calls: Sequence[str]) -> None:
        found = self._rows(
            "the contacts of customers", CONTACTS, tenant=tenant_id, calls=list(calls), window_days=self._window_days
        )
        if not found:
            return
        kept: Mapping[str, list[str]] = {
            "contact": [row[0] for row in found if row[3]],
            "called_again": [row[0] for row in found if row[1]],
            "repeat": [row[0] for row in found if row[2]],
        }
        self._mutate(KEEP_CONTACTS, tenant=tenant_id, touched=[row[0] for row in found], **kept)

    def _decide(self, tenant_id: str, calls: Sequence[str], at: datetime) -> None:
        """A call that has no outcome yet gets `purged`; any other keeps its first one, and one without a recording
        none."""
        unrecorded = self._rows("calls without a recording", _UNRECORDED, tenant=tenant_id, calls=list(calls))
        known = {str(call_id): "" for (call_id,) in unrecorded}
        rows_known = self._rows("outcomes", _UNDECIDED, tenant=tenant_id, calls=list(calls))
        known |= {str(call_id): str(outcome) for call_id, outcome in rows_known}
        ends = self._ends(tenant_id, calls)
        rows = [
            {
                "tenant_id": tenant_id,
                "call_id": call_id,
                "outcome": "purged",
                "reason": "purged",
                "ended_at": ends.get(call_id),
                "since": at,
                "version": PURGED_VERSION,
            }
            for call_id in calls
            if known.get(call_id, "pending") == "pending"
        ]
        if rows:
            self._write({OUTCOMES: rows})

    def _ends(self, tenant_id: str, calls: Collection[str]) -> dict[str, datetime]:
        """By their events; of calls that the exchange's list alone knows, by that."""
        ends: dict[str, datetime] = {}
        for query in (_LISTED_ENDS, _DAYS):
            rows = self._rows("the ends of calls", query, tenant=tenant_id, calls=sorted(calls))
            ends |= {str(call_id): ended_at for call_id, ended_at in rows}
        return ends

    def _count(self, purged: PurgedTable, tenant_id: str, calls: Sequence[str]) -> int:
        rows = self._rows("what is left of calls", purged.count(), tenant=tenant_id, calls=list(calls))
        return int(rows[0][0])

    def _mutate(self, statement: str, **parameters: object) -> None:
        for sql in to_sql((statement,), self._cluster):
            with self._connection.client() as client:
                execute(client, "destroying what tells of calls", f"{sql} {_AT_ONCE}", **parameters)

    def _write(self, rows: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
        with self._connection.client() as client:
            ClickHouseSink(client).write(rows)

    def _rows(self, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
        with self._connection.client() as client:
            return read_rows(client, operation, query, **parameters)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
