"""Whose call it is, as `store` wrote it. See `streams.serve.permission.KnowsOwners`."""

import threading
from collections.abc import Callable

from processors.custody.intake import Intake, Stored
from schemas.messages.call_ended import CallEnded
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows
from streams.ports import CallOwner

_TIMEOUT_S = 5
_QUERY = "SELECT agent_id, agent_team FROM calls WHERE tenant_id = {tenant:String} AND call_id = {call:String} LIMIT 1"


class ClickHouseCallOwners:
    """Asks for one call after the other; may be used by several threads. Needs to read the view `calls` alone.

    What is stored and not announced yet is known from the register.
    """

    def __init__(self, url: str, intake: Callable[[str, str], Intake]) -> None:
        """`intake` is that of `Intakes`."""
        self._clients = ReconnectingClient(url, timeout_s=_TIMEOUT_S)
        self._intake = intake
        self._lock = threading.Lock()

    def owner(self, tenant_id: str, call_id: str) -> CallOwner | None:
        """None for a call that nobody knows. Raises `RetryableError` and `OperatorError`."""
        with self._lock, self._clients.client() as client:
            rows = read_rows(client, "whose call it is", _QUERY, tenant=tenant_id, call=call_id)
        if rows:
            agent_id, team = rows[0]
            return CallOwner(str(agent_id) or None, None if team is None else str(team) or None)
        intake = self._intake(tenant_id, call_id)
        if isinstance(intake, Stored):
            agent = CallEnded.decode(intake.event).agent
            return CallOwner(agent.id, agent.team)
        return None

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._clients.close()
