"""What was said and found of a call, as the archive keeps it: one Parquet file that other tools read."""

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pyarrow import parquet

from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.queries.archived_result import LISTS, CallResults
from streams.queries.parquet_export import CUSTOMER_COLUMNS
from tests.support.clickhouse_engine import RunningEngine
from tests.support.stored_calls import KEY, Call, Store

pytestmark = pytest.mark.embedded

ENDED_AT = datetime(2026, 3, 1, 23, 59, 59, 999_000, tzinfo=UTC)
DAY = date(2026, 3, 1)
CALL = Call(
    "c1",
    (("agent", "您好"), ("customer", "我要退款")),
    ended_at=ENDED_AT,
    customer=KEY,
    order_id="O-1",
    topics=("refund", "delay"),
    risk="high",
    rules=(("sensitive_words", "finance.promise", "保本"),),
    score=59.5,
)


@pytest.fixture(scope="module")
def results(engine: RunningEngine) -> CallResults:
    url = engine.url(f"archived_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    store = Store(url, client)
    store.write(
        CALL,
        Call("c1", (("customer", "别的公司"),), tenant="bank", ended_at=ENDED_AT),
        Call("c2", (("customer", "再见"),), ended_at=ENDED_AT + timedelta(seconds=1)),
        Call("silent", (), ended_at=ENDED_AT),
    )
    client.close()
    return CallResults(url)


def read(data: bytes | None) -> dict[str, Any]:
    assert data is not None
    (row,) = parquet.read_table(io.BytesIO(data)).to_pylist()
    return dict(row)


def test_it_is_one_row_with_all_that_was_said_and_found(results: CallResults) -> None:
    row = read(results("acme", "c1", DAY))
    assert (row["tenant_id"], row["call_id"], row["ended_at"], row["score"]) == ("acme", "c1", ENDED_AT, 59.5)
    assert [each["text"] for each in row["segments"]] == ["您好", "我要退款"]
    assert [(each["rule_id"], each["matched"]) for each in row["findings"]] == [("finance.promise", "保本")]
    assert sorted(each["topic_id"] for each in row["topics"]) == ["delay", "refund"]
    assert row["scores"] == []
    nested = {name for view in LISTS for each in row[view] for name in each}
    assert not CUSTOMER_COLUMNS & (row.keys() | nested), "nothing of it finds the customer"


def test_a_call_without_words_has_none(results: CallResults) -> None:
    assert read(results("acme", "silent", DAY))["segments"] == []


def test_it_is_of_this_call_and_tenant_alone(results: CallResults) -> None:
    assert [each["text"] for each in read(results("bank", "c1", DAY))["segments"]] == ["别的公司"]


def test_a_call_that_was_never_judged_has_no_result(results: CallResults) -> None:
    assert results("acme", "c9", DAY) is None
    assert results("acme", "c2", DAY) is None, "it ended on the next day"
