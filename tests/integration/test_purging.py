"""Destroyed calls in a real ClickHouse: what goes, what stays, and that no KPI of a day that is made anew changes."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from processors.clickhouse.purge_sql import PURGED, TABLES, WITHOUT_A_CALL
from processors.clickhouse.rows import rows_for_call_ended, rows_for_verdict_given
from processors.kpi.rollups import BY_HAND, RollupDefinition
from schemas.config.roles import load_roles
from schemas.messages.verdict_given import VerdictGiven
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.proof.searching import Needles, search_files
from streams.stages.rollup import Rollups
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.kpi_store import DAYS, REGISTRY, WINDOW_DAYS, Filled, filled_store
from tests.support.old_parts import remove_old_parts_at_once
from tests.support.stored_calls import KEY, T0, Call, Store

pytestmark = pytest.mark.embedded

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
SAID = "我的孩子在蓝鲸路幼儿园"


@pytest.fixture
def store(engine: RunningEngine) -> Iterator[Store]:
    url = engine.url(f"purging_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    remove_old_parts_at_once(client)
    yield Store(url, client)
    client.close()


def purge_of(store: Store | Filled) -> ClickHousePurge:
    return ClickHousePurge(store.url, WINDOW_DAYS)


TOLD = Call(
    "told",
    (("agent", "您好"), ("customer", SAID)),
    customer=KEY,
    order_id="ORDER-4711-BLUE",
    topics=("refund",),
    rules=(("sensitive_words", "finance.promise", "蓝鲸路幼儿园"),),
    risk="high",
    score=59.5,
)
OTHER = Call(
    "other", (("customer", "绿熊街的事情"),), customer=KEY, topics=("refund",), ended_at=T0 - timedelta(days=2)
)


def test_of_every_table_it_is_decided_what_goes() -> None:
    decided = {each.table for each in PURGED} | WITHOUT_A_CALL
    assert decided == set(load_roles().storage)


def test_what_tells_of_a_call_goes_and_its_figures_stay(store: Store) -> None:
    store.write(TOLD, OTHER)
    missed = VerdictGiven.model_validate(
        {
            "tenant_id": "acme",
            "call_id": "told",
            "about": "missed",
            "answer": "yes",
            "given_by": "li_na",
            "given_at": T0,
            "kind": "threat",
            "quote": SAID,
        }
    )
    store.sink.write(rows_for_verdict_given(missed))
    purge = purge_of(store)

    counts = purge.destroy("acme", ["told"], AT, of_a_person=False)
    left = purge.left("acme", ["told"], of_a_person=False)
    again = purge.destroy("acme", ["told"], AT, of_a_person=False)

    assert counts["transcript_versions"] == counts["call_versions"] == counts["search_text_versions"] == 1
    assert counts["verdict_versions"] > 0
    assert set(left.values()) == {0} == set(again.values())
    (row,) = store.client.query(
        "SELECT customer_key, order_id, crm, audio_uri, audio_sha256, outcome, risk_level, score, measures, purged_at "
        "FROM whole_calls WHERE call_id = 'told'"
    ).named_results()
    assert (row["customer_key"], row["order_id"], row["crm"], row["audio_uri"], row["audio_sha256"]) == (
        *(None, None),
        *({}, "", ""),
    )
    assert (row["outcome"], row["risk_level"], row["score"], row["purged_at"]) == ("analyzed", "high", 59.5, AT)
    assert store.client.query("SELECT quote, matched, rule_id FROM findings WHERE call_id = 'told'").result_rows == [
        ("", "", "finance.promise")
    ]
    assert store.client.query("SELECT quote, topic_id FROM topics WHERE call_id = 'told'").result_rows == [
        ("", "refund")
    ]
    assert store.client.query("SELECT call_id FROM transcripts").result_rows == [("other",)]
    assert store.ids() == ["other"]  # no search finds it any more
    purge.close()


def test_no_byte_of_it_is_left_in_any_file(store: Store, engine: RunningEngine) -> None:
    rules = (("sensitive_words", "finance.promise", "白象桥诊所"),)
    told = Call(
        "told", (("customer", "我在白象桥诊所等"),), customer="7a" * 32, order_id="ORDER-8120-WHITE", rules=rules
    )
    store.write(*[Call(f"c{n}", (("customer", f"第{n}个电话"),), customer="1" * 64) for n in range(50)], told)
    store.merge_texts()
    needles = Needles({"words": ["白象桥诊所".encode()], "order": [b"ORDER-8120-WHITE"], "customer": [b"7a" * 32]})
    store.client.command("OPTIMIZE TABLE call_versions FINAL")
    purge = purge_of(store)

    purge.destroy("acme", ["told"], AT, of_a_person=True)
    purge.wait_for_old_parts()

    # Compressed files would hide it: they are looked through as they lie, and the rows unpacked.
    found = search_files([engine.data_dir / "store"], needles, frozenset())
    assert not found.where, found.where
    for table in TABLES:
        raw = store.client.raw_query(f"SELECT * FROM {table}", fmt="RowBinary")  # noqa: S608 - names of ours
        assert not list(needles.found_in(raw)), table
    inactive = store.client.command(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND NOT active "
        "AND table IN ('call_versions', 'transcript_versions', 'search_text_versions')"
    )
    assert inactive == 0
    purge.close()


def test_a_call_without_outcome_is_accounted_for(store: Store) -> None:
    store.sink.write(rows_for_call_ended(TOLD.event, T0))
    purge = purge_of(store)
    assert store.client.command("SELECT count() FROM unaccounted") == 1

    purge.destroy("acme", ["told"], AT, of_a_person=False)
    purge.tell("acme", ["told"], "purged", reason="misdial", policy="3", purge_id="p1", at=AT)

    assert store.client.command("SELECT count() FROM unaccounted") == 0
    assert store.client.query("SELECT call_id, outcome FROM outcomes").result_rows == [("told", "purged")]
    assert store.client.query("SELECT call_id, state, reason FROM purges").result_rows == [
        ("told", "purged", "misdial")
    ]
    purge.close()


def test_a_blocked_call_is_shown_as_a_destroyed_one_is(store: Store) -> None:
    store.write(TOLD, OTHER)
    purge = purge_of(store)

    purge.tell("acme", ["told"], "blocked", reason="erasure", policy="", purge_id="", at=AT)

    assert store.client.query("SELECT call_id FROM transcripts").result_rows == [("other",)]
    assert store.client.query("SELECT DISTINCT call_id FROM segments").result_rows == [("other",)]
    assert store.client.query("SELECT customer_key, order_id FROM whole_calls WHERE call_id = 'told'").result_rows == [
        (None, None)
    ]
    assert store.client.query("SELECT quote, matched FROM findings").result_rows == [("", "")]
    assert store.ids() == ["other"]
    assert list(purge.calls_of_customer("acme", [KEY])) == ["other", "told"]  # the purger still finds it
    purge.close()


@pytest.fixture(scope="module")
def filled(engine: RunningEngine) -> Iterator[Filled]:
    with filled_store(engine, 250) as filled:
        yield filled


def test_no_figure_of_a_day_that_is_made_anew_changes(filled: Filled) -> None:
    def figures() -> list[tuple[object, ...]]:
        filled.client.command("TRUNCATE TABLE kpi_rollup_days")
        Rollups(ClickHouseRollups(filled.url), RollupDefinition(REGISTRY, DAYS, WINDOW_DAYS), BY_HAND).refresh()
        query = (
            "SELECT tenant_id, day, grain, period, dimension, industry, agent_team, agent_id, queue, inquiry_type, "
            "course_type, order_status, customer_value_tier, calls, arraySort(arrayMap((kpi, n, over, under) -> "
            # The sums of floats come in another order each time.
            "(kpi, n, round(over, 6), round(under, 6)), kpis.kpi, kpis.n, kpis.numerator, kpis.denominator)) "
            "FROM kpi_rollup_rows ORDER BY ALL"
        )
        return [tuple(map(repr, row)) for row in filled.client.query(query).result_rows]

    before = figures()
    chosen = random.Random(7)
    calls = [(row["tenant_id"], row["call_id"]) for row in filled.rows("SELECT tenant_id, call_id FROM calls")]
    purge = purge_of(filled)
    for tenant in sorted({tenant for tenant, _ in calls}):
        mine = sorted(call for of, call in calls if of == tenant)
        for part in (chosen.sample(mine, len(mine) // 3), chosen.sample(mine, len(mine) // 3)):
            purge.destroy(tenant, part, AT, of_a_person=False)
    purge.close()
    destroyed = filled.client.command("SELECT countIf(isNotNull(purged_at)) FROM calls")

    assert int(str(destroyed)) > 100
    after = figures()
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert not changed, changed[:2]


def test_the_role_for_it_may_do_it_and_no_more(tmp_path: Path) -> None:
    users = tmp_path / "users.yaml"
    users.write_text(
        f"users:\n- {{name: keeper, role: custody_keeper, password_sha256: {sha256(b'pw').hexdigest()}}}\n"
    )
    with running_engine(tmp_path / "engine", users_file=users) as engine:
        migrate(engine.url())
        client = connect(engine.url())
        store = Store(engine.url(), client)
        store.write(TOLD)
        url = f"http://keeper:pw@127.0.0.1:{engine.port}/callstream"
        purge = ClickHousePurge(url, WINDOW_DAYS)

        purge.tell("acme", ["told"], "purging", reason="request", policy="", purge_id="p1", at=AT)
        purge.destroy("acme", ["told"], AT, of_a_person=True)

        assert set(purge.left("acme", ["told"], of_a_person=True).values()) == {0}
        keeper = connect(url)
        for refused in (
            "ALTER TABLE outcome_versions DELETE WHERE 1",
            "ALTER TABLE access_log_versions DELETE WHERE 1",
            "ALTER TABLE transcript_versions UPDATE language = 'x' WHERE 1",
            "DROP TABLE call_versions",
            "TRUNCATE TABLE call_versions",
        ):
            with pytest.raises(DatabaseError):
                keeper.command(refused)
        keeper.close()
        purge.close()
        client.close()
