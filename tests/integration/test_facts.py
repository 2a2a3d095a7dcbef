"""What telephony and other systems know beside the recording, in a real ClickHouse: contacts, facts as of a call."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_analysis, rows_for_fact_received
from processors.kpi.statistics import Sums
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays
from schemas.messages.fact_received import FactReceived
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.kpis import ClickHouseKpis
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.clickhouse.sink import ClickHouseSink
from tests.support.stored_calls import T0, Call

pytestmark = pytest.mark.embedded

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
CUSTOMER, OTHER_CUSTOMER = "7a" * 32, "8b" * 32


class Filled:
    """A database, and what is written into it."""

    def __init__(self, url: str, client: Client) -> None:
        self.url, self.client, self._sink = url, client, ClickHouseSink(client)
        self._told = 0

    def calls(self, *calls: Call, **told: object) -> None:
        for call in calls:
            analysis = call.analysis()
            event = analysis.call.model_copy(update=told)
            self._sink.write(rows_for_analysis(analysis.model_copy(update={"call": event})))

    def fact(self, entity: str, key: str, valid_from: datetime, tenant: str = "acme", **fields: str) -> None:
        """What is told later is written later."""
        fact = FactReceived(
            tenant_id=tenant, entity=entity, key=key, valid_from=valid_from, fields=fields, source="tests"
        )
        self._told += 1
        for _ in range(2):  # at least once
            self._sink.write(rows_for_fact_received(fact, AT, self._told))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.client.query(query).result_rows]


@pytest.fixture
def store(new_database: Callable[[], str]) -> Iterator[Filled]:
    url = new_database()
    client = connect(url)
    yield Filled(url, client)
    client.close()


def minutes(number: int) -> datetime:
    return T0 + timedelta(minutes=number)


# --- contacts of several calls


def test_calls_that_lead_to_each_other_are_one_contact(store: Filled) -> None:
    """By whichever end tells it; a call that only is related is none of it."""
    store.calls(Call("first", ended_at=minutes(0), agent="A", team="north"), transferred_to="second", hold_ms=5_000)
    store.calls(Call("second", ended_at=minutes(5), agent="B"), after_call_work_ms=1_000, queue_wait_ms=9_000)
    store.calls(Call("third", ended_at=minutes(10), agent="C"), previous_call_id="second", disconnected_by="customer")
    store.calls(Call("fourth", ended_at=minutes(9), agent="B"), initial_call_id="first", after_call_work_ms=2_000)
    store.calls(Call("alone", ended_at=minutes(20)), initial_call_id="alone", related_call_ids=("first",))
    store.calls(Call("far", tenant="other", ended_at=minutes(30)), previous_call_id="second")
    found = store.rows(
        "SELECT tenant_id, chain_id, legs, call_ids, agents, first_agent_id, first_agent_team, last_agent_id, "
        "handling_ms, handling_told, hold_ms, queue_wait_ms, last_disconnected_by FROM contact_chains ORDER BY chain_id"
    )
    calls = ["first", "second", "fourth", "third"]
    both = 2 * 180_000 + 3_000
    assert found == [
        ("acme", "first", 4, calls, 3, "A", "north", "C", both, 2, 5_000, 9_000, "customer"),
        ("other", "second", 1, ["far"], 1, "A1", None, "A1", None, 0, None, None, None),
    ]


def test_calls_that_lead_to_each_other_in_a_circle_are_one_contact_too(store: Filled) -> None:
    for number, before in enumerate("cab"):
        store.calls(Call("abc"[number], ended_at=minutes(number)), previous_call_id=before)
    assert store.rows("SELECT chain_id, call_ids FROM contact_chains") == [("a", ["a", "b", "c"])]


# --- what other systems know


def test_a_call_is_joined_to_what_was_known_when_it_ended_and_to_what_is_known_by_now(store: Filled) -> None:
    for number in (0, 10, 20):
        store.calls(Call(f"c{number}", ended_at=minutes(number), order_id="o1", customer=CUSTOMER))
    store.calls(Call("elsewhere", tenant="other", ended_at=minutes(20), order_id="o1"))
    store.fact("order", "o1", minutes(20), status="delivered")
    store.fact("order", "o1", minutes(5), status="sent")
    store.fact("order", "o1", minutes(5), status="packed")
    found = "SELECT call_id, valid_from, fields, newest_fields FROM call_facts WHERE entity = 'order' ORDER BY call_id"
    newest = {"status": "delivered"}
    assert store.rows(found) == [
        ("c0", None, {}, newest),
        ("c10", minutes(5), {"status": "packed"}, newest),
        ("c20", minutes(20), newest, newest),  # from that moment on
    ]
    assert store.rows("SELECT key, valid_from, valid_until, fields FROM facts ORDER BY valid_from") == [
        (None, minutes(5), minutes(20), {"status": "packed"}),
        (None, minutes(20), None, newest),
    ]
    # What clients may set changes nothing of it.
    assert store.rows(f"{found} SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1") == store.rows(found)


def test_each_entity_is_found_by_its_key_of_the_call(store: Filled) -> None:
    store.calls(
        Call("c1", agent="A7", queue="refunds", order_id="o1", customer=CUSTOMER), crm={"course_id": "C101", "x": "y"}
    )
    keys = {"order": "o1", "customer": CUSTOMER, "credit": CUSTOMER, "agent": "A7", "queue": "refunds"}
    keys |= {"course": "C101", "call": "c1", "parcel": "c1"}
    for entity, key in keys.items():
        store.fact(entity, key, T0 - timedelta(days=1), about=entity)
    found = store.rows("SELECT entity, key, fields['about'] FROM call_facts ORDER BY entity")
    shown = {"agent", "call", "course", "queue"}
    assert found == [(name, keys[name] if name in shown else None, name) for name in sorted(keys) if name != "parcel"]


def test_fields_that_hold_personal_numbers_are_masked(store: Filled) -> None:
    store.fact("order", "o1", T0, phone="13800138000", status="sent")
    assert store.rows("SELECT fields FROM facts") == [({"phone": "[手机号]", "status": "sent"},)]


def test_the_time_to_solution_counts_each_order_once_at_its_first_call(store: Filled) -> None:
    store.calls(Call("a1", ended_at=minutes(0), order_id="a", team="north"))
    store.calls(Call("a2", ended_at=minutes(60), order_id="a", team="south"))
    store.calls(Call("b1", ended_at=minutes(0), order_id="b", team="south"))
    store.calls(Call("c1", ended_at=minutes(0), order_id="c"), Call("d1", ended_at=minutes(0), order_id="d"))
    store.fact("order", "a", minutes(90), solved_at=minutes(87).isoformat())
    store.fact("order", "b", minutes(90), solved_at="2026-03-31T21:00:00+08:00", problem_at="2026-03-31 10:00:00Z")
    store.fact("order", "c", minutes(90), status="not solved")
    store.fact("order", "d", minutes(90), solved_at="soon")
    kpi = read_kpis().kpi("time_to_solution")
    assert kpi is not None
    kpis = ClickHouseKpis(store.client, 7, TenantDays())
    sums = kpis.sums([kpi], "team", "day", T0 - timedelta(days=1), T0 + timedelta(days=1))
    minute = 60_000.0
    assert sums == {
        ("acme", ("north",), kpi.id): Sums.of([(90 * minute, 1)]),  # from the start of the call, three minutes before
        ("acme", ("south",), kpi.id): Sums.of([(180 * minute, 1)]),
    }


def test_a_refund_is_of_a_late_order_by_what_was_known_when_the_call_ended(store: Filled) -> None:
    promised = {"promised_at": minutes(-30).isoformat()}
    orders = {
        "late": (promised | {"delivered_at": minutes(-20).isoformat()}, 1.0),
        "in time": (promised | {"delivered_at": minutes(-40).isoformat()}, 0.0),
        "on its way": (promised, 1.0),
        "not due": ({"promised_at": minutes(30).isoformat()}, 0.0),
        "unknown": ({"status": "sent"}, None),
    }
    for number, (order, (fields, _)) in enumerate(orders.items()):
        store.calls(Call(f"refund.{number}", ended_at=minutes(0), order_id=order, topics=("ecommerce.refund_return",)))
        store.calls(Call(f"other.{number}", ended_at=minutes(0), order_id=order, topics=("ecommerce.promotion",)))
        store.fact("order", order, minutes(-60), **fields)
        store.fact("order", order, minutes(1), promised_at=minutes(90).isoformat())
    kpi = read_kpis().kpi("late_refunds")
    assert kpi is not None
    kpis = ClickHouseKpis(store.client, 7, TenantDays())
    sums = kpis.sums([kpi], "tenant", "day", T0 - timedelta(days=1), T0 + timedelta(days=1))
    assert sums == {("acme", (), kpi.id): Sums.of([(late, 1) for _, late in orders.values() if late is not None])}


# --- they go with the customer


def test_facts_go_with_the_last_call_that_names_them(store: Filled) -> None:
    for entity, key in (("order", "o1"), ("customer", CUSTOMER), ("credit", CUSTOMER), ("agent", "A1"), ("call", "c1")):
        store.fact(entity, key, T0, about=entity)
    store.fact("order", "o1", T0, tenant="other", about="order")
    store.calls(Call("c1", order_id="o1", customer=CUSTOMER), Call("c2", order_id="o1", customer=CUSTOMER))
    left = "SELECT tenant_id, entity FROM facts ORDER BY tenant_id, entity"
    purge = ClickHousePurge(store.url, 7)

    purge.destroy("acme", ["c1"], AT, of_a_person=False)
    after_one = store.rows(left)
    counts = purge.destroy("acme", ["c2"], AT, of_a_person=False)

    assert [entity for tenant, entity in after_one if tenant == "acme"] == ["agent", "credit", "customer", "order"]
    assert counts["fact_versions"] == 3
    assert store.rows(left) == [("acme", "agent"), ("other", "order")]
    purge.close()


def test_a_blocked_call_leads_to_no_order_and_no_customer(store: Filled) -> None:
    store.calls(Call("c1", order_id="o1", customer=CUSTOMER))
    for entity, key in (("order", "o1"), ("customer", CUSTOMER), ("agent", "A1")):
        store.fact(entity, key, T0 - timedelta(days=1), about=entity)
    purge = ClickHousePurge(store.url, 7)
    purge.tell("acme", ["c1"], "blocked", reason="erasure", policy="", purge_id="", at=AT)
    assert store.rows("SELECT entity FROM call_facts") == [("agent",)]
    purge.close()


def test_a_customer_who_is_erased_and_never_called_is_forgotten_all_the_same(store: Filled) -> None:
    for key in (CUSTOMER, OTHER_CUSTOMER):
        store.fact("credit", key, T0, band="A")
    purge = ClickHousePurge(store.url, 7)
    purge.forget_customer("acme", [CUSTOMER])
    assert store.rows("SELECT DISTINCT key FROM fact_versions") == [(OTHER_CUSTOMER,)]
    shown = store.rows("SELECT command FROM system.mutations WHERE database = currentDatabase()")
    assert shown
    assert CUSTOMER not in str(shown), "mutations are shown for long"
    purge.close()
