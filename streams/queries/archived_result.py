"""What was said and found of one call as Parquet, for the archive: a row, in which its segments, findings, scores and
topics are lists. ClickHouse writes it, from the views that people see."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date

from clickhouse_connect.driver.client import Client

from schemas.config.console_url import LINK_COLUMN
from schemas.config.roles import WHOLE_CALLS
from schemas.errors import RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.statements import read_rows, stream_of
from streams.queries.parquet_export import CUSTOMER_COLUMNS, PARQUET_END, PARQUET_SETTINGS

OPERATION = "the result of a call for the archive"
LISTS = {
    "segments": ("segment_id",),
    "findings": ("start_ms", "finding_id"),
    "scores": ("item_id",),
    "topics": ("topic_id", "role"),
}
"""View → what its rows are sorted by; each becomes a column of that name."""

_OF_CALL = (
    "tenant_id = {tenant:String} AND call_id = {call:String} "
    "AND ended_at >= toDateTime64({day:Date32}, 3, 'UTC') AND ended_at < toDateTime64({day:Date32} + 1, 3, 'UTC')"
)
_COLUMNS = (
    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
    "ORDER BY position"
)
_COUNT = f"SELECT count() FROM calls WHERE {_OF_CALL}"  # noqa: S608 - a constant


@dataclass(frozen=True)
class CallResults:
    """`streams.adapters.object_store.archive.ResultOfCall`. Safe to share between threads."""

    url: str

    def __call__(self, tenant_id: str, call_id: str, day: date) -> bytes | None:
        """Nothing in it finds the customer in other systems. Raises `RetryableError` and `OperatorError`."""
        parameters: dict[str, object] = {"tenant": tenant_id, "call": call_id, "day": day.isoformat()}
        with closing(connect(self.url)) as client:
            if read_rows(client, OPERATION, _COUNT, **parameters)[0][0] == 0:
                return None
            statement = _statement(client)
            data = b"".join(stream_of(client, OPERATION, statement, parameters, "Parquet", PARQUET_SETTINGS))
        if not data.endswith(PARQUET_END):
            raise RetryableError(f"ClickHouse broke off {OPERATION}")
        return data


def _statement(client: Client) -> str:
    columns = [f"`{name}`" for name, _ in _columns(client, WHOLE_CALLS)]
    for view, order in LISTS.items():
        found = list(_columns(client, view))
        row = f"tuple({', '.join(f'`{name}`' for name, _ in found)})"
        kind = f"Tuple({', '.join(f'`{name}` {kind}' for name, kind in found)})"
        rows = f"SELECT * FROM {view} WHERE {_OF_CALL} ORDER BY {', '.join(order)}"  # noqa: S608 - names of ours
        columns.append(f"(SELECT groupArray(CAST({row} AS {kind})) FROM ({rows})) AS {view}")  # noqa: S608
    return f"SELECT {', '.join(columns)} FROM {WHOLE_CALLS} WHERE {_OF_CALL}"  # noqa: S608


def _columns(client: Client, view: str) -> Iterator[tuple[str, str]]:
    """Name and type of each that is kept."""
    for name, kind in read_rows(client, f"the columns of {view}", _COLUMNS, table=view):
        if name not in CUSTOMER_COLUMNS and name != LINK_COLUMN:
            yield name, kind
