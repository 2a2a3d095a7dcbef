"""Calls of the exchange's own list, as `store` wrote them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.custody.holds import CustomerScope, ended_within
from processors.custody.listed_call import ListedCall
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows
from streams.ports import CallKey

TIMEOUT_S = 60
AT_ONCE = 1_000
"""Calls of one question."""

# Not FINAL: a key that a later list has no more may still lie in a row that is not merged, and is to go. Every event
# that came has an outcome, `pending` at least. Whoever reads the log of queries must not find a customer's key there.
_AMONG = """
SELECT
    call_id, groupUniqArray(customer_key) AS customer_keys, argMax(ended_at, version), max(recorded),
    call_id GLOBAL NOT IN
        (SELECT call_id FROM outcome_versions WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)})
FROM exchange_call_versions
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
GROUP BY call_id SETTINGS log_queries = 0
"""

_OF_CUSTOMERS = """
SELECT call_id, argMax(ended_at, version), groupUniqArray(customer_key) FROM exchange_call_versions
WHERE tenant_id = {tenant:String} AND customer_key IN {keys:Array(String)}
GROUP BY call_id ORDER BY call_id SETTINGS log_queries = 0
"""


class ListedCalls:
    """Connects at the first question, and again after an error. For one thread. Raises as `connect` does."""

    def __init__(self, url: str) -> None:
        self._connection = ReconnectingClient(url, timeout_s=TIMEOUT_S)

    def among(self, calls: Collection[CallKey]) -> Mapping[CallKey, ListedCall]:
        """Those of these calls that a list has."""
        found: dict[CallKey, ListedCall] = {}
        for tenant_id, group in groupby(sorted(set(calls)), key=lambda call: call[0]):
            with self._connection.client() as client:
                listed = read_listed(client, tenant_id, [call_id for _, call_id in group])
            found |= {(tenant_id, call_id): one for call_id, one in listed.items()}
        return found

    def of_customers(self, tenant_id: str, customers: Collection[CustomerScope]) -> frozenset[str]:
        """The calls that a list says to be of these customers."""
        keys = sorted({key for one in customers for key in one.keys})
        if not keys:
            return frozenset()
        with self._connection.client() as client:
            rows = read_rows(client, "the calls of customers", _OF_CUSTOMERS, tenant=tenant_id, keys=keys)
        return frozenset(str(row[0]) for row in rows if _is_of(customers, row[1], row[2]))

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()


def read_listed(client: Client, tenant_id: str, calls: Sequence[str]) -> dict[str, ListedCall]:
    """What a list says of these calls of a tenant. Raises as `connect` does."""
    found: dict[str, ListedCall] = {}
    for start in range(0, len(calls), AT_ONCE):
        part = list(calls[start : start + AT_ONCE])
        for row in read_rows(client, "calls of the exchange's list", _AMONG, tenant=tenant_id, calls=part):
            found[str(row[0])] = ListedCall(frozenset(map(str, row[1])), row[2], bool(row[3]), bool(row[4]))
    return found


def _is_of(customers: Collection[CustomerScope], ended_at: datetime, keys: Sequence[Any]) -> bool:
    return any(one.keys.intersection(map(str, keys)) and ended_within(one, ended_at) for one in customers)
