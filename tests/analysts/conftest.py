"""A database with invented calls, for everything that analysts look at; made once for each process that tests."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from streams.adapters.clickhouse.connection import connect
from tests.analysts.analysts_page import engine_of_the_page, fill, span, url_of_analyst
from tests.support.clickhouse_engine import RunningEngine

SPAN = span()
"""Those of docs/analysts.md: of fewer calls, some query of the page finds none."""
UNTIL = SPAN.until
FROM = UNTIL - timedelta(days=SPAN.days)


@pytest.fixture(scope="session")
def sample_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine that holds `SPAN`."""
    folder: Path = tmp_path_factory.mktemp("sample")
    with engine_of_the_page(folder) as engine:
        fill(engine, SPAN)
        yield engine


@pytest.fixture
def analyst(sample_engine: RunningEngine) -> Iterator[Client]:
    """The account that comes with the embedded engine."""
    client = connect(sample_engine.url(user="analyst"))
    yield client
    client.close()


@pytest.fixture
def bi_analyst(sample_engine: RunningEngine) -> Iterator[Client]:
    """A person of that role, as on the page."""
    client = connect(url_of_analyst(sample_engine))
    yield client
    client.close()


@pytest.fixture
def writer(sample_engine: RunningEngine) -> Iterator[Client]:
    """The user that may also read what ClickHouse says of its disks."""
    client = connect(sample_engine.url())
    yield client
    client.close()
