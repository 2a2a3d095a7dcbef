"""`streams.ports.Sink` on ClickHouse: rows into tables; a bad row is told from a database in trouble."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DataError
from clickhouse_connect.driver.exceptions import Error as DriverError

from processors.clickhouse.rows import OUTCOMES
from schemas.errors import RetryableError
from streams.adapters.clickhouse.errors import ClickHouseRefusedError, name_of, translated_errors
from streams.adapters.clickhouse.statements import INSERT_SETTINGS
from streams.ports import Rows, RowsRefusedError

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
        with translated_errors(f"insert into {table}"), _refused_rows(table):
            self._client.insert(
                table,
                [[row[name] for row in rows] for name in names],
                column_names=names,
                column_type_names=[types[name] for name in names],
                column_oriented=True,
                settings=INSERT_SETTINGS,
            )

    def _types_of(self, table: str) -> dict[str, str]:
        """Column name → type, in the order of the table; asked once."""
        if table not in self._column_types:
            with translated_errors(f"describe {table}"):
                result = self._client.query("DESCRIBE TABLE {table:Identifier}", parameters={"table": table})
            self._column_types[table] = {row["name"]: row["type"] for row in result.named_results()}
        return self._column_types[table]


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
            raise RetryableError(f"ClickHouse could not do insert into {table}: {name_of(error)}") from None
        if error.code in _DATA_CODES:
            raise RowsRefusedError(table, name_of(error)) from None
        raise
