"""A connection to ClickHouse over HTTP: where it is, and a client of it. One code for engine and server."""

import logging
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from schemas.errors import OperatorError
from streams.adapters.clickhouse.errors import translated_errors

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 120
UNANSWERED = "; start it, or set clickhouse_url (CALLSTREAM_CLICKHOUSE_URL) to the address of one that runs"


class ClickHouseUrlError(OperatorError):
    """The URL of ClickHouse cannot be used; the text does not contain it."""


@dataclass(frozen=True)
class ClickHouseAddress:
    """`http(s)://user:password@host:port/database`, taken apart."""

    secure: bool
    host: str
    port: int
    user: str
    password: str
    database: str

    @classmethod
    def parse(cls, url: str) -> "ClickHouseAddress":
        """Raises `ClickHouseUrlError`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ClickHouseUrlError("clickhouse_url is not a URL: its host or port cannot be read") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClickHouseUrlError("clickhouse_url must be http(s)://user:password@host:port/database")
        secure = parts.scheme == "https"
        return cls(
            secure=secure,
            host=parts.hostname,
            port=port or (8443 if secure else 8123),
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.strip("/")) or "callstream",
        )

    def __repr__(self) -> str:
        return f"ClickHouse at {self.host}:{self.port}"


def connect(url: str, *, timeout_s: int | None = None) -> Client:
    """A client whose queries run in the database of the URL; times come back aware, in UTC.

    `timeout_s` bounds each wait for a connection or an answer where the usual limits are too long; the client knows
    whole seconds only.
    Raises `RetryableError` when ClickHouse does not answer, `ClickHouseAccessError` when it refuses the user,
    `ClickHouseSchemaError` when the database does not exist and `ClickHouseUrlError`.
    """
    address = ClickHouseAddress.parse(url)
    return open_client(address, address.database, timeout_s)


def open_client(address: ClickHouseAddress, database: str | None, timeout_s: int | None = None) -> Client:
    # The driver logs every error that it raises, with a traceback that can quote the value at fault.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    with translated_errors(f"connecting to {address.host}:{address.port}", advice=UNANSWERED):
        client = clickhouse_connect.get_client(
            interface="https" if address.secure else "http",
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password,
            database=database or "default",
            connect_timeout=CONNECT_TIMEOUT_S if timeout_s is None else timeout_s,
            send_receive_timeout=REQUEST_TIMEOUT_S if timeout_s is None else timeout_s,
            client_name="callstream",
            autogenerate_session_id=False,  # a session would allow one query at a time
            tz_mode="aware",
            show_clickhouse_errors="scrub",
            dedicated_pool=True,
        )
        if database:
            try:
                client.command("SELECT 1")
            except BaseException:
                client.close()
                raise
    return client
