"""ClickHouse classes findings as Python does."""

import pytest

from schemas.messages.classes import nature_in_sql, source_in_sql, source_of
from streams.adapters.clickhouse.connection import connect
from tests.schemas.messages.test_classes import every_kind
from tests.support.clickhouse_engine import RunningEngine

pytestmark = pytest.mark.embedded


def test_nature_and_source_are_the_same_in_views_and_messages(engine: RunningEngine) -> None:
    kinds = every_kind()
    told = [
        (detector, source)
        for detector in ("rules", "like", "reading", "second_reader", "silence", "procedures")
        for source in ("", "speech", "reading", "hook")
    ]
    client = connect(engine.url("default"))
    try:
        natures = client.query(
            f"SELECT {nature_in_sql('one.1', 'one.2', 'one.3')} FROM (SELECT arrayJoin(%(kinds)s) AS one)",
            parameters={"kinds": list(kinds)},
        ).result_rows
        sources = client.query(
            f"SELECT {source_in_sql('one.1', 'attributes')} FROM "
            "(SELECT arrayJoin(%(told)s) AS one, map('source', one.2) AS attributes)",
            parameters={"told": told},
        ).result_rows
    finally:
        client.close()
    assert [nature for (nature,) in natures] == list(kinds.values())
    assert [source for (source,) in sources] == [source_of(*each) for each in told]
