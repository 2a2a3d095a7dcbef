"""A peak of storing: a table that cannot merge as fast as rows come refuses them, and `store` tries the batch again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from processors.clickhouse.rows import CALLS, rows_for_analysis
from schemas.errors import RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from tests.support.judged_calls import an_event, judged

pytestmark = pytest.mark.embedded


def test_a_table_with_too_many_parts_makes_store_wait_and_loses_nothing(new_database: Callable[[], str]) -> None:
    url = new_database()
    client = connect(url)
    sink = ClickHouseSink(client)
    now = datetime.now(UTC).replace(day=15)
    batches = [rows_for_analysis(judged(an_event(f"c-{n}", now - timedelta(days=60 + n)))) for n in range(3)]
    slow = {"parts_to_delay_insert": 1, "parts_to_throw_insert": 2, "max_bytes_to_merge_at_max_space_in_pool": 1}
    client.command(f"ALTER TABLE {CALLS} MODIFY SETTING " + ", ".join(f"{name} = {n}" for name, n in slow.items()))
    sink.write(batches[0])
    sink.write(batches[1])
    with pytest.raises(RetryableError, match=r"TOO_MANY_PARTS"):
        sink.write(batches[2])
    client.command(f"ALTER TABLE {CALLS} RESET SETTING " + ", ".join(slow))
    for batch in batches:
        sink.write(batch)
    assert client.query("SELECT count() FROM calls").result_rows == [(3,)]
    client.close()
