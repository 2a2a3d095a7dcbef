"""ClickHouse's errors as ours: what to try again, what an operator must do, what is a bug.

The text of ClickHouse's errors can quote values, so none of ours carries it unless the statement holds no value; they
name the operation, and ClickHouse's name and number of the error.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError
from clickhouse_connect.driver.exceptions import Error as DriverError

from schemas.errors import OperatorError, RetryableError

_ACCESS_CODES = frozenset({164, 192, 193, 194, 291, 497, 516})
"""READONLY, UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, DATABASE_ACCESS_DENIED, ACCESS_DENIED,
AUTHENTICATION_FAILED."""

_MISSING_CODES = frozenset({16, 47, 60, 81})
"""NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER (a column that a SELECT names), UNKNOWN_TABLE, UNKNOWN_DATABASE."""

_TIMEOUT_EXCEEDED = 159
"""Of a query; a connection that is too slow has codes of its own."""

_RETRYABLE_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE: the connection broke in mid-insert
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE: too many are open, or its disk is away
        _TIMEOUT_EXCEEDED,
        160,  # TOO_SLOW
        173,  # CANNOT_ALLOCATE_MEMORY
        198,  # DNS_ERROR
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
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
        499,  # S3_ERROR: where its tables lie
        700,  # USER_SESSION_LIMIT_EXCEEDED
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)


class ClickHouseAccessError(OperatorError):
    """ClickHouse refuses our user, password or rights: an operator must act."""


class ClickHouseSchemaError(OperatorError):
    """A table, column or the database is missing: `callstream migrate` was not run."""


class ClickHouseRefusedError(OperatorError):
    """ClickHouse or its client refused a request that should be right: a bug."""


class QueryTimeoutError(RetryableError):
    """ClickHouse gave a query up because it took longer than it may."""


@contextmanager
def translated_errors(operation: str, *, quotable: bool = False, advice: str = "") -> Iterator[None]:
    """Turn the driver's exceptions into ours. `quotable`: the server's text holds nothing of a call. `advice`: what to
    do where nobody answers.
    """
    try:
        yield
    except ClickHouseError as error:
        raise _translated(error, operation, quotable=quotable, advice=advice) from None


def name_of(error: ClickHouseError) -> str:
    """ClickHouse's name and number of the error."""
    code = error.code if isinstance(error, DriverError) else None
    name = error.name if isinstance(error, DriverError) else None
    return f"{name or type(error).__name__}{'' if code is None else f' ({code})'}"


def _translated(error: ClickHouseError, operation: str, *, quotable: bool, advice: str) -> Exception:
    code = error.code if isinstance(error, DriverError) else None
    reason = name_of(error)
    if code in _ACCESS_CODES:
        return ClickHouseAccessError(
            f"ClickHouse refuses {operation}: {reason}; check the user, the password and the rights in clickhouse_url."
        )
    if code == _TIMEOUT_EXCEEDED:
        return QueryTimeoutError(f"ClickHouse could not do {operation} in time: {reason}")
    if code in _RETRYABLE_CODES:
        return RetryableError(f"ClickHouse could not do {operation}: {reason}")
    if _is_about_certificates(error):
        return ClickHouseAccessError(
            "The certificate of ClickHouse is not to be trusted: let SSL_CERT_FILE name its CA, and clickhouse_url a "
            "host that it bears."
        )
    if code is None and not isinstance(error, ProgrammingError | DataError):
        return RetryableError(f"ClickHouse did not answer {operation}{advice}")
    if code in _MISSING_CODES and not quotable:
        return ClickHouseSchemaError(
            f"ClickHouse lacks the database, a table or a column for {operation}: {reason}; run `callstream migrate`."
        )
    return ClickHouseRefusedError(f"ClickHouse refused {operation}: {error if quotable else reason}")


def _is_about_certificates(error: BaseException) -> bool:
    """Whether that is why there was no connection: such an error lies below those of the pool."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        one = left.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        if isinstance(one, ssl.SSLCertVerificationError):
            return True
        seen.add(id(one))
        left += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return False
