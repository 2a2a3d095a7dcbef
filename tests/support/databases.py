"""Migrated databases of one engine, lent to tests and emptied between them: to make one takes seconds, each time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from tests.support.clickhouse_engine import RunningEngine

_FILLED = """SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
    AND name NOT IN ('schema_migrations', 'reader_role_versions') AND total_rows > 0"""


@dataclass
class Databases:
    """Of an engine that nobody stops. Who changes tables, or asks for their files, makes a database of its own."""

    engine: RunningEngine
    _free: list[str] = field(default_factory=list)

    @contextmanager
    def lending(self) -> Iterator[Callable[[], str]]:
        """Each call gives the address of one more database with every table and view, and no row."""
        lent: list[str] = []

        def new() -> str:
            lent.append(self._free.pop() if self._free else self._made())
            return lent[-1]

        yield new
        for url in lent:
            _empty(url)
        self._free += lent

    def _made(self) -> str:
        url = self.engine.url(f"lent_{uuid4().hex}")
        migrate(url)
        return url


def _empty(url: str) -> None:
    client = connect(url)
    try:
        for (table,) in client.query(_FILLED).result_rows:
            client.command(f"TRUNCATE TABLE {table}")
    finally:
        client.close()
