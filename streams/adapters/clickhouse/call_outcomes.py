"""Where single calls ended, as `store` wrote it. See `streams.serve.ports.KnowsOutcomes`."""

import threading

from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows

_TIMEOUT_S = 5
_QUERY = "SELECT outcome, reason FROM outcomes WHERE tenant_id = {tenant:String} AND call_id = {call:String} LIMIT 1"


class ClickHouseOutcomes:
    """Asks for one call after the other; may be used by several threads. Needs to read the view `outcomes` alone."""

    def __init__(self, url: str) -> None:
        self._clients = ReconnectingClient(url, timeout_s=_TIMEOUT_S)
        self._lock = threading.Lock()

    def outcome(self, tenant_id: str, call_id: str) -> tuple[str, str] | None:
        """Outcome, `pending` before there is one, and reason; None where the call is not known."""
        with self._lock, self._clients.client() as client:
            rows = read_rows(client, "the outcome of a call", _QUERY, tenant=tenant_id, call=call_id)
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._clients.close()
