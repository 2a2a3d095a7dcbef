"""ClickHouse over HTTP: connection, migrations, the sink, and what `status` asks. One code for engine and server.

The text of ClickHouse's errors can quote values, so no exception of this module carries it, except for migrations,
whose statements hold none; the others name the operation and ClickHouse's name and number of the error.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError
from clickhouse_connect.driver.exceptions import Error as DriverError

from processors.rows import OUTCOMES
from schemas.errors import OperatorError, RetryableError
from schemas.migrations import AppliedMigration, Migration, load_migrations, pending_migrations
from schemas.transcript import Transcript
from streams.ports import Rows
from streams.replay import RiskLevel

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 120

_ACCESS_CODES = frozenset({164, 192, 193, 194, 291, 497, 516})
"""READONLY, UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, DATABASE_ACCESS_DENIED, ACCESS_DENIED,
AUTHENTICATION_FAILED."""

_MISSING_CODES = frozenset({16, 60, 81})
"""NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_TABLE, UNKNOWN_DATABASE."""

_TIMEOUT_EXCEEDED = 159
"""Of a query; a connection that is too slow has codes of its own."""

_RETRYABLE_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE: the connection broke in mid-insert
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        _TIMEOUT_EXCEEDED,
        160,  # TOO_SLOW
        173,  # CANNOT_ALLOCATE_MEMORY
        198,  # DNS_ERROR
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        254,  # NO_ACTIVE_REPLICAS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        700,  # USER_SESSION_LIMIT_EXCEEDED
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)

_INSERT_SETTINGS = {
    "async_insert": 0,  # the rows are in the table when the insert returns: offsets are committed after it
    "max_partitions_per_insert_block": 0,  # events with strange dates must not block those beside them
    # Made when parts are merged, which makes them anew anyway; a search reads the texts of a part that has none yet.
    "exclude_materialize_skip_indexes_on_insert": "agent_text_index, customer_text_index, unknown_text_index",
}

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32 COMMENT 'number of the migration',
    name String COMMENT 'name of the migration',
    sha256 String COMMENT 'SHA-256 of its file',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when it was applied, UTC'
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Migrations that were applied to this database'
"""


class ClickHouseAccessError(OperatorError):
    """ClickHouse refuses our user, password or rights: an operator must act."""


class ClickHouseSchemaError(OperatorError):
    """A table, column or the database is missing: `callstream migrate` was not run."""


class ClickHouseRefusedError(OperatorError):
    """ClickHouse or its client refused a request that should be right: a bug."""


class QueryTimeoutError(RetryableError):
    """ClickHouse gave a query up because it took longer than it may."""


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
    return _open(address, address.database, timeout_s)


def _open(address: ClickHouseAddress, database: str | None, timeout_s: int | None = None) -> Client:
    # The driver logs every error that it raises, with a traceback that can quote the value at fault.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    with _errors(f"connecting to {address.host}:{address.port}"):
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


@contextmanager
def _errors(operation: str, *, quotable: bool = False) -> Iterator[None]:
    """Turn the driver's exceptions into ours. `quotable`: the server's text holds nothing of a call."""
    try:
        yield
    except ClickHouseError as error:
        raise _translated(error, operation, quotable=quotable) from None


@contextmanager
def _unwritable(table: str) -> Iterator[None]:
    """A value of the wrong type is a bug, and Python's sentence about it would quote the value."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ClickHouseRefusedError(
            f"A row for {table} holds a value that its column cannot: {type(error).__name__}"
        ) from None


def _translated(error: ClickHouseError, operation: str, *, quotable: bool) -> Exception:
    code = error.code if isinstance(error, DriverError) else None
    name = error.name if isinstance(error, DriverError) else None
    reason = f"{name or type(error).__name__}{'' if code is None else f' ({code})'}"
    if code in _ACCESS_CODES:
        return ClickHouseAccessError(
            f"ClickHouse refuses {operation}: {reason}; check the user, the password and the rights in clickhouse_url."
        )
    if code == _TIMEOUT_EXCEEDED:
        return QueryTimeoutError(f"ClickHouse could not do {operation} in time: {reason}")
    if code in _RETRYABLE_CODES:
        return RetryableError(f"ClickHouse could not do {operation}: {reason}")
    if code is None and not isinstance(error, ProgrammingError | DataError):
        return RetryableError(f"ClickHouse did not answer {operation}")
    if code in _MISSING_CODES and not quotable:
        return ClickHouseSchemaError(
            f"ClickHouse lacks the database, a table or a column for {operation}: {reason}; run `callstream migrate`."
        )
    return ClickHouseRefusedError(f"ClickHouse refused {operation}: {error if quotable else reason}")


def migrate(url: str, migrations: tuple[Migration, ...] | None = None) -> list[Migration]:
    """Bring the database up to date; returns what was applied, nothing the second time.

    Creates the database where it is absent. Two at once do no harm: every statement can be run again, and what was
    applied is remembered by number. Raises as `connect` does, and `MigrationRefusedError` when the files do not fit
    the database.
    """
    migrations = load_migrations() if migrations is None else migrations
    address = ClickHouseAddress.parse(url)
    _create_database(address)
    client = connect(url)
    try:
        with _errors("creating schema_migrations", quotable=True):
            client.command(_LEDGER)
        waiting = pending_migrations(migrations, _applied(client))
        for migration in waiting:
            for statement in migration.statements:
                with _errors(f"migration {migration.label}", quotable=True):
                    client.command(statement)
            _remember(client, migration)
        return list(waiting)
    finally:
        client.close()


def pending(url: str, migrations: tuple[Migration, ...] | None = None) -> list[Migration]:
    """What `migrate` would apply; changes nothing. Raises as `migrate` does."""
    migrations = load_migrations() if migrations is None else migrations
    address = ClickHouseAddress.parse(url)
    if not _database_exists(address):
        return list(migrations)
    client = connect(url)
    try:
        with _errors("looking for schema_migrations"):
            known = bool(client.command("EXISTS TABLE schema_migrations"))
        return list(pending_migrations(migrations, _applied(client) if known else ()))
    finally:
        client.close()


def _create_database(address: ClickHouseAddress) -> None:
    """Asks first, because a user that may not create databases may well own an existing one."""
    if _database_exists(address):
        return
    client = _open(address, None)
    try:
        with _errors("creating the database", quotable=True):
            client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": address.database})
    finally:
        client.close()


def _database_exists(address: ClickHouseAddress) -> bool:
    client = _open(address, None)
    try:
        with _errors("looking for the database"):
            return bool(
                client.command(
                    "SELECT count() FROM system.databases WHERE name = {name:String}",
                    parameters={"name": address.database},
                )
            )
    finally:
        client.close()


def _applied(client: Client) -> tuple[AppliedMigration, ...]:
    with _errors("reading schema_migrations"):
        result = client.query("SELECT number, name, sha256 FROM schema_migrations FINAL ORDER BY number")
    return tuple(AppliedMigration(number, name, sha256) for number, name, sha256 in result.result_rows)


def _remember(client: Client, migration: Migration) -> None:
    with _errors("writing schema_migrations"):
        client.insert(
            "schema_migrations",
            [[migration.number, migration.name, migration.sha256]],
            column_names=["number", "name", "sha256"],
            settings=_INSERT_SETTINGS,
        )


class ClickHouseSink:
    """`streams.ports.Sink` on the tables of `schemas/clickhouse`: one insert per table and batch.

    Outcomes go last: a call that counts as done has its rows. A crash in between is harmless, because the batch
    comes again and equal rows replace each other.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._column_types: dict[str, dict[str, str]] = {}

    def write(self, rows: Rows) -> None:
        """Raises `RetryableError` when ClickHouse does not answer; after any error the whole batch may be repeated."""
        for table in sorted(rows, key=lambda name: name == OUTCOMES):
            if rows[table]:
                self._insert(table, rows[table])

    def _insert(self, table: str, rows: Sequence[Any]) -> None:
        types = self._types_of(table)
        names = [name for name in types if name in rows[0]]
        if any(row.keys() != set(names) for row in rows):
            raise ClickHouseRefusedError(f"rows for {table} do not fit its columns")
        with _errors(f"insert into {table}"), _unwritable(table):
            self._client.insert(
                table,
                [[row[name] for row in rows] for name in names],
                column_names=names,
                column_type_names=[types[name] for name in names],
                column_oriented=True,
                settings=_INSERT_SETTINGS,
            )

    def _types_of(self, table: str) -> dict[str, str]:
        """Column name → type, in the order of the table; asked once."""
        if table not in self._column_types:
            with _errors(f"describe {table}"):
                result = self._client.query("DESCRIBE TABLE {table:Identifier}", parameters={"table": table})
            self._column_types[table] = {row["name"]: row["type"] for row in result.named_results()}
        return self._column_types[table]


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


def outcome_counts(client: Client) -> dict[str, int]:
    """Call events by outcome, `pending` included."""
    query = "SELECT outcome, count() FROM outcomes GROUP BY outcome ORDER BY outcome"
    rows = read_rows(client, "outcome counts", query)
    return {str(row[0]): int(row[1]) for row in rows}


def unaccounted(client: Client, *, older_than_s: float, now: datetime) -> Unaccounted:
    """Call events that wait for their outcome for longer than `older_than_s`."""
    rows = read_rows(
        client,
        "unaccounted calls",
        "SELECT count(), minOrNull(since) FROM unaccounted WHERE since < fromUnixTimestamp64Milli({before:Int64})",
        before=int((now.timestamp() - older_than_s) * 1000),
    )
    calls, oldest_since = rows[0]
    return Unaccounted(calls, oldest_since)


def dead_letter_counts(client: Client) -> list[DeadLetterCount]:
    """Dead letters by step and kind of error, the most frequent first."""
    rows = read_rows(
        client,
        "dead letter counts",
        "SELECT step, exception_class, count() AS letters FROM dead_letters "
        "GROUP BY step, exception_class ORDER BY letters DESC, step, exception_class",
    )
    return [DeadLetterCount(step, exception_class, letters) for step, exception_class, letters in rows]


def calls_per_minute(client: Client, *, now: datetime, minutes: int) -> float:
    """Calls that reached their outcome in the last `minutes`, per minute."""
    rows = read_rows(
        client,
        "calls per minute",
        "SELECT count() FROM outcomes WHERE outcome != 'pending' AND since > fromUnixTimestamp64Milli({after:Int64}) "
        "AND since <= fromUnixTimestamp64Milli({now:Int64})",
        now=int(now.timestamp() * 1000),
        after=int(now.timestamp() * 1000) - minutes * 60_000,
    )
    return float(rows[0][0]) / minutes


def read_rows(client: Client, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
    """The rows of a query; its errors name the operation. Raises as `connect` does."""
    with _errors(operation):
        return client.query(query, parameters=parameters).result_rows


def define(client: Client, what: str, statement: str) -> None:
    """A statement that holds no value of a call, so that its error may be quoted. Raises as `connect` does."""
    with _errors(what, quotable=True):
        client.command(statement)


def execute(client: Client, operation: str, statement: str, **parameters: object) -> None:
    """A statement without rows; its errors name the operation. Raises as `connect` does."""
    with _errors(operation):
        client.command(statement, parameters=parameters)


@dataclass(frozen=True)
class StoredRisks:
    """The risk levels that are stored (`streams.replay.FormerJudgements`)."""

    client: Client

    def risks(self, calls: Sequence[Transcript]) -> dict[tuple[str, str], RiskLevel]:
        """Tenant and call id → level. Raises `RetryableError` when ClickHouse does not answer."""
        if not calls:
            return {}
        ended = [call.call.ended_at for call in calls]
        found = read_rows(
            self.client,
            "the stored judgements",
            "SELECT tenant_id, call_id, risk_level FROM calls WHERE tenant_id IN {tenants:Array(String)} "
            "AND ended_at BETWEEN {first:DateTime64(3, 'UTC')} AND {last:DateTime64(3, 'UTC')} "
            "AND call_id IN {ids:Array(String)}",
            tenants=sorted({call.tenant_id for call in calls}),
            first=min(ended),
            last=max(ended),
            ids=[call.call_id for call in calls],
        )
        return {(tenant, call): level or "none" for tenant, call, level in found}
