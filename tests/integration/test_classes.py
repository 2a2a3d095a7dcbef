"""ClickHouse classes findings as Python does."""

from itertools import product

import pytest

from schemas.messages.classes import nature_in_sql, source_in_sql, source_of
from streams.adapters.clickhouse.connection import connect
from tests.schemas.messages.test_classes import every_kind
from tests.support.clickhouse_engine import RunningEngine

pytestmark = pytest.mark.embedded


def test_nature_and_source_are_the_same_in_views_and_messages(engine: RunningEngine) -> None:
    kinds = every_kind()
    detectors = ("rules", "like", "reading", "second_reader", "silence", "procedures")
    told = list(product(detectors, ("", "speech", "reading", "hook")))
    nature, source = (
        nature_in_sql("one.1", "one.2", "one.3", "one.4", "map('state', one.5)"),
        source_in_sql("one.1", "attributes"),
    )
    of_told = "(SELECT arrayJoin(%(told)s) AS one, map('source', one.2) AS attributes)"
    client = connect(engine.url("default"))
    try:
        natures = client.query(
            f"SELECT {nature} FROM (SELECT arrayJoin(%(kinds)s) AS one)",  # noqa: S608 - nothing of it is from outside
            parameters={"kinds": list(kinds)},
        ).result_rows
        sources = client.query(f"SELECT {source} FROM {of_told}", parameters={"told": told}).result_rows  # noqa: S608
    finally:
        client.close()
    assert [nature for (nature,) in natures] == list(kinds.values())
    assert [source for (source,) in sources] == [source_of(*each) for each in told]
