"""What analysts join to figures, on the real engine: agents by period, changes, rules and topics, the calendar."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_analysis, rows_for_rules_published
from processors.kpi.calendar import KNOWN_YEARS, YEARS_AHEAD, calendar_select
from schemas.config.rule_pack import TopicRule, load_rule_packs
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import Agent
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import CALLS_ANALYZED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import write_rules
from streams.adapters.clickhouse.sink import ClickHouseSink

pytestmark = pytest.mark.embedded

EXAMPLE = CALLS_ANALYZED.decode(
    (Path(__file__).parents[1] / "examples" / CALLS_ANALYZED.name / "with_findings.json").read_bytes()
)


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    opened = connect(url)
    yield opened
    opened.close()


def rows_of(client: Client, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in client.query(query).named_results()]


def call_of(number: int, day: int, hour: int = 9, agent: Agent | None = None, **changes: object) -> CallAnalysis:
    """A call that ended in March 2026, at that hour of UTC, eight hours later by the clock of the tenant."""
    ended_at = datetime(2026, 3, day, hour, tzinfo=UTC)
    call = EXAMPLE.call.model_copy(
        update={
            **{"call_id": f"c{number}", "started_at": ended_at, "ended_at": ended_at},
            **({"agent": agent} if agent else {}),
            **{name: value for name, value in changes.items() if name in ("handled_by", "tenant_id")},
        }
    )
    own = {name: value for name, value in changes.items() if name != "handled_by"}
    return EXAMPLE.model_copy(update={"call_id": call.call_id, "call": call, **own})


def store(client: Client, *analyses: CallAnalysis) -> None:
    sink = ClickHouseSink(client)
    for analysis in analyses:
        sink.write(rows_for_analysis(analysis))


def test_an_agent_has_a_period_for_each_thing_that_events_say(client: Client) -> None:
    """A day is what its last call says; days without calls belong to the period before them."""
    new = Agent(id="7", team="north", seniority="new", hired_on=date(2026, 3, 1))
    moved = new.model_copy(update={"team": "south"})
    grown = moved.model_copy(update={"seniority": "regular"})
    alone = Agent(id="8", team=None)
    store(
        client,
        call_of(1, 2, agent=new),
        call_of(2, 3, 1, agent=new),
        call_of(3, 3, 5, agent=moved),
        call_of(4, 3, 17, agent=moved),  # the fourth of March, where the tenant is
        call_of(5, 9, agent=grown),
        call_of(6, 12, agent=moved),
        call_of(7, 2, agent=alone),
        call_of(8, 20, agent=new, handled_by="bot"),
        call_of(9, 20, agent=new, tenant_id="other"),
    )
    tenant = EXAMPLE.call.tenant_id
    found = client.query(
        "SELECT agent_id, agent_team, agent_seniority, agent_hired_on, valid_from, valid_until, last_day, calls "
        "FROM dim_agents WHERE tenant_id = {tenant:String} ORDER BY agent_id, valid_from",
        parameters={"tenant": tenant},
    ).result_rows
    hired = date(2026, 3, 1)
    assert found == [
        ("7", "north", "new", hired, date(2026, 3, 2), date(2026, 3, 2), date(2026, 3, 2), 1),
        ("7", "south", "new", hired, date(2026, 3, 3), date(2026, 3, 8), date(2026, 3, 4), 3),
        ("7", "south", "regular", hired, date(2026, 3, 9), date(2026, 3, 11), date(2026, 3, 9), 1),
        ("7", "south", "new", hired, date(2026, 3, 12), None, date(2026, 3, 12), 1),
        ("8", None, None, None, date(2026, 3, 2), None, date(2026, 3, 2), 1),
    ]
    joined = client.query(
        "SELECT call_id, count() FROM calls AS c INNER JOIN dim_agents AS a USING (tenant_id, agent_id) "
        "WHERE c.handled_by = 'human' AND c.day BETWEEN a.valid_from AND ifNull(a.valid_until, c.day) GROUP BY call_id"
    ).result_rows
    assert {str(call): periods for call, periods in joined} == {
        f"c{number}": 1 for number in (1, 2, 3, 4, 5, 6, 7, 9)
    }, "one period for each call"


def test_a_change_stands_at_the_first_day_of_which_most_calls_are_judged_by_the_new(client: Client) -> None:
    def judged(number: int, day: int, rules: str, code: int = 1, tenant: str = EXAMPLE.call.tenant_id) -> CallAnalysis:
        return call_of(number, day, lexicon_version=rules, analysis_version=code, tenant_id=tenant)

    store(
        client,
        *(judged(number, 2, "finance@3") for number in (1, 2)),
        judged(3, 3, "finance@4"),  # still fewer than those of the former rules
        *(judged(number, 3, "finance@3") for number in (4, 5)),
        *(judged(number, 5, "finance@4") for number in (6, 7)),
        judged(8, 5, "finance@3"),
        judged(9, 6, "finance@4", 2),
        judged(10, 6, "finance@9", tenant="other"),
    )
    columns = "tenant_id, day, industry, what, from_version, to_version, calls, calls_by_new"
    industry, tenant = EXAMPLE.call.industry, EXAMPLE.call.tenant_id
    assert client.query(f"SELECT {columns} FROM changes ORDER BY day, what").result_rows == [  # noqa: S608 - ours
        (tenant, date(2026, 3, 5), industry, "rules", "finance@3", "finance@4", 3, 2),
        (tenant, date(2026, 3, 6), industry, "code", "1", "2", 1, 1),
    ]
    store(client, *(judged(number, 2 if number < 3 else 3, "finance@4", 3) for number in (1, 2, 3, 4, 5)))
    left = client.query("SELECT what, toString(day) FROM changes ORDER BY day").result_rows
    assert ("rules", "2026-03-05") not in left, "after a replay the days are alike"


def test_rules_and_topics_have_the_names_of_the_packs_in_force(url: str, client: Client) -> None:
    packs = load_rule_packs()
    for _ in range(2):
        assert write_rules(url, packs) == sum(1 for pack in packs for _ in pack.entries())
    rules = {row["rule_id"]: row for row in rows_of(client, "SELECT * FROM dim_rules")}
    assert rules.keys() == {pack.rule_id(rule) for pack in packs for _, rule in pack.entries()}
    principal = rules["finance.guaranteed_principal"]
    assert (principal["section"], principal["severity"], principal["category"]) == (
        *("sensitive_words", "critical", "forbidden_promise"),
    )
    assert principal["name_en"] == "guaranteed principal"
    assert not principal["name"].isascii(), "a word without a name has that of its category"
    assert {row["tenant_id"] for row in rules.values()} == {None} == {row["published_at"] for row in rules.values()}
    topics = {row["topic_id"]: row["name"] for row in rows_of(client, "SELECT * FROM dim_topics")}
    assert topics == {pack.rule_id(topic): topic.name for pack in packs for topic in pack.topics}


def test_a_pack_that_is_published_takes_the_place_of_a_lower_version_and_no_other(url: str, client: Client) -> None:
    """A rule that a new version no longer has is gone; a tenant's own pack stands beside that of everybody."""
    packs = {pack.pack: pack for pack in load_rule_packs()}
    write_rules(url, packs.values())
    sink = ClickHouseSink(client)
    old = packs["finance"]
    topic = TopicRule(id="branch", name="网点咨询", phrases=("网点在哪",), match=("网点在哪",), no_match=("退款",))
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for version, tenant in ((old.version - 1, None), (old.version + 1, None), (1, "acme")):
        pack = old.model_copy(update={"version": version, "tenant": tenant, "topics": (topic,)})
        sink.write(rows_for_rules_published(RulesPublished(pack=pack, published_at=at, published_by="tests")))
    found = rows_of(client, "SELECT * FROM dim_topics WHERE pack = 'finance' ORDER BY tenant_id NULLS FIRST")
    assert [(row["tenant_id"], row["pack_version"], row["topic_id"], row["name"]) for row in found] == [
        (None, old.version + 1, "finance.branch", "网点咨询"),
        ("acme", 1, "finance.branch", "网点咨询"),
    ]
    others = rows_of(client, "SELECT DISTINCT pack, pack_version FROM dim_rules WHERE pack != 'finance'")
    assert {row["pack"]: row["pack_version"] for row in others} == {
        name: pack.version for name, pack in packs.items() if name != "finance"
    }


def test_the_calendar_knows_weekends_that_are_worked_and_weekdays_that_are_not(client: Client) -> None:
    """As the State Council announced them; of years that nobody has announced it does not guess."""
    days = {row["day"]: row for row in rows_of(client, calendar_select())}
    announced = {
        date(2026, 2, 14): (True, None),  # a Saturday, worked for the Spring Festival
        date(2026, 2, 16): (False, "春节"),
        date(2026, 10, 1): (False, "国庆节"),
        date(2026, 10, 10): (True, None),
        date(2025, 10, 8): (False, "国庆节"),
        date(2025, 10, 11): (True, None),
        date(2026, 3, 2): (True, None),
        date(2026, 3, 7): (False, None),
    }
    assert {day: (days[day]["is_workday"], days[day]["holiday_zh"]) for day in announced} == announced
    assert days[date(2026, 2, 16)]["holiday_en"] == "Spring Festival"
    sunday = days[date(2026, 3, 1)]
    assert (sunday["week"], sunday["month"], sunday["quarter"]) == (
        date(2026, 2, 23),
        date(2026, 3, 1),
        date(2026, 1, 1),
    )
    assert (sunday["weekday"], sunday["is_weekend"]) == (7, True)
    unknown = [row for day, row in days.items() if day.year > KNOWN_YEARS[-1]]
    assert len(unknown) in (365 * YEARS_AHEAD, 365 * YEARS_AHEAD + 1)
    assert {row["is_workday"] for row in unknown} == {None}
    worked = [row for day, row in days.items() if day.year == 2025 and row["is_workday"]]
    assert len(worked) == 248
