"""Queries and statements on a client, with errors that name the operation."""

from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import Any, cast

from clickhouse_connect.driver.client import Client
from urllib3.exceptions import HTTPError

from schemas.errors import RetryableError
from streams.adapters.clickhouse.errors import translated_errors

INSERT_SETTINGS = {
    "async_insert": 0,  # the rows are in the table when the insert returns: offsets are committed after it
    "max_partitions_per_insert_block": 0,  # events with strange dates must not block those beside them
    # Made when parts are merged, which makes them anew anyway; a search reads the texts of a part that has none yet.
    "exclude_materialize_skip_indexes_on_insert": "agent_text_index, customer_text_index, unknown_text_index, "
    "agent_sounds_index, customer_sounds_index, unknown_sounds_index",
    "distributed_foreground_insert": 1,  # on a cluster: in the tables of the shards, not in a queue of this server
}

_CHUNK_BYTES = 1024 * 1024


def read_rows(client: Client, operation: str, query: str, **parameters: object) -> Sequence[Sequence[Any]]:
    """The rows of a query; its errors name the operation. Raises as `connect` does."""
    with translated_errors(operation):
        return client.query(query, parameters=parameters).result_rows


def define(client: Client, what: str, statement: str) -> None:
    """A statement that holds no value of a call, so that its error may be quoted. Raises as `connect` does."""
    with translated_errors(what, quotable=True):
        client.command(statement)


def execute(client: Client, operation: str, statement: str, **parameters: object) -> None:
    """A statement without rows; its errors name the operation. Raises as `connect` does."""
    with translated_errors(operation):
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
    with translated_errors(operation):
        answer = client.raw_stream(query, parameters=parameters, fmt=form, settings=settings)
        stream = cast(BufferedIOBase, answer)  # what it is for a client that does not run in an event loop
        try:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk
        except HTTPError:
            raise RetryableError(f"ClickHouse broke off {operation}") from None
        finally:
            stream.close()
