"""Judged calls and the exchange's list as ClickHouse has them: adopted, held, erased; and the command beside them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from processors.clickhouse.rows import rows_for_analysis, rows_for_call_ended, rows_for_call_listed
from processors.custody.holds import CustomerScope
from processors.custody.listed_call import ListedCall
from processors.custody.retention import first_day_after
from schemas.messages.call_listed import CallListed
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.judged_calls import CallPlace, ClickHouseJudgedCalls, StoredJudgement
from streams.adapters.clickhouse.listed_calls import ListedCalls
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.holds import RegisterHolds
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.retentions import RegisterRetentions
from streams.cli.command_settings import command_settings
from streams.cli.main import app
from streams.ports import SystemClock
from streams.stages.adopt import FIRST
from tests.support.clickhouse_engine import RunningEngine
from tests.support.old_parts import remove_old_parts_at_once
from tests.support.stored_calls import KEY, T0, Call, Store

pytestmark = pytest.mark.embedded

NUMBER = "138 0013 8000"
SECRET = "a secret of the tests"
FORMER = "f" * 64


@pytest.fixture
def store(engine: RunningEngine) -> Iterator[Store]:
    url = engine.url(f"adopting_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    remove_old_parts_at_once(client)
    yield Store(url, client)
    client.close()


def listed(call_id: str, *, recorded: bool = True, key: str | None = KEY) -> CallListed:
    return CallListed(
        tenant_id="acme",
        call_id=call_id,
        recorded=recorded,
        started_at=T0 - timedelta(minutes=3),
        ended_at=T0,
        customer_key=key,
        listed_at=T0,
    )


def write_list(store: Store, *calls: CallListed) -> None:
    for one in calls:
        store.sink.write(rows_for_call_listed(one))


class TestJudgedCalls:
    def read(self, store: Store, most: int = 2) -> dict[str, StoredJudgement | str]:
        calls, found, behind = ClickHouseJudgedCalls(store.url), dict[str, StoredJudgement | str](), FIRST
        while page := calls.page("acme", behind, T0 + timedelta(days=1), most):
            assert len(page) <= most
            for one in calls.read("acme", page, with_texts=True):
                found[one if isinstance(one, str) else one.call.call_id] = one
            behind = page[-1]
        calls.close()
        return found

    def test_each_once_with_what_was_found_and_said_whatever_comes_twice(self, store: Store) -> None:
        call = Call(
            "c1", (("customer", "我要退费"),), customer=KEY, topics=("refund",), duration_ms=5_000, inquiry_type="退款"
        )
        store.write(call, *(Call(f"c{number}") for number in range(2, 7)), Call("other", tenant="beta"))
        later = call.analysis(version=2).model_copy(update={"retention_class": "finance", "retention_days": 1825})
        store.sink.write(rows_for_analysis(later))

        found = self.read(store)

        assert sorted(found) == [f"c{number}" for number in range(1, 7)]
        one = found["c1"]
        assert isinstance(one, StoredJudgement)
        assert (one.retention_class, one.retention_days, one.duration_ms, one.outcome) == (
            *("finance", 1825),
            *(5_000, "analyzed"),
        )
        assert one.texts == ("我要退费",)
        assert [topic.topic_id for topic in one.topics] == ["refund"]
        facts = set(type(one.call).model_fields) - {"csat", "agent", "queue", "order_id", "language_hint"}
        event = call.event
        assert {name: getattr(one.call, name) for name in facts} == {name: getattr(event, name) for name in facts}

    def test_tenants_and_single_calls(self, store: Store) -> None:
        store.write(Call("c1"), Call("c2"), Call("other", tenant="beta"))
        calls = ClickHouseJudgedCalls(store.url)
        assert calls.tenants() == ["acme", "beta"]
        assert calls.places("acme", ["c2", "other", "c9"]) == [CallPlace(T0, "c2")]

    def test_one_that_cannot_be_read_is_named_and_one_that_was_destroyed_is_not_there(self, store: Store) -> None:
        store.write(Call("c1"), Call("gone"))
        (row,) = rows_for_analysis(Call("broken").analysis())["call_versions"]
        store.sink.write({"call_versions": [row | {"industry": "No Slug"}]})
        ClickHousePurge(store.url, 7).destroy("acme", ["gone"], datetime.now(UTC), of_a_person=False)
        found = self.read(store)
        assert found["broken"] == "broken"
        assert sorted(found) == ["broken", "c1"]


class TestListedCalls:
    def test_what_the_list_says_and_whether_anything_else_is_known(self, store: Store) -> None:
        write_list(
            store,
            *(listed("came"), listed("alone"), listed("unrecorded", recorded=False)),
            *(listed("former", key=FORMER), listed("withheld", key=None)),
        )
        store.sink.write(rows_for_call_ended(Call("came").event, T0))
        calls = ListedCalls(store.url)

        found = calls.among([("acme", each) for each in ("came", "alone", "unrecorded", "former", "withheld", "no")])

        keys = frozenset({KEY})
        assert found == {
            ("acme", "came"): ListedCall(keys, T0, recorded=True, is_alone=False),
            ("acme", "alone"): ListedCall(keys, T0, recorded=True, is_alone=True),
            ("acme", "unrecorded"): ListedCall(keys, T0, recorded=False, is_alone=True),
            ("acme", "former"): ListedCall(frozenset({FORMER}), T0, recorded=True, is_alone=True),
            ("acme", "withheld"): ListedCall(frozenset(), T0, recorded=True, is_alone=True),
        }
        assert ClickHousePurge(store.url, 7).listed("acme", ["alone"]) == {"alone": found["acme", "alone"]}
        calls.close()

    def test_the_calls_of_customers_within_the_time_that_is_asked_for(self, store: Store) -> None:
        write_list(store, listed("c1"), listed("c2", key=FORMER), listed("c3", key="d" * 64))
        calls = ListedCalls(store.url)
        both = frozenset({KEY, FORMER})
        assert calls.of_customers("acme", [CustomerScope(both)]) == {"c1", "c2"}
        assert calls.of_customers("acme", [CustomerScope(both, until=T0)]) == frozenset()
        assert calls.of_customers("acme", [CustomerScope(both, since=T0)]) == {"c1", "c2"}
        assert calls.of_customers("other", [CustomerScope(both)]) == frozenset()
        assert calls.of_customers("acme", []) == frozenset()


def test_a_call_without_a_recording_loses_its_customer_and_gets_no_outcome(store: Store) -> None:
    write_list(store, listed("unrecorded", recorded=False), listed("missing"))
    purge = ClickHousePurge(store.url, 7)
    for _ in range(2):
        purge.destroy("acme", ["unrecorded", "missing"], T0, of_a_person=True)
        purge.tell("acme", ["unrecorded"], "purged", reason="erasure", policy="", purge_id="p", at=T0)
    assert set(purge.left("acme", ["unrecorded", "missing"], of_a_person=True).values()) == {0}
    assert store.client.query("SELECT call_id, outcome FROM outcomes").result_rows == [("missing", "purged")]
    assert store.client.query("SELECT DISTINCT customer_key FROM exchange_call_versions").result_rows == [(None,)]
    assert store.client.query("SELECT ended_at FROM purges").result_rows == [(T0,)]


@pytest.fixture
def register(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CALLSTREAM_CLICKHOUSE_URL", store.url)
    monkeypatch.setenv("CALLSTREAM_CUSTOMER_KEY_SECRET", SECRET)
    monkeypatch.setenv("CALLSTREAM_RECEIPTS_KEY_FILE", str(tmp_path / "receipts.pem"))
    register = Register(sqlite_url(tmp_path / "register" / "register.db"))
    migrate_register(register)
    object_store_from(command_settings()).apply()
    yield register
    register.close()


def run(*arguments: str, typed: str | None = None) -> str:
    result = CliRunner().invoke(app, list(arguments), input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_adopts_holds_and_says_how_many(store: Store, register: Register) -> None:
    held = Call("held").analysis()
    store.sink.write(
        rows_for_analysis(held.model_copy(update={"call": held.call.model_copy(update={"legal_hold": True})}))
    )
    store.write(*(Call(f"c{number}") for number in range(3)), Call("other", tenant="beta"))
    retentions = RegisterRetentions(register, SystemClock())

    look = json.loads(run("retain", "adopt", "--dry-run", "--json"))
    assert (look["adopted"], look["held"], look["dry_run"]) == (5, 1, True)
    assert retentions.find("acme", "c0") is None
    assert json.loads(run("retain", "adopt", "--json", "--to", "2026-01-01"))["adopted"] == 0
    assert "4 call(s) are adopted" in run("retain", "adopt", "--tenant", "acme")
    done = json.loads(run("retain", "adopt", "--json"))

    assert (done["adopted"], done["passed"], done["refused"]) == (1, 4, [])
    kept = retentions.find("acme", "c0")
    assert kept is not None
    assert kept.due is not None
    assert kept.due.on == first_day_after(T0, 180)
    assert RegisterHolds(register, SystemClock()).cases("acme", "held") == ("telephony:held",)


@pytest.mark.usefixtures("register")
def test_a_hold_by_customer_says_how_many_the_list_alone_names_and_shows_them(store: Store) -> None:
    store.write(Call("theirs", customer=KEY), Call("nobodys"))
    write_list(store, listed("theirs"), listed("nobodys"), listed("never", recorded=False))
    run("retain", "adopt")
    opened = run(
        *("hold", "open", "k-1", "--tenant", "acme", "--reason", "lawsuit", "--customer", "-"), typed=f"{NUMBER}\n"
    )
    assert "1 call(s) are known by their own events, and 2 by the exchange's list alone" in opened
    shown = json.loads(run("hold", "show", "k-1", "--tenant", "acme", "--json"))
    assert (shown["held"], shown["by_list_alone"]) == (["never", "nobodys", "theirs"], 2)
    assert json.loads(run("retain", "show", "nobodys", "--tenant", "acme", "--json"))["held_by"] == ["k-1"]
    plan = json.loads(run("retain", "plan", "--until", "2031-01-01", "--json"))
    assert {one["call_id"]: one["held_by"] for one in plan["calls"]} == {"nobodys": ["k-1"], "theirs": ["k-1"]}


@pytest.mark.usefixtures("register")
def test_a_customer_whom_the_list_alone_knows_is_erased_to_the_end(store: Store) -> None:
    write_list(store, listed("never", recorded=False), listed("missing"))
    assert "2 call(s) destroyed, 0 blocked" in run(
        *("erase", "--customer", "-", "--tenant", "acme", "--reason", "request"), typed=f"{NUMBER}\n"
    )
    assert store.client.query("SELECT DISTINCT customer_key FROM exchange_call_versions").result_rows == [(None,)]


def test_a_customer_of_calls_of_an_earlier_release_is_erased_or_blocked_until_the_law_allows(
    store: Store, register: Register
) -> None:
    store.write(Call("old", customer=KEY), Call("young", customer=KEY, ended_at=datetime.now(UTC) - timedelta(days=1)))
    assert "1 call(s) destroyed, 1 blocked" in run(
        *("erase", "--customer", "-", "--tenant", "acme", "--reason", "request"), typed=f"{NUMBER}\n"
    )
    kept = RegisterRetentions(register, SystemClock()).find("acme", "young")
    assert kept is not None
