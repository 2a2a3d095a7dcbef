"""What holds for every test: how far it may reach, one engine for a process, how long properties are looked at."""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import urllib3  # noqa: F401 - it asks at its import whether there is IPv6, which a test may not
from hypothesis import settings

from processors.judging import pipeline
from schemas.errors import EmbeddedStackError
from streams.adapters.register.register import Register
from streams.runtime import rules_feed
from streams.settings import load_settings
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.databases import Databases
from tests.support.postgresql_server import PostgresqlServer, PostgresqlUnavailableError, running_postgresql
from tests.support.reach import GUARD, Reach, reach_of
from tests.support.registers import BOTH, migrated, new_register_url
from tests.support.shipped_rules import checked_rulebooks, rulebooks_of

import_module("croniter")  # Faust imports it, and it asks for the machine by a child process, which a test may not
GUARD.install()

# The same examples in every run, so that a failure is one of the change that is tested; `make nightly` looks at more.
settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", max_examples=200, derandomize=True, deadline=None, database=None)
settings.load_profile("quick")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """To import a test is to reach nothing either, but for git, which says what files there are."""
    with GUARD.limited_to(Reach(processes=True)):
        return (yield)


DEAREST_FIRST = ("end_to_end", "kafka", "embedded", "postgresql", "model", "processes", "loopback")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that the last minutes are not those of one process alone."""

    def rank(item: pytest.Item) -> int:
        markers = {marker.name for marker in item.iter_markers()}
        return next((at for at, name in enumerate(DEAREST_FIRST) if name in markers), len(DEAREST_FIRST))

    dearest: dict[str, int] = {}
    for item in items:
        dearest[item.location[0]] = min(rank(item), dearest.get(item.location[0], len(DEAREST_FIRST)))
    items.sort(key=lambda item: dearest[item.location[0]])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which file goes to which process. There are environments with pytest that have no xdist."""
    from tests.support.files_that_share import FilesThatShare

    return FilesThatShare(config, log) if config.getvalue("dist") == "loadfile" else None


@cache
def kafka_can_be_had() -> bool:
    """Whether the jars of Apache Kafka are in the cache, or can be fetched."""
    from streams.embedded.apache_kafka import fetch_jars  # once `GUARD` stands before the clients that it imports

    mine = load_settings().settings
    try:
        fetch_jars(mine.cache_dir, mine.maven_url, lambda _done, _total, _name: None)
    except EmbeddedStackError:
        return False
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Fixtures of every scope included: the first test that asks for an engine must say so."""
    with GUARD.limited_to(reach_of(marker.name for marker in item.iter_markers())):
        if item.get_closest_marker("kafka") and not kafka_can_be_had():
            pytest.skip("the jars of Apache Kafka cannot be fetched here")
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """As for the setup. What a test began may be ended after another one, so that teardown is free."""
    with GUARD.limited_to(reach_of(marker.name for marker in item.iter_markers())):
        return (yield)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """The one of this process: each module, or each test, has databases of its own in it.

    Who stops it, configures it or needs users of its own starts another.
    """
    with running_engine(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture(scope="session")
def databases(engine: RunningEngine) -> Databases:
    """Those of `engine` that tests lend each other."""
    return Databases(engine)


@pytest.fixture
def new_database(databases: Databases) -> Iterator[Callable[[], str]]:
    """Each call gives the address of one more ClickHouse database with every table and view, and no row."""
    with databases.lending() as new:
        yield new


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The one of this process; the test is skipped where there is none. Each test makes a database of its own."""
    try:
        with running_postgresql() as server:
            yield server
    except PostgresqlUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=BOTH)
def register_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a register without tables: on SQLite, and on PostgreSQL."""
    return new_register_url(request.param, request, tmp_path)


@pytest.fixture
def register(register_url: str) -> Iterator[Register]:
    """With its tables and nothing in them: on SQLite, and on PostgreSQL."""
    with migrated(register_url) as register:
        yield register


@pytest.fixture(autouse=True)
def logging_is_left_as_it_was() -> Iterator[None]:
    """Commands configure logging for a process of their own, with a stream that is closed after the test."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = [one for one in root.handlers if one in before or type(one).__module__.startswith("_pytest")]
    root.setLevel(level)


@pytest.fixture(autouse=True)
def tables_are_as_wide_as_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a narrow window."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def shipped_rules_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and stages read the shipped rules at their start, as processes do; in one process once is enough."""
    monkeypatch.setattr(pipeline, "shipped_rulebooks", rulebooks_of)
    monkeypatch.setattr(rules_feed, "check_rulebooks", checked_rulebooks)
