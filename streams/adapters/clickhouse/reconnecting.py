"""A connection that outlives errors, for workers that ask again and again."""

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.connection import connect


class ReconnectingClient:
    """Connects at the first question, and again at the next one after an error. For one thread at a time."""

    def __init__(self, url: str, *, timeout_s: int) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: Client | None = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """The client; any error within lets go of it. Raises as `connect` does."""
        try:
            if self._client is None:
                self._client = connect(self._url, timeout_s=self._timeout_s)
            yield self._client
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next question makes a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None
