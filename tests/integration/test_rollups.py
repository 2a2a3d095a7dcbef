"""Roll-ups against a reference in Python: whatever comes twice, late, in any order, or is judged again."""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import CALLS, RATINGS, TableRows, rows_for_analysis, rows_for_call_rated
from processors.kpi.rollups import BY_HAND, COLUMNS, HOURLY, Pace, RollupDefinition
from schemas.config.kpis.kpi import BY_TOPIC, DIMENSIONS, KpiRegistry, read_kpis
from schemas.config.tenants import TenantDays
from schemas.messages.call_analysis import CallAnalysis, Scorecard, ScoreItem
from schemas.messages.call_ended import Agent, Csat
from schemas.messages.call_rated import CallRated
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.stages.rollup import Rollups
from tests.support.clickhouse_engine import RunningEngine
from tests.support.judged_calls import NAMES, an_event, judged
from tests.support.kpi_calls import tenure
from tests.support.stored_calls import as_before_migration_16

pytestmark = pytest.mark.embedded

ZONE = "Asia/Shanghai"
WINDOW = timedelta(days=7)
FIRST = datetime(2026, 2, 26, 2, tzinfo=UTC)
"""The calls of the tests cross the end of a month."""


def a_registry() -> KpiRegistry:
    text = {"zh": "x", "en": "x"}
    common: dict[str, Any] = {
        "name": text,
        "definition": text,
        "kind": "mean",
        "unit": "share",
        "direction": "higher",
        "minimum_n": 1,
        "null_rule": "x",
        "does_not_tell": "anything",
        "source": "x",
    }
    return KpiRegistry.model_validate(
        {
            "version": 1,
            "kpis": (
                {"id": "in_band", "kind": "share", "ratio": {"numerator": "measures['duration_in_band']"}, **common},
                {
                    "id": "words",
                    "kind": "events",
                    "ratio": {"numerator": "measures['hits']", "denominator": "measures['words']"},
                    **common,
                },
                {"id": "rating", "kind": "mean", "ratio": {"numerator": "rating"}, **common},
                {
                    "id": "settled",
                    "kind": "mean",
                    "ratio": {
                        "numerator": "resolution = 'resolved'",
                        "denominator": "resolution IN ('resolved', 'unresolved')",
                    },
                    **common,
                },
            ),
        }
    )


REGISTRY = a_registry()
DEFINITION = RollupDefinition(REGISTRY, TenantDays(ZONE), WINDOW.days)
AT_ONCE = Pace(timedelta(), rests=0, related_rests=0)


@dataclass
class Database:
    """A migrated database that takes messages as `store` does."""

    url: str
    client: Client

    def deliver(self, *messages: CallAnalysis | CallRated) -> None:
        rows: TableRows = defaultdict(list)
        for message in messages:
            made = rows_for_analysis(message) if isinstance(message, CallAnalysis) else rows_for_call_rated(message)
            for table, table_rows in made.items():
                rows[table].extend(table_rows)
        ClickHouseSink(self.client).write(rows)

    def rollups(self, definition: RollupDefinition = DEFINITION) -> Rollups:
        return Rollups(ClickHouseRollups(self.url), definition, AT_ONCE)

    def rolled_up(self) -> dict[tuple[object, ...], tuple[float, ...]]:
        """Grain, period, dimension, tenant, its columns, KPI → n and sums."""
        columns = ", ".join(COLUMNS)
        rows = self.client.query(
            f"SELECT grain, period, dimension, tenant_id, {columns}, kpi, calls, n, numerator, denominator, "  # noqa: S608
            "numerator_squares, products, denominator_squares FROM kpi_rollup"
        ).result_rows
        assert len({row[:-7] for row in rows}) == len(rows)
        return {tuple(row[:-7]): tuple(row[-7:]) for row in rows}

    def resolutions(self) -> dict[str, str | None]:
        query = "SELECT call_id, resolution FROM kpi_calls(start = '2020-01-01', end = '2100-01-01', window_days = 7)"
        return {str(call_id): found for call_id, found in self.client.query(query).result_rows}


@pytest.fixture
def database(new_database: Callable[[], str]) -> Iterator[Database]:
    url = new_database()
    client = connect(url)
    yield Database(url, client)
    client.close()


# --- a world of calls, and what the roll-up of it must be


def a_world(seed: int) -> tuple[list[CallAnalysis], list[CallRated]]:
    """Sixty calls of two weeks, a third of them judged twice or three times, and statements about some of them."""
    chance = random.Random(seed)
    analyses, ratings = [], []
    for number in range(60):
        ended_at = FIRST + timedelta(minutes=chance.randrange(14 * 24 * 60))
        call = an_event(
            f"c{number}",
            ended_at,
            tenant_id=chance.choice(["acme", "beta"]),
            customer=chance.choice([None, "a" * 64, "b" * 64, "c" * 64, "d" * 64]),
            direction=chance.choice(["inbound", "inbound", "inbound", "outbound"]),
            handled_by="bot" if number % 5 == 0 else "human",
            agent=Agent(
                id=f"A{chance.randrange(4)}",
                team=chance.choice([None, "一组", "二组"]),
                seniority=(None, "new", "senior")[number % 3],
                hired_on=(ended_at - timedelta(days=40 * number)).date(),
            ),
            queue=chance.choice([None, "vip"]),
            inquiry_type=chance.choice([None, "退款", "物流"]),
            order_status=chance.choice([None, "paid"]),
            industry=chance.choice(["general", "finance"]),
            csat=chance.choice([None, Csat(score=4, scale_min=0, scale_max=10)]),
        )
        for version in range(1, chance.choice([2, 2, 3, 4])):
            topics = chance.sample(list(NAMES), chance.randrange(3))
            analysis = judged(call, topics=topics, version=version)
            measures = {
                "duration_in_band": chance.choice([None, True, False]),
                "hits": chance.choice([None, chance.randrange(5)]),
                "words": chance.choice([0, chance.randrange(1, 50)]),
            }
            analyses.append(analysis.model_copy(update={"measures": measures}))
        for _ in range(chance.choice([0, 0, 1, 2])):
            ratings.append(
                CallRated(
                    tenant_id=call.tenant_id,
                    call_id=call.call_id,
                    rated_at=ended_at + timedelta(hours=chance.randrange(1, 300)),
                    source="sms_survey",
                    csat=chance.choice([None, Csat(score=chance.randrange(1, 6))]),
                    resolved=chance.choice([None, True, False]),
                    order_status=chance.choice(["sent", "returned"]),
                    customer_value_tier=chance.choice([None, "gold"]),
                )
            )
    return analyses, ratings


def newest(analyses: list[CallAnalysis]) -> list[CallAnalysis]:
    """Of each call the analysis that stands."""
    standing: dict[tuple[str, str], CallAnalysis] = {}
    for each in sorted(analyses, key=lambda each: (each.analysis_version, each.analyzed_at)):
        standing[each.tenant_id, each.call_id] = each
    return list(standing.values())


def told(analysis: CallAnalysis, ratings: list[CallRated], field: str) -> Any:
    """The newest statement of that field about the call."""
    said = [
        (each.rated_at, each.fingerprint(), getattr(each, field))
        for each in ratings
        if (each.tenant_id, each.call_id) == (analysis.tenant_id, analysis.call_id) and getattr(each, field) is not None
    ]
    return max(said)[2] if said else None


def resolution(
    analysis: CallAnalysis, calls: list[CallAnalysis], ratings: list[CallRated], now: datetime
) -> str | None:
    """First-contact resolution as R44 says."""
    answer = told(analysis, ratings, "resolved")
    if answer is not None:
        return "resolved" if answer else "unresolved"

    def is_contact(one: CallAnalysis) -> bool:
        return one.call.customer.key is not None and one.call.direction == "inbound" and one.outcome != "too_short"

    topics = {topic.topic_id for topic in analysis.topics}
    if not is_contact(analysis) or not (topics or analysis.call.inquiry_type):
        return None
    if now < analysis.call.ended_at + WINDOW:
        return "pending"
    for other in calls:
        same = {topic.topic_id for topic in other.topics}
        by_type = analysis.call.inquiry_type is not None and analysis.call.inquiry_type == other.call.inquiry_type
        if (
            is_contact(other)
            and other.tenant_id == analysis.tenant_id
            and other.call.customer.key == analysis.call.customer.key
            and analysis.call.started_at < other.call.started_at <= analysis.call.ended_at + WINDOW
            and (topics & same if topics and same else by_type)
        ):
            return "unresolved"
    return "resolved"


def reference(
    analyses: list[CallAnalysis], ratings: list[CallRated], now: datetime
) -> dict[tuple[object, ...], tuple[float, ...]]:
    """What the roll-up must hold."""
    calls = newest(analyses)
    groups: dict[tuple[object, ...], list[tuple[CallAnalysis, dict[str, tuple[Any, Any]]]]] = defaultdict(list)
    for analysis in calls:
        call = analysis.call
        csat = told(analysis, ratings, "csat") or call.csat
        settled = resolution(analysis, calls, ratings, now)
        values = {
            "in_band": (analysis.measures["duration_in_band"], 1),
            "words": (analysis.measures["hits"], analysis.measures["words"]),
            "rating": (
                100 * (csat.score - csat.scale_min) / (csat.scale_max - csat.scale_min) if csat else None,
                1,
            ),
            "settled": (settled == "resolved", settled in ("resolved", "unresolved")),
        }
        columns = {
            "industry": call.industry,
            "agent_team": call.agent.team,
            "agent_id": call.agent.id,
            "queue": call.queue,
            "inquiry_type": call.inquiry_type,
            "course_type": call.course_type,
            "newest_order_status": told(analysis, ratings, "order_status") or call.order_status,
            "newest_customer_value_tier": told(analysis, ratings, "customer_value_tier") or call.customer.value_tier,
            "direction": call.direction,
            "handled_by": call.handled_by,
            "agent_seniority": call.agent.seniority,
            "agent_tenure": tenure(call),
            "rated": "rated" if csat else None if analysis.outcome == "too_short" else "unrated",
        }
        topics: Iterable[str | None] = {topic.topic_id for topic in analysis.topics} or {None}
        local = call.ended_at.astimezone(ZoneInfo(ZONE))
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        for grain, dimensions in (("day", tuple(DIMENSIONS)), ("hour", HOURLY)):
            start = day if grain == "day" else local.replace(minute=0, second=0, microsecond=0)
            for dimension in dimensions:
                for topic in topics if dimension in BY_TOPIC else (None,):
                    known = {**columns, "topic": topic}
                    named = tuple(known[name] if name in DIMENSIONS[dimension] else None for name in COLUMNS)
                    groups[grain, start.astimezone(UTC), dimension, call.tenant_id, *named].append((analysis, values))
    sums: dict[tuple[object, ...], tuple[float, ...]] = {}
    for group, members in groups.items():
        for kpi in ("in_band", "words", "rating", "settled"):
            pairs = [(float(v[kpi][0]), float(v[kpi][1])) for _, v in members if None not in v[kpi] and v[kpi][1] > 0]
            if pairs:
                sums[(*group, kpi)] = (
                    len(members),
                    len(pairs),
                    sum(x for x, _ in pairs),
                    sum(y for _, y in pairs),
                    sum(x * x for x, _ in pairs),
                    sum(x * y for x, y in pairs),
                    sum(y * y for _, y in pairs),
                )
    return sums


def assert_equal(
    found: dict[tuple[object, ...], tuple[float, ...]], expected: dict[tuple[object, ...], tuple[float, ...]]
) -> None:
    assert found.keys() == expected.keys()
    for key, sums in expected.items():
        assert found[key] == pytest.approx(sums), key


@pytest.mark.parametrize("seed", range(6))
def test_a_rollup_is_exact_after_deliveries_in_any_order_with_repeats(database: Database, seed: int) -> None:
    analyses, ratings = a_world(seed)
    chance = random.Random(seed)
    deliveries: list[CallAnalysis | CallRated] = [*analyses, *ratings]
    deliveries += chance.sample(deliveries, len(deliveries) // 2)
    chance.shuffle(deliveries)
    rollups = database.rollups()
    while deliveries:
        size = chance.randrange(1, 40)
        database.deliver(*deliveries[:size])
        deliveries = deliveries[size:]
        if chance.random() < 0.3:
            rollups.refresh()
    rollups.refresh()
    expected = reference(analyses, ratings, datetime.now(UTC))
    assert_equal(database.rolled_up(), expected)

    database.deliver(*chance.sample(analyses, 30), *chance.sample(ratings, len(ratings) // 2))
    rollups.refresh()
    assert_equal(database.rolled_up(), expected)


@pytest.mark.parametrize("seed", range(2))
def test_a_worker_that_was_started_again_finds_what_it_missed(database: Database, seed: int) -> None:
    analyses, ratings = a_world(seed + 100)
    database.deliver(*analyses[:40])
    database.rollups().refresh()
    database.deliver(*analyses[40:], *ratings)
    database.rollups().refresh()
    assert_equal(database.rolled_up(), reference(analyses, ratings, datetime.now(UTC)))


def test_counts_of_the_views_are_those_of_python_after_any_delivery(database: Database) -> None:
    analyses, ratings = a_world(7)
    chance = random.Random(7)
    deliveries: list[CallAnalysis | CallRated] = [*analyses, *ratings, *analyses, *ratings]
    chance.shuffle(deliveries)
    for start in range(0, len(deliveries), 25):
        database.deliver(*deliveries[start : start + 25])
    standing = newest(analyses)
    rows = database.client.query("SELECT tenant_id, count(), avg(measures['hits']) FROM calls GROUP BY tenant_id")
    for tenant, calls, mean in rows.result_rows:
        mine = [each for each in standing if each.tenant_id == tenant]
        hits = [float(each.measures["hits"]) for each in mine if each.measures["hits"] is not None]
        assert (calls, mean) == (len(mine), pytest.approx(sum(hits) / len(hits)))
    ((rated,),) = database.client.query("SELECT count() FROM ratings").result_rows
    assert rated == len({(each.tenant_id, each.call_id) for each in ratings})


# --- what happens to days


def a_call(call_id: str, ended_at: datetime, **facts: Any) -> CallAnalysis:
    analysis = judged(an_event(call_id, ended_at, **facts), topics=["refund"])
    return analysis.model_copy(update={"measures": {"duration_in_band": True, "hits": 1, "words": 2}})


def test_a_call_whose_numbers_are_none_spoils_no_day_and_one_of_years_to_come_makes_none(database: Database) -> None:
    """As rows from before events were bounded may have them."""
    endless = Csat.model_construct(score=0.0, scale_min=-1e308, scale_max=1e308)
    database.deliver(
        a_call("good", FIRST, csat=Csat(score=4)),
        a_call("bad", FIRST, csat=endless),
    )
    late = a_call("late", FIRST)
    in_years = FIRST.replace(year=2105)
    database.deliver(late.model_copy(update={"call": late.call.model_copy(update={"ended_at": in_years})}))
    made = database.rollups().refresh()
    assert made == [FIRST.astimezone(ZoneInfo(ZONE)).date()]
    sums = {key: value for key, value in database.rolled_up().items() if key[-1] == "rating"}
    assert {value[0] for value in sums.values()} == {2}
    assert {value[1:] for value in sums.values()} == {(1, 75.0, 1.0, 5625.0, 75.0, 1.0)}


def test_numbers_at_the_ends_of_what_an_event_may_hold_spoil_no_day(database: Database) -> None:
    smallest = Csat(score=5e-324, scale_min=0, scale_max=5e-324)
    close = Csat(score=1_000_000, scale_min=999_999.9999999999, scale_max=1_000_000)
    for number, day in enumerate((date.min, date(1899, 12, 31), date(2300, 1, 1), date.max)):
        csat = smallest if number % 2 else close
        database.deliver(a_call(f"c{number}", FIRST, agent=Agent(id="A1", hired_on=day), csat=csat))
    huge = a_call("huge", FIRST).model_copy(update={"measures": {"hits": 1e308, "words": 1.7e308}})
    database.deliver(
        huge, huge.model_copy(update={"call_id": "negative", "measures": {"hits": -1e308, "words": 1e308}})
    )
    assert database.rollups().refresh() == [FIRST.astimezone(ZoneInfo(ZONE)).date()]
    sums = database.rolled_up()
    of_tenant = {key: value for key, value in sums.items() if key[2] == "tenant"}
    assert {value[1:3] for key, value in of_tenant.items() if key[-1] == "rating"} == {(4, 400.0)}
    assert all(math.isfinite(each) for value in sums.values() for each in value)
    assert len(database.client.query("SELECT agent_hired_on FROM calls").result_rows) == 5


def asks_whether_settled(call_id: str, ended_at: datetime, points: float | None = None, **facts: Any) -> CallAnalysis:
    item = ScoreItem(
        item_id="settled",
        name="一次解决",
        group="resolution",
        points=points,
        max_points=10,
        reason="pending" if points is None else None,
    )
    kept = ScoreItem(item_id="kept", name="话术", group="compliance", points=10, max_points=10)
    card = Scorecard(form_id="f", form_version=1, score=100, groups={"compliance": 100}, items=(item, kept))
    return a_call(call_id, ended_at, **facts).model_copy(update={"scorecard": card})


def test_who_settled_a_matter_depends_neither_on_the_stretch_nor_on_who_else_calls(database: Database) -> None:
    """A chain of three, each within a week of the one before; beside it what is no contact, and another tenant's."""
    key, other = "c" * 64, "d" * 64
    day = timedelta(days=1)
    stranger = asks_whether_settled("stranger", FIRST + day, customer=key)
    stranger = stranger.model_copy(
        update={"tenant_id": "other", "call": stranger.call.model_copy(update={"tenant_id": "other"})}
    )
    database.deliver(
        asks_whether_settled("first", FIRST, customer=key),
        asks_whether_settled("second", FIRST + 6 * day, customer=key, agent=Agent(id="A2")),
        asks_whether_settled("third", FIRST + 12 * day, customer=key, agent=Agent(id="A3")),
        asks_whether_settled("much_later", FIRST + 20 * day, customer=key),
        asks_whether_settled("called_back", FIRST + 21 * day, customer=key, direction="outbound"),
        asks_whether_settled("answered", FIRST, customer=other),
        asks_whether_settled("repeats_the_answered", FIRST + day, customer=other),
        asks_whether_settled("again", FIRST + 2 * day, customer=other).model_copy(update={"outcome": "too_short"}),
        stranger,
    )
    database.deliver(
        CallRated(tenant_id="acme", call_id="answered", rated_at=FIRST + day, source="sms", resolved=True),
        CallRated(tenant_id="acme", call_id="third", rated_at=FIRST + 13 * day, source="sms", resolved=False),
    )

    def told(start: datetime, end: datetime) -> dict[str, tuple[str | None, bool, float | None]]:
        rows = database.client.query(
            "SELECT call_id, resolution, is_repeat, settled_score "
            "FROM kpi_calls(start = {start:String}, end = {end:String}, window_days = 7)",
            parameters={"start": f"{start:%F %T}", "end": f"{end:%F %T}"},
        ).result_rows
        return {str(call_id): (resolution, bool(repeat), score) for call_id, resolution, repeat, score in rows}

    whole = told(FIRST - day, FIRST + 40 * day)
    assert whole == {
        "first": ("unresolved", False, 50.0),
        "second": ("unresolved", True, 50.0),
        "third": ("unresolved", True, 50.0),
        "much_later": ("resolved", False, 100.0),
        "called_back": (None, False, 100.0),
        "answered": ("resolved", False, 100.0),
        "repeats_the_answered": ("resolved", True, 100.0),
        "again": (None, False, 100.0),
        "stranger": ("resolved", False, 100.0),
    }
    for days in (1, 5, 11):
        parts = [told(FIRST + at * day, FIRST + (at + days) * day) for at in range(-1, 40, days)]
        assert {call: found for part in parts for call, found in part.items()} == whole


def test_only_days_that_were_touched_are_made_again(database: Database) -> None:
    settled = timedelta(seconds=61)
    database.deliver(a_call("old", FIRST), a_call("new", FIRST + timedelta(days=40)))
    store = ClickHouseRollups(database.url)
    rollups = Rollups(store, DEFINITION, BY_HAND)
    assert len(rollups.refresh()) == 2
    database.client.command(
        f"ALTER TABLE {CALLS} UPDATE stored_at = stored_at - {settled.seconds} WHERE 1 SETTINGS mutations_sync = 2"
    )
    rollups = Rollups(store, DEFINITION, BY_HAND)
    assert rollups.refresh() == []
    database.deliver(a_call("late", FIRST + timedelta(hours=1)))
    assert rollups.refresh() == [date(2026, 2, 26)]


def test_a_group_that_no_call_is_in_any_more_is_gone(database: Database) -> None:
    call = a_call("c1", FIRST, order_status="paid")
    database.deliver(call)
    database.rollups().refresh()
    database.deliver(
        CallRated(tenant_id="acme", call_id="c1", rated_at=FIRST, source="orders", order_status="returned")
    )
    database.rollups().refresh()
    statuses = database.client.query(
        "SELECT DISTINCT newest_order_status FROM kpi_rollup WHERE dimension = 'order_status'"
    ).result_rows
    assert statuses == [("returned",)]


def test_a_day_whose_calls_are_gone_is_empty(database: Database) -> None:
    database.deliver(a_call("c1", FIRST))
    rollups = database.rollups()
    rollups.refresh()
    database.client.command(f"TRUNCATE TABLE {CALLS}")
    rollups.refresh()
    assert database.rolled_up() == {}


def test_another_definition_makes_every_day_anew(database: Database) -> None:
    database.deliver(a_call("c1", FIRST))
    database.rollups().refresh()
    other = RollupDefinition(read_kpis(), TenantDays(ZONE), WINDOW.days)
    assert database.rollups(other).refresh() == [date(2026, 2, 26)]
    assert "duration_in_band" in {key[-1] for key in database.rolled_up()}


def test_a_day_that_is_made_twice_is_not_doubled(database: Database) -> None:
    analyses, ratings = a_world(3)
    database.deliver(*analyses, *ratings)
    store = ClickHouseRollups(database.url)
    first, last = date(2026, 2, 26), date(2026, 3, 12)
    now = store.now()
    store.make(first, last, DEFINITION, now)
    ClickHouseRollups(database.url).make(first, last, DEFINITION, now)
    assert_equal(database.rolled_up(), reference(analyses, ratings, datetime.now(UTC)))


def test_nothing_is_left_of_the_making(database: Database) -> None:
    database.deliver(a_call("c1", FIRST))
    database.rollups().refresh()
    tables = {name for (name,) in database.client.query("SHOW TABLES").result_rows}
    assert not [name for name in tables if "staging" in name]


def test_a_staging_table_that_was_left_behind_is_dropped_after_hours_and_no_other_table(database: Database) -> None:
    database.client.command("CREATE TABLE kpi_rollup_staging_0a AS kpi_rollup_rows COMMENT 'left behind'")
    store = ClickHouseRollups(database.url)
    store.tidy(store.now())
    assert database.client.command("EXISTS TABLE kpi_rollup_staging_0a")
    store.tidy(store.now() + timedelta(hours=7))
    assert not database.client.command("EXISTS TABLE kpi_rollup_staging_0a")
    assert database.client.command("EXISTS TABLE kpi_rollup_rows")


# --- R44


@pytest.mark.parametrize(
    ("later", "answer", "expected"),
    [
        pytest.param(None, None, "resolved", id="nobody called again"),
        pytest.param({"hours": 1}, None, "unresolved", id="the customer called again about the same"),
        pytest.param({"hours": 7 * 24 + 2}, None, "resolved", id="the customer called again after the window"),
        pytest.param({"hours": 1, "customer": "d" * 64}, None, "resolved", id="another customer called"),
        pytest.param({"hours": 1, "direction": "outbound"}, None, "resolved", id="the centre called back"),
        pytest.param({"hours": 1, "tenant_id": "beta"}, None, "resolved", id="a call at another tenant"),
        pytest.param({"hours": 1}, True, "resolved", id="the customer says yes, whatever came later"),
        pytest.param(None, False, "unresolved", id="the customer says no, though nobody called"),
    ],
)
def test_first_contact_resolution(
    database: Database, later: dict[str, Any] | None, answer: bool | None, expected: str
) -> None:
    database.deliver(a_call("first", FIRST, customer="c" * 64))
    if later is not None:
        ended_at = FIRST + timedelta(hours=later.pop("hours"))
        database.deliver(a_call("later", ended_at, **{"customer": "c" * 64, **later}))
    if answer is not None:
        database.deliver(
            CallRated(tenant_id="acme", call_id="first", rated_at=FIRST, source="sms_survey", resolved=answer)
        )
    assert database.resolutions()["first"] == expected


def test_a_young_call_is_pending_also_when_the_customer_has_called_again_already(database: Database) -> None:
    """Else the newest days would count what is unresolved, and never what is resolved."""
    ended_at = datetime.now(UTC) - timedelta(days=6, hours=23)
    database.deliver(a_call("young", ended_at, customer="c" * 64))
    database.deliver(a_call("again", ended_at + timedelta(hours=1), customer="c" * 64))
    assert database.resolutions() == {"young": "pending", "again": "pending"}


def test_a_young_call_counts_when_the_customer_has_answered(database: Database) -> None:
    ended_at = datetime.now(UTC) - timedelta(days=1)
    database.deliver(a_call("young", ended_at, customer="c" * 64))
    database.deliver(
        CallRated(tenant_id="acme", call_id="young", rated_at=ended_at, source="sms_survey", resolved=True)
    )
    assert database.resolutions() == {"young": "resolved"}


def test_calls_that_were_stored_before_there_were_rollups_are_rolled_up(engine: RunningEngine) -> None:
    from schemas.clickhouse.migrations import load_migrations

    url = engine.url(f"test_{uuid4().hex}")
    migrate(url, tuple(each for each in load_migrations() if each.number <= 8), views={})
    client = connect(url)
    ClickHouseSink(client).write(as_before_migration_16(rows_for_analysis(a_call("c1", FIRST))))
    migrate(url)
    stored = client.query("SELECT stored_at = analyzed_at FROM call_versions").result_rows
    assert stored == [(1,)]
    client.close()


def test_ratings_are_filled_from_every_field_of_the_message() -> None:
    (row,) = rows_for_call_rated(
        CallRated(tenant_id="acme", call_id="c1", rated_at=FIRST, source="crm", customer_tags=(), resolved=False)
    )[RATINGS]
    assert (row["customer_tags"], row["customer_tags_told"], row["resolved"]) == ([], True, False)
