"""The queries and commands of docs/analysts.md, and the outputs that stand below them.

    python -m tests.analysts.analysts_page

runs them on the invented calls that the page tells of, as the analyst of the page, and writes the outputs anew.
"""

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import yaml
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result

from processors.kpi.rollups import BY_HAND
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate, rule_packs_of, views_of, write_rules
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.cli.console.access import account
from streams.cli.main import app
from streams.demo.sample_data import SAMPLE_TENANT, SampleSpan, write_sample
from streams.settings import Settings, load_settings
from streams.stages.rollup import build_rollups
from tests.support.access_log import register_of
from tests.support.clickhouse_engine import RunningEngine, running_engine

PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
_QUERY = re.compile(r"^```sql\n(?P<sql>.*?)^```\n\n```text\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"^```console\n\$ (?P<command>callstream [^\n]+)\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
_QUESTION = re.compile(r"^\*\*(?P<number>\d+)\. (?P<title>[^\n]+?\?)\*\*", re.MULTILINE)
_SAMPLE = re.compile(r"^callstream sample-data --calls (\d+) --days (\d+) --until (\S+)$", re.MULTILINE)


ANALYST = "li_na"
"""Of the role `bi_analyst`, with the invented tenant alone."""
PASSWORD = "a-password-of-the-tests"
COLUMNS = "180"
"""Of the terminal: what is printed into a file has as many."""


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


@dataclass(frozen=True)
class Printed:
    """A command line of the page and what the page says that it prints."""

    command: str
    output: str


@dataclass(frozen=True)
class Question:
    """One of the numbered ones."""

    number: int
    title: str
    queries: tuple[Query, ...]
    commands: tuple[Printed, ...]
    text: str


def questions() -> list[Question]:
    """All of them, in the order of the page."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Twelve questions\n", 1)[1].split("\n## ", 1)[0]
    starts = list(_QUESTION.finditer(section))
    ends = [each.start() for each in starts[1:]] + [len(section)]
    return [
        Question(
            int(each["number"]),
            each["title"],
            tuple(Query(found["sql"], found["output"]) for found in _QUERY.finditer(section, each.start(), end)),
            tuple(
                Printed(found["command"], found["output"]) for found in _PRINTED.finditer(section, each.start(), end)
            ),
            section[each.start() : end],
        )
        for each, end in zip(starts, ends, strict=True)
    ]


def queries() -> list[Query]:
    """All of them, in the order of the page."""
    return [Query(found["sql"], found["output"]) for found in _QUERY.finditer(PAGE.read_text(encoding="utf-8"))]


def span() -> SampleSpan:
    """The calls that the command on the page makes."""
    found = _SAMPLE.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return SampleSpan(int(found[1]), int(found[2]), datetime.fromisoformat(found[3]))


@contextmanager
def engine_of_the_page(folder: Path) -> Iterator[RunningEngine]:
    """An empty engine that knows the analyst of the page."""
    users = folder / "users.yaml"
    digest = sha256(PASSWORD.encode()).hexdigest()
    person = {"name": ANALYST, "role": "bi_analyst", "tenants": [SAMPLE_TENANT], "password_sha256": digest}
    users.write_text(yaml.safe_dump({"users": [person]}))
    with running_engine(folder / "data", users) as engine:
        yield engine


def url_of_analyst(engine: RunningEngine) -> str:
    """Where the analyst of the page logs in."""
    return f"http://{ANALYST}:{PASSWORD}@127.0.0.1:{engine.port}/callstream"


def fill(engine: RunningEngine, calls: SampleSpan) -> None:
    """An empty engine with tables, calls, roll-ups and the views of KPIs."""
    settings: Settings = load_settings(
        {"CALLSTREAM_CLICKHOUSE_URL": engine.url(), "CALLSTREAM_CONSOLE_URL": CONSOLE}
    ).settings
    migrate(engine.url(), views=views_of(settings))
    write_rules(engine.url(), rule_packs_of(settings))
    client = connect(engine.url())
    for _ in write_sample(calls, ClickHouseSink(client), ()):
        pass
    client.close()
    build_rollups(settings, BY_HAND).refresh()


def output_of(client: Client, query: Query) -> str:
    """As the analyst of the page sees it."""
    return client.raw_query(query.sql, fmt="PrettyCompactMonoBlock").decode()


@dataclass(frozen=True)
class Person:
    """The analyst of the page at the command line, with an account of the register beside that of ClickHouse."""

    engine: RunningEngine
    folder: Path

    @classmethod
    def at(cls, engine: RunningEngine, folder: Path) -> "Person":
        """With a register of their own in the folder, where what they search is logged."""
        register_of(folder).close()
        person = cls(engine, folder)
        person.run(f"callstream user add {ANALYST} --home {SAMPLE_TENANT} --os-user {account()}")
        person.run(f"callstream user grant {ANALYST} bi_analyst --tenant {SAMPLE_TENANT}")
        return person

    def invoke(self, *arguments: str) -> Result:
        """KPIs are asked with the account in ClickHouse; a search asks as callstream, for what the register allows."""
        url = url_of_analyst(self.engine) if arguments[0] == "kpi" else self.engine.url()
        environment = {
            "CALLSTREAM_CLICKHOUSE_URL": url,
            "CALLSTREAM_DATA_DIR": str(self.folder),
            "LC_ALL": "en_US.UTF-8",
            "COLUMNS": COLUMNS,
        }
        return CliRunner().invoke(app, arguments, env=environment)

    def run(self, command: str) -> str:
        """What a command line of the page prints; it must end well."""
        _, *arguments = shlex.split(command)
        done = self.invoke(*arguments)
        assert done.exit_code == 0, f"{command}\n{done.output}"
        return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def main() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory() as name, engine_of_the_page(folder := Path(name)) as engine:
        fill(engine, span())
        client = connect(url_of_analyst(engine))
        person = Person.at(engine, folder)

        def queried(found: re.Match[str]) -> str:
            query = Query(found["sql"], found["output"])
            output = output_of(client, query) if query.is_of_invented_calls else query.output
            return f"```sql\n{query.sql}```\n\n```text\n{output}```"

        def printed(found: re.Match[str]) -> str:
            return f"```console\n$ {found['command']}\n{person.run(found['command'])}```"

        head, section, rest = re.split(
            r"(?=\n## Twelve questions\n)|(?=\n## What no topic covers\n)", PAGE.read_text(encoding="utf-8")
        )
        text = _QUERY.sub(queried, head + _PRINTED.sub(printed, section) + rest)
        client.close()
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main()
