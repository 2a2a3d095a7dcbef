"""ClickHouse over HTTP: connection, migrations, the sink, and what `status` asks. One code for engine and server.

The text of ClickHouse's errors can quote values, so no exception of this module carries it, except for migrations,
whose statements hold none; the others name the operation and ClickHouse's name and number of the error.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BufferedIOBase
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError
from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from processors.clickhouse.rows import OUTCOMES
from schemas.clickhouse.cluster import Cluster
from schemas.clickhouse.migrations import AppliedMigration, Migration, load_migrations, pending_migrations
from schemas.errors import OperatorError, RetryableError
from schemas.messages.transcript import Transcript
from streams.ports import RiskOrNone, Rows, RowsRefusedError

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 120
_CHUNK_BYTES = 1024 * 1024

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

_READONLY = 164
"""To whoever reads or migrates it means: ask for rights. To `store` it is a state of the database that passes."""

_DATA_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
"""What is wrong lies in the rows. Refusals of any other kind would meet every row, and stop the stage."""

_INSERT_SETTINGS = {
    "async_insert": 0,  # the rows are in the table when the insert returns: offsets are committed after it
    "max_partitions_per_insert_block": 0,  # events with strange dates must not block those beside them
    # Made when parts are merged, which makes them anew anyway; a search reads the texts of a part that has none yet.
    "exclude_materialize_skip_indexes_on_insert": "agent_text_index, customer_text_index, unknown_text_index",
    "distributed_foreground_insert": 1,  # on a cluster: in the tables of the shards, not in a queue of this server
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
_MIGRATION_INSERTS = {"distributed_foreground_insert": 1}
"""A migration that copies rows is over when they are there, also on a cluster."""
_LEDGER_NAME = "schema_migrations"


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
def _refused_rows(table: str) -> Iterator[None]:
    """An insert: what is wrong with the rows is told from what is wrong with the database.

    Python's sentence about a value of the wrong type would quote the value.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, DataError) as error:
        raise RowsRefusedError(table, type(error).__name__) from None
    except DriverError as error:
        if error.code == _READONLY:
            raise RetryableError(f"ClickHouse could not do insert into {table}: {_named(error)}") from None
        if error.code in _DATA_CODES:
            raise RowsRefusedError(table, _named(error)) from None
        raise


def _named(error: ClickHouseError) -> str:
    """ClickHouse's name and number of the error."""
    code = error.code if isinstance(error, DriverError) else None
    name = error.name if isinstance(error, DriverError) else None
    return f"{name or type(error).__name__}{'' if code is None else f' ({code})'}"


def _translated(error: ClickHouseError, operation: str, *, quotable: bool) -> Exception:
    code = error.code if isinstance(error, DriverError) else None
    reason = _named(error)
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


def migrate(url: str, migrations: tuple[Migration, ...] | None = None, cluster: str = "") -> list[Migration]:
    """Bring the database up to date; returns what was applied, nothing the second time.

    Creates the database where it is absent. With a cluster the tables are made on every host of it
    (`schemas.clickhouse.cluster`).
    Two at once do no harm: every statement can be run again, and what was applied is remembered by number. Raises as
    `connect` does, `MigrationRefusedError` when the files do not fit the database, and `ClusterError`.
    """
    migrations = load_migrations() if migrations is None else migrations
    address = ClickHouseAddress.parse(url)
    said = [(migration, statements_of(migration, address.database, cluster)) for migration in migrations]
    _create_database(address, cluster)
    client = connect(url)
    try:
        _check_layout(client, cluster)
        with _errors("creating schema_migrations", quotable=True):
            for statement in _said((_LEDGER,), address.database, cluster):
                client.command(statement)
        waiting = pending_migrations(migrations, _applied(client))
        for migration, statements in said:
            if migration not in waiting:
                continue
            for statement in statements:
                with _errors(f"migration {migration.label}", quotable=True):
                    client.command(statement, settings=_MIGRATION_INSERTS)
            _remember(client, migration)
        return list(waiting)
    finally:
        client.close()


def missing_migrations(url: str, migrations: tuple[Migration, ...] | None = None) -> list[Migration]:
    """What `migrate` would apply; changes nothing. Raises as `migrate` does."""
    migrations = load_migrations() if migrations is None else migrations
    address = ClickHouseAddress.parse(url)
    if not _database_exists(address):
        return list(migrations)
    client = connect(url)
    try:
        with _errors("looking for schema_migrations"):
            known = bool(client.command(f"EXISTS TABLE {_LEDGER_NAME}"))
        return list(pending_migrations(migrations, _applied(client) if known else ()))
    finally:
        client.close()


def statements_of(migration: Migration, database: str, cluster: str) -> tuple[str, ...]:
    """The statements of a migration as they are run. Raises `ClusterError`."""
    return _said(migration.statements, database, cluster)


def preparing_statements(url: str, cluster: str) -> tuple[str, ...]:
    """What `migrate` runs on a cluster before the first migration. Raises `ClickHouseUrlError`."""
    database = ClickHouseAddress.parse(url).database
    return (Cluster(cluster, database).create_database(), *_said((_LEDGER.strip(),), database, cluster))


def _said(statements: tuple[str, ...], database: str, cluster: str) -> tuple[str, ...]:
    return Cluster(cluster, database).statements(statements) if cluster else statements


def _check_layout(client: Client, cluster: str) -> None:
    """A database that was made for one server is not spread by migrating it again, nor the other way round."""
    query = (
        "SELECT engine = 'Distributed' FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
    )
    found = read_rows(client, "looking for schema_migrations", query, name=_LEDGER_NAME)
    if found and bool(found[0][0]) != bool(cluster):
        made, wanted = ("one server", "a cluster") if cluster else ("a cluster", "one server")
        raise ClickHouseSchemaError(
            f"The database was made for {made}, and clickhouse_cluster says {wanted}; set it as it was, or migrate a "
            "new database and copy the rows (docs/operations.md#a-cluster)."
        )


def _create_database(address: ClickHouseAddress, cluster: str) -> None:
    """Asks first, because a user that may not create databases may well own an existing one."""
    if _database_exists(address):
        return
    client = _open(address, None)
    try:
        with _errors("creating the database", quotable=True):
            if cluster:
                client.command(Cluster(cluster, address.database).create_database())
                return
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
        """Raises `RetryableError`, `RowsRefusedError`, and `OperatorError` for what would meet every row."""
        for table in sorted(rows, key=lambda name: name == OUTCOMES):
            if rows[table]:
                self._insert(table, rows[table])

    def _insert(self, table: str, rows: Sequence[Any]) -> None:
        types = self._types_of(table)
        names = [name for name in types if name in rows[0]]
        if any(row.keys() != set(names) for row in rows):
            raise ClickHouseRefusedError(f"rows for {table} do not fit its columns")
        with _errors(f"insert into {table}"), _refused_rows(table):
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
    """Call events by outcome, `missing_migrations` included."""
    query = "SELECT outcome, count() FROM outcomes GROUP BY outcome ORDER BY outcome"
    rows = read_rows(client, "outcome counts", query)
    return {str(row[0]): int(row[1]) for row in rows}


def count_unaccounted(client: Client, *, older_than_s: float, now: datetime) -> Unaccounted:
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


def stream_of(
    client: Client,
    operation: str,
    query: str,
    parameters: dict[str, object],
    form: str,
    settings: dict[str, Any],
) -> Iterator[bytes]:
    """The answer of a query in a format of ClickHouse, piece by piece, as it comes. Raises as `connect` does.

    An error in the middle breaks the answer off, so the reader must know how a whole one ends.
    """
    with _errors(operation):
        answer = client.raw_stream(query, parameters=parameters, fmt=form, settings=settings)
        stream = cast(BufferedIOBase, answer)  # what it is for a client that does not run in an event loop
        try:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk
        except HTTPError:
            raise RetryableError(f"ClickHouse broke off {operation}") from None
        finally:
            stream.close()


@dataclass(frozen=True)
class StoredRisks:
    """The risk levels that are stored (`streams.stages.replay.FormerJudgements`)."""

    client: Client

    def risks(self, calls: Sequence[Transcript]) -> dict[tuple[str, str], RiskOrNone]:
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
