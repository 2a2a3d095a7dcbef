"""The queries of docs/analysts.md, and the outputs that stand below them.

    python -m tests.analysts.analysts_page

runs them on the invented calls that the page tells of and writes the outputs anew.
"""

import re
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate, views_of
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.demo.sample_data import SampleSpan, write_sample
from streams.settings import Settings, load_settings
from streams.stages.rollup import build_rollups
from tests.support.clickhouse_engine import RunningEngine, running_engine

PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
_QUERY = re.compile(r"^```sql\n(?P<sql>.*?)^```\n\n```text\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^callstream sample-data --calls (\d+) --days (\d+) --until (\S+)$", re.MULTILINE)


CONSOLE = "https://console.example/calls/{tenant_id}/{call_id}?t={second}"
"""Where links to the invented calls lead."""


@dataclass(frozen=True)
class Query:
    """A query of the page and what the page says that it gives."""

    sql: str
    output: str

    @property
    def is_of_invented_calls(self) -> bool:
        """Others stand with outputs of something else."""
        return "'sample'" in self.sql

    @property
    def told_columns(self) -> list[str]:
        """The columns in the head of the output."""
        return re.findall(r"─?(\w+)─", self.output.splitlines()[0]) if self.output else []


def queries() -> list[Query]:
    """All of them, in the order of the page."""
    return [Query(found["sql"], found["output"]) for found in _QUERY.finditer(PAGE.read_text(encoding="utf-8"))]


def span() -> SampleSpan:
    """The calls that the command on the page makes."""
    found = _COMMAND.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return SampleSpan(int(found[1]), int(found[2]), datetime.fromisoformat(found[3]))


def fill(engine: RunningEngine, calls: SampleSpan) -> None:
    """An empty engine with tables, calls, roll-ups and the views of KPIs."""
    settings: Settings = load_settings(
        {"CALLSTREAM_CLICKHOUSE_URL": engine.url(), "CALLSTREAM_CONSOLE_URL": CONSOLE}
    ).settings
    migrate(engine.url(), views=views_of(settings))
    client = connect(engine.url())
    for _ in write_sample(calls, ClickHouseSink(client), ()):
        pass
    client.close()
    build_rollups(settings).refresh()


def output_of(client: Client, query: Query) -> str:
    """As `analyst` on the page prints it."""
    return client.raw_query(query.sql, fmt="PrettyCompactMonoBlock").decode()


def main() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory() as folder, running_engine(Path(folder) / "data") as engine:
        fill(engine, span())
        client = connect(engine.url(user="analyst"))

        def renewed(found: re.Match[str]) -> str:
            query = Query(found["sql"], found["output"])
            output = output_of(client, query) if query.is_of_invented_calls else query.output
            return f"```sql\n{query.sql}```\n\n```text\n{output}```"

        text = _QUERY.sub(renewed, PAGE.read_text(encoding="utf-8"))
        client.close()
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main()
