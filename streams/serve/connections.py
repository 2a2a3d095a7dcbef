"""A connection of uvicorn that does not wait for ever for the head of a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_WITHIN_S = 10.0
"""From the beginning of a connection, or the end of the request before, to the end of the headers."""


class Connection(H11Protocol):
    """As uvicorn's, which waits for ever for headers that come byte by byte."""

    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It would log paths as they were sent, however logging is configured.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn declares it
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def _expect_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        within_s: float = self.app_state.get("head_within_s", HEAD_WITHIN_S)
        self._head_timer = self.loop.call_later(within_s, self._hang_up_on_idle)

    def _hang_up_on_idle(self) -> None:
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()
