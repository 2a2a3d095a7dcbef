"""What was not said, what comes before or after, on a real engine: by index, by newest transcript, as SQL finds it."""

import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_call_rated
from processors.clickhouse.search_sql import SearchQuery, of_index
from schemas.messages.call_ended import Role
from schemas.messages.call_rated import CallRated
from streams.adapters.clickhouse.connection import connect
from tests.support.stored_calls import T0, Call, Store

pytestmark = pytest.mark.embedded

THREAT = {"text": "12315", "role": "customer"}
SORRY = {"text": "抱歉", "alternatives": ["对不起", "不好意思"], "role": "agent"}
UNANSWERED: dict[str, Any] = {"phrases": [THREAT], "steps": [{"said": SORRY, "within_ms": 30_000, "absent": True}]}
GUIDE = Path(__file__).parents[2] / "docs" / "search.md"


@pytest.fixture
def store(new_database: Callable[[], str]) -> Iterator[Store]:
    url = new_database()
    client: Client = connect(url)
    yield Store(url, client)
    client.close()


def calls_at_random(count: int) -> list[Call]:
    """Of up to 60 s, a segment a second."""
    chance = random.Random(16)
    words = ["我要打12315", "幺二三幺五见", "非常抱歉", "对不起", *["嗯"] * 60]
    roles: tuple[Role, ...] = ("agent", "customer", "unknown")
    return [
        Call(
            f"c{number:03d}",
            tuple((chance.choice(roles), chance.choice(words)) for _ in range(chance.choice([0, 20, 60]))),
            ended_at=T0 - timedelta(hours=number),
        )
        for number in range(count)
    ]


def unanswered(call: Call) -> bool:
    """A segment begins at each whole second and lasts 900 ms."""
    threats = [at for at, (who, text) in enumerate(call.said) if who == "customer" and ("123" in text or "幺" in text)]
    sorry = [at for at, (who, text) in enumerate(call.said) if who != "customer" and ("抱歉" in text or "对不" in text)]
    return any(not any(0 < at - threat <= 30 for at in sorry) for threat in threats)


def test_a_threat_without_an_apology_within_30_s_is_found_by_search_and_by_the_documented_sql(store: Store) -> None:
    calls = calls_at_random(150)
    store.write(*calls[:80])
    store.merge_texts()
    store.write(*calls[80:])
    expected = [call.call_id for call in calls if unanswered(call)]
    assert 10 < len(expected) < 100
    assert store.ids(**UNANSWERED) == expected
    assert store.all(limit=7, **UNANSWERED)[0].quotes[0].role == "customer"
    (sql,) = re.findall(
        r"```sql\n(SELECT call_id, ended_at, arrayMin.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    )
    rows = store.client.query(sql).result_rows
    assert [row[0] for row in rows] == expected
    first_ms = {hit.call_id: hit.quotes[0].start_ms for hit in store.all(**UNANSWERED)}
    assert {row[0]: row[2] for row in rows} == first_ms


def test_what_was_not_said_is_known_of_calls_alone_in_which_somebody_was_heard(store: Store) -> None:
    store.write(
        Call("polite", (("customer", "我要退款"), ("agent", "非常抱歉"))),
        Call("rude", (("customer", "我要退款"), ("agent", "不行")), ended_at=T0 - timedelta(hours=1)),
        Call("other_side", (("customer", "对不起"), ("agent", "不行")), ended_at=T0 - timedelta(hours=2)),
        Call("who_knows", (("unknown", "我要退款，抱歉"),), ended_at=T0 - timedelta(hours=3)),
        Call("silent", (), outcome="no_audio", ended_at=T0 - timedelta(hours=4)),
    )
    for _ in range(2):
        assert store.ids(not_phrases=[SORRY]) == ["rude", "other_side"]
        assert store.ids(not_phrases=[{"text": "对不起"}, {"text": "退款"}]) == []
        assert store.ids(not_phrases=[SORRY], phrases=[{"text": "退款"}]) == ["rude"]
        assert store.ids(not_phrases=[SORRY], agents=["A1"]) == ["rude", "other_side"]
        store.merge_texts()


def test_a_transcript_that_was_replaced_counts_for_nothing(store: Store) -> None:
    store.write(Call("c1", (("customer", "打12315"), ("agent", "不行"))))
    store.write(Call("c1", (("customer", "打12315"), ("agent", "抱歉"))), after_s=120)
    assert store.ids(**UNANSWERED) == []
    assert store.ids(not_phrases=[SORRY]) == []
    assert store.ids(phrases=[THREAT], steps=[{"said": SORRY}]) == ["c1"]


def test_findings_can_be_what_a_search_is_about_and_what_it_lacks(store: Store) -> None:
    found = (("rules", "threat", "12315"),)  # at 2.0 s
    store.write(
        Call("answered", (("customer", "嗯"), ("agent", "嗯"), ("customer", "12315"), ("agent", "抱歉")), rules=found),
        Call("not", (("customer", "嗯"), ("agent", "抱歉")), rules=found, ended_at=T0 - timedelta(hours=1)),
        Call("no_words", (), rules=found, ended_at=T0 - timedelta(hours=2)),
        Call("other", rules=(("rules", "apology", ""),), ended_at=T0 - timedelta(hours=3)),
    )
    assert store.ids(rules=["threat"], steps=[{"said": SORRY}]) == ["answered"]
    assert store.ids(rules=["threat"], steps=[{"said": SORRY, "absent": True}]) == ["not"]
    (hit,) = store.all(rules=["threat"], steps=[{"said": SORRY}])
    assert [(quote.kind, quote.start_ms) for quote in hit.quotes] == [("finding", 2_000), ("phrase", 3_000)]
    assert store.ids(phrases=[SORRY], steps=[{"rule": "threat", "side": "before"}]) == ["answered"]
    assert store.ids(not_rules=["threat"]) == ["other"]


def test_the_newest_status_of_an_order_is_what_was_told_last(store: Store) -> None:
    store.write(
        Call("stays", order_status="退款中"),
        Call("changes", order_status="退款中", ended_at=T0 - timedelta(hours=1)),
        Call("comes", ended_at=T0 - timedelta(hours=2)),
        Call("stays", order_status="已退款", tenant="bright"),
    )
    told = [("changes", "已退款", 2), ("changes", "已发货", 1), ("comes", "退款中", 1), ("stays", None, 1)]
    for call_id, status, day in told:
        at = datetime(2026, 4, day, tzinfo=UTC)
        rated = CallRated(
            tenant_id="acme", call_id=call_id, rated_at=at, source="orders", order_status=status, resolved=True
        )
        store.sink.write(rows_for_call_rated(rated))
    assert store.ids(order_statuses=["退款中"]) == ["stays", "changes"]
    assert store.ids(newest_order_statuses=["退款中"]) == ["stays", "comes"]
    assert store.ids(newest_order_statuses=["已退款"]) == ["changes"]
    assert store.ids(newest_order_statuses=["已退款"], phrases=[{"text": "退款"}]) == ["changes"]
    assert store.ids(newest_order_statuses=["已发货"]) == []


def test_candidates_come_by_the_index_and_pages_do_not_end_where_most_are_not_meant(store: Store) -> None:
    store.write(
        *(Call(f"c{number:03d}", (("customer", "打12315"), ("agent", "抱歉"))) for number in range(100)),
        *(Call(f"d{number:03d}", (("agent", "您好"),), ended_at=T0 - timedelta(days=1)) for number in range(200)),
        Call("there", (("customer", "打12315"), ("agent", "不行")), ended_at=T0 - timedelta(days=2)),
    )
    store.merge_texts()
    page = store.page(limit=1, **UNANSWERED)
    assert ([hit.call_id for hit in page.hits], page.next_cursor) == (["there"], None)
    condition = of_index(SearchQuery.model_validate({"tenants": ["acme"], **UNANSWERED}))
    sql = f"EXPLAIN indexes = 1 SELECT count() FROM search_text_versions WHERE {condition.sql}"  # noqa: S608
    plan = "\n".join(row[0] for row in store.client.query(sql, parameters=dict(condition.parameters)).result_rows)
    assert "customer_text_index" in plan
    assert re.search(r"customer_text_index.*?Granules: ([1-3])/5", plan, re.DOTALL), plan
