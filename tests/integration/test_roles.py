"""Who may see what, tried: each role logs in to a real engine and asks for what it may and for what it must not."""

# ruff: noqa: S608 - queries are put together here, of names in our own files

import hmac
import http.client
import re
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.client import Client

from processors.clickhouse.grants import FREE_SETTINGS, engine_settings, own_databases, sql_statements
from processors.clickhouse.rows import (
    CALLS,
    TRANSCRIPTS,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_listed,
    rows_for_call_rated,
    rows_for_custody_changed,
    rows_for_dead_letter,
    rows_for_fact_received,
    rows_for_recording_accessed,
    rows_for_rules_published,
    rows_for_transcript,
    rows_for_verdict_given,
)
from processors.kpi.comparisons import comparison_views
from processors.kpi.rollups import BY_HAND, RollupDefinition
from processors.kpi.sql import kpi_views
from schemas.clickhouse.cluster import to_sql
from schemas.clickhouse.migrations import load_migrations
from schemas.config.kpis.kpi import read_kpis
from schemas.config.roles import UsersFileError, load_roles, load_users
from schemas.config.rule_pack import RulePack, load_rule_packs
from schemas.config.tenants import TenantDays
from schemas.messages.call_analysis import Trigger
from schemas.messages.call_ended import Agent, CallEnded, Csat, Customer
from schemas.messages.call_rated import CallRated
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.fact_received import FactReceived
from schemas.messages.recording_accessed import ALL_TENANTS, RecordingAccessed
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_LISTED,
    CALLS_TRANSCRIBED,
)
from schemas.messages.verdict_given import VerdictGiven
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import make_views, migrate, write_rules
from streams.adapters.clickhouse.own_databases import make_own_databases, own_tables_of
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.embedded.clickhouse_engine import start_command
from streams.embedded.ports import free_port
from streams.embedded.stack import Stack, StackPlan
from streams.runtime.landlock import can_be_held
from streams.settings import Settings
from streams.stages.rollup import Rollups
from tests.support.cases import every_case
from tests.support.clickhouse_engine import RunningEngine, running_engine

pytestmark = pytest.mark.embedded

EXAMPLES = Path(__file__).parents[1] / "examples"
ROLES = load_roles()
PASSWORD = "a password of the tests"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

USERS: list[dict[str, Any]] = [
    {"name": "ana", "role": "bi_analyst", "tenants": ["acme"]},
    {"name": "ines", "role": "inspector", "tenants": ["acme"], "teams": ["north", "o'neil"]},
    {"name": "agent_1001", "role": "agent", "tenants": ["acme"], "agent": "1001"},
    {"name": "audrey", "role": "auditor", "tenants": ["acme"]},
    {"name": "otto", "role": "bi_analyst", "tenants": ["other"]},
    {"name": "dan", "role": "bi_analyst", "tenants": ["acme"], "own_database": True},
    {"name": "oda", "role": "bi_analyst", "tenants": ["other"], "own_database": True},
    {"name": "worker", "role": "pipeline_writer"},
    {"name": "keeper", "role": "custody_keeper"},
    {"name": "boss", "role": "admin"},
]
NEED_MORE_CALLS = {
    *(
        "unaccounted",
        "kpi_late_refunds",
        "kpi_lift",
        "kpi_lift_by_people",
        *("kpi_selection_lift_by_people", "kpi_second_reader_disagreement"),
        *("kpi_satisfaction_match_by_people", "kpi_satisfaction_within_10_by_people"),
        "why_changed",
        "rated_and_unrated",
        "customer_demands",
        "changes",
        "kpi_calls_recent",
        "kpi_queries_recent",
    ),
    *("demands_recent", "customer_demands_recent", "kpi_freshness"),
}
"""Views that hold nothing where all calls have an outcome and few are rated, or where none is of the last days."""
MADE_ALIKE = {
    **{"kpi_monthly": "kpi_weekly", "kpi_monthly_by": "kpi_weekly_by", "kpi_weekly": "kpi_daily"},
    **{"kpi_queries_recent": "kpi_lift", "demands_recent": "demands", "customer_demands_recent": "customer_demands"},
}
"""View → another of the same text over the same tables, which is attacked in its place: questions take their time."""
PARAMETERS: dict[str, str] = {
    "kpi_calls": "start = '2000-01-01', end = '2100-01-01', window_days = 7",
    "kpi_between": "dimension = 'tenant', first = '2000-01-01', last = '2100-01-01'",
    "why_changed": "kpi = 'score', by = 'team', first_before = '2000-01-01', last_before = '2100-01-01', "
    "first = '2000-01-01', last = '2100-01-01'",
    "search_text": "phrase = '您好', first = '2000-01-01', last = '2100-01-01'",
    **dict.fromkeys(
        (
            "kpi_recording_completeness",
            "kpi_response_delay_p90",
            "kpi_satisfaction_match",
            "kpi_captured_in_time",
            "kpi_time_to_solution",
            "kpi_late_refunds",
            "kpi_alerts",
            "kpi_lift",
            "kpi_lift_by_people",
            *("kpi_selection_lift_by_people", "kpi_second_reader_disagreement"),
            *("kpi_satisfaction_match_by_people", "kpi_satisfaction_within_10_by_people"),
            "rated_and_unrated",
            "demands",
            "customer_demands",
        ),
        "first = '2000-01-01', last = '2100-01-01'",
    ),
}
"""View → the parameters that it cannot be asked without."""
PEOPLE = ("ana", "ines", "agent_1001", "audrey")
ROLE_OF = {str(user["name"]): str(user["role"]) for user in USERS}

CALLS_OF: dict[str, tuple[str, str, str | None]] = {
    "a1": ("acme", "1001", "north"),
    "a2": ("acme", "1002", "north"),
    "a3": ("acme", "2001", "south"),
    "a4": ("acme", "3001", None),
    "o1": ("other", "1001", "north"),
}
"""Call → tenant, agent, team. The other tenant has an agent and a team of the same name."""
SAME_CUSTOMER = {"a2": "a1", "o1": "a1"}
"""Call → another call of the same number, in the other tenant, too."""
PSEUDONYMS = 27
"""Number of the migration."""
MOVED = "moved"
"""First judged as a call of agent 1001 of team north, then as one of 2001 of team south: rows of both are stored."""
OF_ONE_CALL = ("calls", "findings", "scores", "topics", "transcripts", "segments")
CALLS_OF_ROLE = {"agent": "own_calls"}
"""Role → its part of the calls, where that is not the view calls."""
SEEN = {
    "ana": {"a1", "a2", "a3", "a4", MOVED},
    "ines": {"a1", "a2"},
    "agent_1001": {"a1"},
    "analyst": {*CALLS_OF, MOVED},
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    folder = tmp_path_factory.mktemp("roles")
    users = folder / "users.yaml"
    digest = sha256(PASSWORD.encode()).hexdigest()
    users.write_text(yaml.safe_dump({"users": [user | {"password_sha256": digest} for user in USERS]}))
    with running_engine(folder / "engine", users) as running:
        migrate(running.url())
        of_kpis = (read_kpis(), TenantDays(), 7)
        make_views(running.url(), kpi_views(*of_kpis) | comparison_views(*of_kpis))
        write_rules(running.url(), load_rule_packs())
        client = connect(running.url())
        for table in (CALLS, TRANSCRIPTS):
            # What was replaced stays beside what replaced it.
            client.command(f"ALTER TABLE {table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")
        fill(ClickHouseSink(client))
        make_own_databases(client, own_databases(load_users(users, ROLES), "callstream"))
        url = running.url().replace(
            running.url().split("//")[1].split("@")[0], f"worker:{PASSWORD.replace(' ', '%20')}"
        )
        Rollups(ClickHouseRollups(url), RollupDefinition(read_kpis(), TenantDays(), 7), BY_HAND).refresh()
        client.close()
        yield running


def event_of(call_id: str, tenant: str, agent: str, team: str | None) -> CallEnded:
    example = CALLS_ENDED.decode((EXAMPLES / CALLS_ENDED.name / "human_inbound_with_everything.json").read_bytes())
    key = sha256(SAME_CUSTOMER.get(call_id, call_id).encode()).hexdigest()
    return example.model_copy(
        update={
            "tenant_id": tenant,
            "call_id": call_id,
            "agent": Agent(id=agent, team=team),
            "customer": Customer(key=key),
            "previous_call_id": "earlier",
        }
    )


def fill(sink: ClickHouseSink) -> None:
    """Rows of every kind, each from the messages as they would come."""
    transcript = CALLS_TRANSCRIBED.decode((EXAMPLES / CALLS_TRANSCRIBED.name / "heard.json").read_bytes())
    analysis = CALLS_ANALYZED.decode((EXAMPLES / CALLS_ANALYZED.name / "with_findings.json").read_bytes())
    suspicion = analysis.findings[0].model_copy(
        update={"finding_id": "suspicion", "detector": "reading", "category": "suspected_rude", "severity": "info"}
    )
    second = suspicion.model_copy(
        update={"finding_id": "second", "detector": "second_reader", "category": "second_reader_rude"}
    )
    measures = analysis.measures | {"reading_select": 0.9, "reading_suspicions": 1, "second_reader_findings": 1}
    assert analysis.selection is not None
    read = Trigger(name="reading", reason="read", measure="reading_selects", value=True)
    triggers = tuple(sorted((*analysis.selection.triggers, read), key=lambda trigger: trigger.name))
    selection = analysis.selection.model_copy(update={"triggers": triggers})
    findings = (*analysis.findings, suspicion, second)
    analysis = analysis.model_copy(update={"findings": findings, "measures": measures, "selection": selection})
    alert = ALERTS_RAISED.decode((EXAMPLES / ALERTS_RAISED.name / "call_with_evidence.json").read_bytes())
    delivery = ALERTS_DELIVERED.decode((EXAMPLES / ALERTS_DELIVERED.name / "delivered.json").read_bytes())
    listed = CALLS_LISTED.decode((EXAMPLES / CALLS_LISTED.name / "answered_with_everything.json").read_bytes())
    events = [event_of(call_id, *of) for call_id, of in CALLS_OF.items()]
    events += [event_of(MOVED, "acme", "1001", "north"), event_of(MOVED, "acme", "2001", "south")]
    for number, event in enumerate(events):
        own = {"tenant_id": event.tenant_id, "call_id": event.call_id}
        later = {"analysis_version": number + 1, "response_delays_ms": (900, 1_500)}
        sink.write(rows_for_call_ended(event, NOW))
        heard = transcript.model_copy(update=own | {"call": event, "transcribed_at": NOW.replace(second=number)})
        sink.write(rows_for_transcript(heard))
        sink.write(rows_for_analysis(analysis.model_copy(update=own | later | {"call": event})))
        sink.write(rows_for_call_rated(CallRated(**own, rated_at=NOW, source="tests", csat=Csat(score=3))))
        judged = {"about": "finding", "answer": "yes", "finding_id": "suspicion", "detector": "reading"}
        rule = {"rule_id": "suspected_rude", "rule_version": event.tenant_id, "given_by": "ines", "given_at": NOW}
        sink.write(rows_for_verdict_given(VerdictGiven.model_validate(own | judged | rule)))
        about = {"agent_id": event.agent.id, "agent_team": event.agent.team, "alert_id": f"alert-{event.call_id}"}
        raised = {"happened_at": event.ended_at, "raised_at": NOW.replace(second=number)}
        sink.write(rows_for_alert(alert.model_copy(update=own | about | raised)))
        sent = {"tenant_id": event.tenant_id, "alert_id": f"alert-{event.call_id}"}
        sink.write(rows_for_alert_delivery(delivery.model_copy(update=sent)))
        taken = CustodyChanged.of(
            "intake_announced",
            tenant_id=event.tenant_id,
            call_id=event.call_id,
            actor="key",
            at=NOW,
            source="serve",
            content_bytes=1,
            capture_ms=100,
        )
        sink.write(rows_for_custody_changed(taken))
        sink.write(rows_for_call_listed(listed.model_copy(update=own)))
        known = {"tenant_id": event.tenant_id, "valid_from": event.started_at, "source": "orders"}
        solved = {"status": "已签收", "solved_at": event.ended_at.isoformat()}
        for thing, which, fields in (
            ("order", event.order_id, solved),
            ("customer", event.customer.key, {"tier": "gold"}),
            ("agent", event.agent.id, {"trained_on": "2026-02-16"}),
        ):
            fact = FactReceived.model_validate(known | {"entity": thing, "key": which, "fields": fields})
            sink.write(rows_for_fact_received(fact, NOW, number))
        told = {"state": "purged", "reason": "request", "policy_version": "", "purge_id": "p1", "ended_at": None}
        sink.write({"purge_versions": [{**own, **told, "at": NOW, "version": 1}]})
    letter = CALLS_DEAD_LETTERS.decode(next((EXAMPLES / CALLS_DEAD_LETTERS.name).glob("*.json")).read_bytes())
    for tenant in ("acme", "other", None):
        named = {"tenant_id": tenant, "call_id": tenant and "d1", "dead_letter_id": f"letter-{tenant}"}
        sink.write(rows_for_dead_letter(letter.model_copy(update=named)))
        pack = RulePack(pack=f"pack_of_{tenant or 'all'}", version=1, tenant=tenant, industry="general", owner="tests")
        sink.write(rows_for_rules_published(RulesPublished(pack=pack, published_at=NOW, published_by="tests")))
    for owner in ("acme", "other", ALL_TENANTS):
        access = RecordingAccessed.of(
            tenant_id=owner,
            user_id="ines",
            user_role="inspector",
            action="searched",
            client="cli",
            accessed_at=NOW.replace(year=datetime.now(UTC).year),
        )
        sink.write(rows_for_recording_accessed(access))
        changed = CustodyChanged.of("day_keys_rewrapped", tenant_id=owner, actor="ops", at=access.accessed_at)
        sink.write(rows_for_custody_changed(changed))


def source_of(view: str, user: str = "") -> str:
    """How the view is asked."""
    if view == "calls":
        return CALLS_OF_ROLE.get(ROLE_OF.get(user, ""), view)
    return f"{view}({PARAMETERS[view]})" if view in PARAMETERS else view


def ask(engine: RunningEngine, user: str, query: str) -> tuple[bool, str]:
    """Whether the engine answered, and what. In the database of callstream, over HTTP as any client would."""
    password = PASSWORD if user in ROLE_OF else engine.url(user=user).split(":")[2].split("@")[0]
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=60)
    credentials = b64encode(f"{user}:{password}".encode()).decode()
    try:
        connection.request("POST", "/?database=callstream", query.encode(), {"Authorization": f"Basic {credentials}"})
        response = connection.getresponse()
        return response.status == http.client.OK, response.read().decode().strip()
    finally:
        connection.close()


def answer(engine: RunningEngine, user: str, query: str) -> set[str]:
    """The lines of an answer that must be given.

    For a moment after its answer the engine still counts a query as running, and a role may run few at a time.
    """
    for pause_s in (0.1, 0.5, 2, 0):
        answered, text = ask(engine, user, query)
        if answered or "TOO_MANY_SIMULTANEOUS_QUERIES" not in text:
            break
        time.sleep(pause_s)
    assert answered, text
    return set(text.splitlines())


def refusal(engine: RunningEngine, user: str, query: str) -> str:
    """Why a query is refused that must be refused."""
    answered, text = ask(engine, user, query)
    assert not answered, f"{user}: {query} was answered"
    return text


@pytest.fixture(scope="module")
def owner(engine: RunningEngine) -> Iterator[Client]:
    """Who sees everything."""
    client = connect(engine.url())
    yield client
    client.close()


# --- nothing is left undecided


def test_every_table_and_view_is_given_to_a_role_or_withheld_from_it(owner: Client) -> None:
    stored = {row[0] for row in owner.query("SHOW TABLES").result_rows}
    decided = {*ROLES.views, *ROLES.storage}
    assert stored - decided == set(), "say in schemas/config/roles.yaml who may read these"
    assert decided - stored == set(), "schemas/config/roles.yaml names these, but no migration makes them"


def test_every_view_reads_with_the_rights_of_who_made_it(owner: Client) -> None:
    views = owner.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND engine = 'View'"
    ).result_rows
    assert len(views) == len(ROLES.views)
    assert [name for name, statement in views if "SQL SECURITY DEFINER" not in statement] == []


def columns_of(owner: Client, view: str) -> set[str]:
    return {row[0] for row in owner.query("DESCRIBE TABLE {view:Identifier}", parameters={"view": view}).result_rows}


def test_every_column_of_a_view_with_groups_stands_in_one_of_them(owner: Client) -> None:
    with every_case() as cases:
        for name, view in ROLES.views.items():
            if view.columns:
                with cases.case(name):
                    assert columns_of(owner, name) == {column for group in view.columns.values() for column in group}


def test_no_column_that_tells_a_customer_apart_is_given_but_to_who_follows_complaints(owner: Client) -> None:
    telling = ("customer_key", "phone", "order_id", "crm", "uri")
    with every_case() as cases:
        for name in ROLES.views.keys() - PARAMETERS.keys():
            with cases.case(name):
                stored = columns_of(owner, name)
                rows = ROLES.views[name].rows
                assert {rows.tenant, rows.team, rows.agent} - {None} <= stored
                if ROLES.views[name].may.keys() - {"inspector"}:
                    assert {column for column in stored for word in telling if word in column} == set()


PLAIN_BESIDE = {
    "kpi_calls": "kpi_calls_recent",
    **dict.fromkeys(("kpi_between", "rated_and_unrated"), "kpi_weekly_by"),
    "search_text": "segments",
    "demands": "demands_recent",
    "customer_demands": "customer_demands_recent",
    **{f"kpi_{kpi.id}": "kpi_queries_recent" for kpi in read_kpis().queries},
}
"""View with parameters → one without, which has its columns in the catalogue."""


def test_beside_every_view_that_has_no_columns_in_the_catalogue_stands_one_that_has(owner: Client) -> None:
    seen = {
        row[0]
        for row in owner.query("SELECT DISTINCT table FROM system.columns WHERE database = 'callstream'").result_rows
    }
    assert ROLES.views.keys() - seen == PARAMETERS.keys()
    assert PARAMETERS.keys() - PLAIN_BESIDE.keys() <= {"why_changed"}, "it compares two stretches: both must be named"
    assert set(PLAIN_BESIDE.values()) <= seen
    for view, plain in PLAIN_BESIDE.items():
        assert ROLES.views[view].may.keys() <= ROLES.views[plain].may.keys()


UNITS = {"_ms": "ms", "_hz": "Hz", "bytes": "bytes", "_days": "days", "_minutes": "minutes"}
"""How the name of a column of numbers ends → what its comment names."""


def test_every_column_that_people_see_says_what_it_is_and_in_which_unit(owner: Client) -> None:
    columns = owner.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = 'callstream'"
    ).result_rows
    with every_case() as cases:
        for view, name, kind, comment in columns:
            with cases.case(view, name):
                assert comment.strip()
                if view in ROLES.views:
                    assert "UTC" in comment or "DateTime" not in kind
                    units = {unit for end, unit in UNITS.items() if name.endswith(end) and "Int" in kind}
                    assert all(unit in comment for unit in units), comment


def test_a_part_of_a_view_has_the_columns_of_its_groups_and_every_row(owner: Client) -> None:
    rows = owner.query("SELECT count() FROM whole_calls").result_rows
    for name, view in ROLES.views.items():
        if view.part_of:
            assert columns_of(owner, name) == set(ROLES.columns_of_part(name))
            assert owner.query(f"SELECT count() FROM {name}").result_rows == rows


def test_every_view_holds_something_to_be_hidden(owner: Client) -> None:
    counts = {view: owner.query(f"SELECT count() FROM {source_of(view)}").result_rows[0][0] for view in ROLES.views}
    assert [view for view, rows in counts.items() if view not in NEED_MORE_CALLS and rows < 2] == []


# --- what each may


@pytest.mark.parametrize("user", [*PEOPLE, "analyst"])
def test_every_view_that_is_given_can_be_read_whole(user: str, engine: RunningEngine) -> None:
    role = ROLE_OF.get(user, "bi_analyst")
    with every_case() as cases:
        for name, view in ROLES.views.items():
            if role in view.may:
                with cases.case(name):
                    source = source_of(name)
                    answer(engine, user, f"SELECT * FROM {source}")
                    # What asks a part of it is planned otherwise: one of those who see all of a tenant will do.
                    if user == "ana":
                        answer(engine, user, f"SELECT count() FROM {source}")
                    if name not in PARAMETERS and user == "ana":
                        answer(engine, user, f"DESCRIBE TABLE {name}")


def test_calls_are_seen_as_far_as_the_role_goes(engine: RunningEngine) -> None:
    with every_case() as cases:
        for view, user in product(OF_ONE_CALL, SEEN):
            with cases.case(view, user):
                assert answer(engine, user, f"SELECT DISTINCT call_id FROM {source_of(view, user)}") == SEEN[user]


@pytest.mark.parametrize("user", ["ana", "ines", "analyst"])
def test_verdicts_are_seen_as_far_as_the_role_goes(user: str, engine: RunningEngine) -> None:
    assert answer(engine, user, "SELECT DISTINCT call_id FROM verdicts") == SEEN[user]


@pytest.mark.parametrize("user", ["ana", "ines", "analyst"])
def test_alerts_are_seen_as_far_as_the_role_goes(user: str, engine: RunningEngine) -> None:
    assert answer(engine, user, "SELECT DISTINCT call_id FROM alerts") == SEEN[user]


@pytest.mark.parametrize(
    ("user", "view", "tenants"),
    [
        pytest.param("ana", "alert_deliveries", {"acme"}, id="deliveries of the tenant"),
        pytest.param("ana", "outcomes", {"acme"}, id="outcomes of the tenant"),
        pytest.param("ana", "dead_letters", {"acme"}, id="no dead letter that tells no tenant"),
        pytest.param("ana", "rule_packs", {"acme", r"\N"}, id="rules of the tenant and of everybody"),
        pytest.param("ines", "rule_packs", {"acme", r"\N"}, id="the same for an inspector, whatever the team"),
        pytest.param("audrey", "access_log", {"acme", "*"}, id="accesses to the tenant, and to no one in particular"),
        pytest.param("audrey", "custody_events", {"acme", "*"}, id="events of the tenant, and of no one in particular"),
        pytest.param("analyst", "dead_letters", {"acme", "other", r"\N"}, id="everything where no tenant is asked for"),
    ],
)
def test_rows_are_seen_by_tenant(user: str, view: str, tenants: set[str], engine: RunningEngine) -> None:
    assert answer(engine, user, f"SELECT DISTINCT tenant_id FROM {view}") == tenants


def test_of_what_other_systems_know_nobody_is_shown_whose_it_is(engine: RunningEngine) -> None:
    keys = "SELECT DISTINCT entity, ifNull(key, 'withheld') FROM"
    shown = answer(engine, "ana", f"{keys} facts")
    assert shown == answer(engine, "ana", f"{keys} call_facts")
    assert {"order\twithheld", "customer\twithheld", "agent\t1001"} <= shown
    assert answer(engine, "ines", "SELECT DISTINCT call_id FROM call_facts") == SEEN["ines"]
    refusal(engine, "ines", "SELECT count() FROM facts")
    refusal(engine, "agent_1001", "SELECT count() FROM call_facts")


def test_an_analyst_finds_what_was_said_in_the_own_tenant_as_it_is_now(engine: RunningEngine, owner: Client) -> None:
    """And nobody else by it: which rows the index leaves out tells of calls of other teams."""
    found = f"SELECT DISTINCT call_id FROM {source_of('search_text')}"
    assert answer(engine, "ana", found) == SEEN["ana"]
    assert answer(engine, "otto", found) == {"o1"}
    assert answer(engine, "analyst", found) == SEEN["analyst"]
    shown = "tenant_id, call_id, day, agent_id, agent_team, role, start_ms, end_ms, call_url, text"
    by_phrase = answer(engine, "ana", f"SELECT {shown} FROM {source_of('search_text')}")
    assert by_phrase == answer(engine, "ana", f"SELECT {shown} FROM segments WHERE text LIKE '%您好%'")
    asked_of = "search_text(phrase = '{}', first = '2000-01-01', last = '2100-01-01')"
    for phrase in (" ", ""):
        assert "phrase is empty" in refusal(engine, "ana", f"SELECT * FROM {asked_of.format(phrase)}")
    for user in ("ines", "agent_1001", "audrey"):
        assert "ACCESS_DENIED" in refusal(engine, user, found)
        assert "ACCESS_DENIED" in refusal(engine, user, "SELECT count() FROM search_text_versions")
    owner.command("INSERT INTO blocked_calls (tenant_id, call_id) VALUES ('acme', 'a1')")
    try:
        assert answer(engine, "ana", found) == SEEN["ana"] - {"a1"}
    finally:
        owner.command("TRUNCATE TABLE blocked_calls")


def test_an_inspector_finds_the_calls_of_a_customer(engine: RunningEngine) -> None:
    key = sha256(b"a1").hexdigest()
    assert answer(engine, "ines", f"SELECT call_id FROM calls_with_customers WHERE customer_key = '{key}'") == {
        "a1",
        "a2",
    }


@pytest.mark.parametrize("user", [*PEOPLE, "analyst"])
def test_the_usual_client_works_for_everybody(user: str, engine: RunningEngine) -> None:
    password = PASSWORD if user in ROLE_OF else ""
    url = (
        f"http://{user}:{password.replace(' ', '%20')}@127.0.0.1:{engine.port}/callstream"
        if password
        else engine.url(user=user)
    )
    client = connect(url)
    (view, *_) = [name for name, view in ROLES.views.items() if ROLE_OF.get(user, "bi_analyst") in view.may]
    settings = {"session_timezone": "Asia/Shanghai", "max_execution_time": 5}
    assert client.query(f"SELECT count() FROM {view}", settings=settings).result_rows[0][0] > 0
    client.close()


# --- what nobody may


@pytest.mark.parametrize("user", [*PEOPLE, "analyst"])
def test_what_is_withheld_is_refused(user: str, engine: RunningEngine, owner: Client) -> None:
    role = ROLE_OF.get(user, "bi_analyst")
    stored = {row[0] for row in owner.query("SHOW TABLES").result_rows}
    withheld = stored - {name for name, view in ROLES.views.items() if role in view.may}
    assert withheld >= set(ROLES.storage)
    for table in withheld:
        assert "ACCESS_DENIED" in refusal(engine, user, f"SELECT count() FROM {source_of(table)}"), table
        assert "ACCESS_DENIED" in refusal(engine, user, f"SELECT 1 IN (SELECT 1 FROM {source_of(table)})"), table
    assert answer(engine, user, "SHOW TABLES") == stored - withheld


def test_columns_that_are_withheld_are_in_no_view_that_is_given(engine: RunningEngine) -> None:
    """Nor do those who may not see them learn their names from the catalogue."""
    whole = ROLES.views["whole_calls"].columns
    withheld = {
        "ana": {*whole["customer"], *whole["recording"]},
        "ines": {*whole["recording"]},
        "agent_1001": {*whole["customer"], *whole["recording"], *whole["suspicion"]},
    }
    with every_case() as cases:
        for user, columns in withheld.items():
            shown = answer(engine, user, "SELECT DISTINCT name FROM system.columns WHERE database = 'callstream'")
            assert "call_id" in shown
            with cases.case(user):
                of_calls = {name for name in shown if name in columns}
                assert of_calls <= {"selected", "triggers"}, "kpi_calls_recent has those that reading does not make"
            for column in columns:
                with cases.case(user, column):
                    question = f"SELECT {column} FROM {source_of('calls', user)}"
                    assert "UNKNOWN_IDENTIFIER" in refusal(engine, user, question)
                    assert "ACCESS_DENIED" in refusal(engine, user, f"SELECT {column} FROM whole_calls")


def test_only_who_sees_customers_finds_calls_by_them(engine: RunningEngine) -> None:
    """By a number, which is its key here, or by an order; as `callstream search` has it."""
    key = sha256(b"a1").hexdigest()
    for user in ("ana", "agent_1001", "audrey"):
        for condition in (f"customer_key = '{key}'", "order_id = 'O-1'", "crm['id'] = '1'"):
            for view in ("calls_with_customers", "whole_calls"):
                assert "ACCESS_DENIED" in refusal(engine, user, f"SELECT count() FROM {view} WHERE {condition}"), user
    assert answer(engine, "ines", "SELECT count() FROM calls_with_customers WHERE order_id = 'none'") == {"0"}


SUSPICIONS = {
    "keys of what was read": "SELECT reading.keys FROM calls",
    "their number": "SELECT call_id FROM calls WHERE reading.size0 > 0",
    "one of a list": "SELECT call_id IN (SELECT call_id FROM suspicions) FROM findings",
    "one of a view": "SELECT call_id IN callstream.suspicions FROM findings",
    "the first of each": "SELECT call_id FROM calls LIMIT 1 BY reading",
    "keys beside a join": "SELECT 1 FROM findings AS f JOIN calls AS c USING (call_id) WHERE c.reading['select'] > 0.5",
    "a view that goes round": "SELECT * FROM loop('callstream', 'suspicions') LIMIT 1",
}


def test_an_agent_learns_nothing_of_a_suspicion(engine: RunningEngine) -> None:
    """Nor by what KPIs are made of, which every role that sees a call may read."""
    with every_case() as cases:
        for what, query in SUSPICIONS.items():
            with cases.case(what):
                assert "ACCESS_DENIED" in refusal(engine, "agent_1001", query)
        for view, column in (
            ("own_calls", "measures"),
            *(("kpi_calls", column) for column in ("measures", "finding_categories", "triggers")),
        ):
            with cases.case(view, column):
                found = answer(engine, "agent_1001", f"SELECT {column} FROM {source_of(view)}")
                assert found
                suspecting = ("reading", "suspected", "second_reader")
                assert [line for line in found if any(word in line for word in suspecting)] == []
        with cases.case("names, rules, roles and severities are of the same findings"):
            lengths = ("categories", "rule_ids", "roles", "severities")
            query = f"SELECT {', '.join(f'length(finding_{name})' for name in lengths)} FROM {source_of('kpi_calls')}"
            assert answer(engine, "agent_1001", query) == {"\t".join("1" * len(lengths))}
        with cases.case("only if permitted"):
            query = "SELECT * FROM viewIfPermitted(SELECT quote FROM suspicions ELSE null('quote String'))"
            assert answer(engine, "agent_1001", query) == set()


HIDDEN = {"ana": "o1", "ines": "a3", "agent_1001": "a2"}
"""User → a call that lies in the same tables and is not for the user."""


CONDITIONS = {
    "an error that tells": "throwIf(call_id = '{hidden}') = 0",
    "an error beside a cheap condition": "throwIf(call_id = '{hidden}') = 0 AND tenant_id != ''",
    "behind a branch": "if(call_id = '{hidden}', throwIf(1), 0) = 0 AND ended_at > '2000-01-01'",
    "a division by zero": "intDiv(1, toUInt8(call_id != '{hidden}')) = 1",
    "by a column of the key": "throwIf(tenant_id = 'other') = 0",
}


def test_no_condition_is_asked_of_a_row_that_is_hidden(engine: RunningEngine) -> None:
    with every_case() as cases:
        for (name, condition), view, user in product(CONDITIONS.items(), OF_ONE_CALL, HIDDEN):
            with cases.case(name, view, user):
                source = source_of(view, user)
                query = f"SELECT DISTINCT call_id FROM {source} WHERE {condition.format(hidden=HIDDEN[user])}"
                assert answer(engine, user, query) == SEEN[user]


WAYS_ROUND = (
    "merge('callstream', '^findings$')",
    "merge('callstream', '^(findings|segments|call_versions)$')",
    "view(SELECT call_id FROM segments)",
    "(SELECT s.call_id FROM segments AS s JOIN findings AS f USING (tenant_id))",
    "(SELECT call_id FROM segments UNION ALL SELECT call_id FROM findings)",
    "calls FINAL",
)


ORACLES = {
    "a condition": "SELECT count() FROM {view} WHERE throwIf({hidden}) = 0",
    "a value in the text of an error": "SELECT count() FROM {view} "
    "WHERE if({hidden}, toUInt8(concat('LEAK:', toString(tenant_id))), 1) = 1",
    "an expression that is shown as well": "SELECT throwIf({hidden}) AS told FROM {view} WHERE told = 0",
    "a key of groups": "SELECT throwIf({hidden}) AS told, count() FROM {view} GROUP BY told",
    "a condition of groups": "SELECT {key}, count() FROM {view} GROUP BY {key} HAVING throwIf({hidden}) = 0",
    "a condition of a join": "SELECT count() FROM (SELECT arrayJoin(['acme', 'acne']) AS named) AS own "
    "JOIN {view} AS a ON toString(a.tenant_id) = own.named AND throwIf({hidden}) = 0",
    "a condition beside a join": "SELECT count() FROM (SELECT arrayJoin(['acme', 'acne']) AS named) AS own "
    "JOIN {view} AS a ON toString(a.tenant_id) = own.named WHERE throwIf({hidden}) = 0",
    "a condition of a left join": "SELECT count() FROM (SELECT arrayJoin(['acme', 'acne']) AS named) AS own "
    "LEFT JOIN {view} AS a ON toString(a.tenant_id) = own.named AND throwIf({hidden}) = 0",
    "a function of windows": "SELECT count() FROM (SELECT {key}, count() OVER (PARTITION BY {key}) FROM {view}) "
    "WHERE throwIf({hidden}) = 0",
    "one of several conditions": "SELECT count() FROM {view} WHERE tenant_id = 'none' OR throwIf({hidden}) = 0",
    "a division": "SELECT count() FROM {view} WHERE intDiv(1, toUInt8(NOT ({hidden}))) = 1",
    "a number that is too large": "SELECT count() FROM {view} WHERE accurateCast(if({hidden}, -1, 1), 'UInt8') = 1",
    "a pattern that cannot be read": "SELECT count() FROM {view} WHERE match('x', if({hidden}, '(', 'x'))",
    "a pause": "SELECT count() FROM {view} WHERE if({hidden}, sleepEachRow(3), 0) = 0",
    "a correlated subquery": "SELECT 1 WHERE EXISTS (SELECT 1 FROM {view} WHERE throwIf({hidden}) = 0)",
    "an order": "SELECT {key} FROM {view} ORDER BY throwIf({hidden}) LIMIT 1",
    "two of one": "SELECT count() FROM (SELECT {key} FROM {view} UNION ALL SELECT {key} FROM {view}) "
    "WHERE throwIf({hidden}) = 0",
    "a lambda": "SELECT count() FROM {view} WHERE arrayExists(x -> throwIf({hidden} AND x = 1), [0, 1]) = 0",
    "a condition of windows": "SELECT {key} FROM {view} QUALIFY throwIf({hidden}) = 0",
    "an array that is too long": "SELECT count() FROM {view} WHERE length(range(if({hidden}, 1000000000, 1))) = 1",
    "a setting that may be changed": "SELECT count() FROM {view} WHERE throwIf({hidden}) = 0 "
    "SETTINGS final = 1, join_use_nulls = 1, prefer_column_name_to_alias = 1",
}
"""Questions that are answered only if no condition in them is asked of a row that is hidden from who asks."""


SLOWLY_PLANNED = ("why_changed", "rated_and_unrated", "kpi_calls_recent", "kpi_weekly_by")
BY_DAY = ("a condition", "a key of groups", "a condition beside a join", "a setting that may be changed")
"""Of views that take seconds to plan, these are asked for every change, and all questions at night."""
EVERY = 3
"""For every change each question is put to every third view, and to others by each person; at night to all."""


@pytest.mark.parametrize("at_night", [False, pytest.param(True, marks=pytest.mark.long)])
def test_no_error_of_a_question_to_any_view_tells_of_rows_of_others(engine: RunningEngine, at_night: bool) -> None:
    questions, views, people = list(ORACLES), list(ROLES.views), list(PEOPLE)
    with every_case() as cases:
        for (what, oracle), user, (name, view) in product(ORACLES.items(), PEOPLE, ROLES.views.items()):
            at = questions.index(what) + views.index(name)
            # An agent may ask 500 questions an hour, so at night each is put to every second view.
            if at_night and ROLE_OF[user] == "agent" and at % 2:
                continue
            if not at_night and ((at + people.index(user)) % EVERY or (name in SLOWLY_PLANNED and what not in BY_DAY)):
                continue
            if name not in MADE_ALIKE and ROLE_OF[user] in view.may and view.rows.tenant is not None:
                with cases.case(what, user, name):
                    answer(engine, user, filled_oracle(oracle, name, ROLE_OF[user]))


JOINS = (
    "(SELECT DISTINCT tenant_id FROM calls) AS o ANY JOIN calls AS a USING (tenant_id) WHERE throwIf({hidden}) = 0",
    "calls AS o ASOF JOIN calls AS a ON o.tenant_id = a.tenant_id AND o.ended_at >= a.ended_at "
    "WHERE throwIf({hidden}) = 0",
    "calls AS o SEMI LEFT JOIN findings AS a ON o.tenant_id = a.tenant_id AND throwIf({hidden}) = 0",
    "calls AS o ANTI LEFT JOIN findings AS a ON o.tenant_id = a.tenant_id AND throwIf({hidden}) = 0",
    "calls AS o FULL JOIN findings AS a ON o.call_id = a.call_id AND throwIf({hidden}) = 0",
    "(SELECT 'acme' AS t) AS o RIGHT JOIN calls AS a ON o.t = a.tenant_id AND throwIf({hidden}) = 0",
    "findings AS o CROSS JOIN calls AS a WHERE throwIf({hidden}) = 0",
    "findings AS o PASTE JOIN calls AS a WHERE throwIf({hidden}) = 0",
    "(WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r) AS o "
    "JOIN calls AS a ON o.n = toUInt8(1 + throwIf({hidden}))",
)


def test_no_join_of_any_kind_tells_of_calls_of_another_team_or_agent(engine: RunningEngine) -> None:
    hidden = {"ines": "ifNull(a.agent_team, '') != 'north'", "agent_1001": "ifNull(a.agent_id, '') != '1001'"}
    with every_case() as cases:
        for source, (user, condition) in product(JOINS, hidden.items()):
            with cases.case(source, user):
                asked = f"(a.call_id != '' AND {condition})"  # a row without a match is nobody's
                of_user = re.sub(r"\bcalls\b", source_of("calls", user), source)
                answer(engine, user, f"SELECT count() FROM {of_user.format(hidden=asked)}")


def filled_oracle(oracle: str, view: str, role: str) -> str:
    """The question, asked of that view by somebody of that role."""
    hidden, key = ["ifNull(toString(tenant_id) = 'other', 0)"], ["tenant_id"]
    scope = ROLES.rows_for(view, role)
    if scope == "team":
        hidden.append("ifNull(toString(agent_team), '') != 'north'")
        key.append("agent_team")
    if scope == "agent":
        hidden.append("ifNull(toString(agent_id), '') != '1001'")
        key.append("agent_id")
    return oracle.format(view=source_of(view), hidden=f"({' OR '.join(hidden)})", key=", ".join(key))


def test_no_plan_and_no_hint_of_an_index_tells_whether_a_call_of_others_is_there(engine: RunningEngine) -> None:
    """`indexHint` chooses parts of the table by a condition that no row must fulfil."""
    with every_case() as cases:
        for view, user in product(OF_ONE_CALL, HIDDEN):
            source = source_of(view, user)
            for question in (
                f"SELECT count() FROM {source} WHERE indexHint(call_id = '{{call}}')",
                f"EXPLAIN ESTIMATE SELECT call_id FROM {source} WHERE call_id = '{{call}}'",
            ):
                with cases.case(view, user, question):
                    there, nowhere = (answer(engine, user, question.format(call=call)) for call in ("o1", "none"))
                    assert there == nowhere
        for user in HIDDEN:
            with cases.case(user):
                question = f"EXPLAIN actions = 1, indexes = 1 SELECT call_id FROM {source_of('calls', user)}"
                plan = "\n".join(answer(engine, user, question))
                assert "acme" in plan
                assert [name for name in ("other", *ROLE_OF) if name != user and f"'{name}'" in plan] == []


def test_conditions_still_reach_the_key_of_the_table(engine: RunningEngine) -> None:
    plan = "\n".join(
        answer(engine, "ana", "EXPLAIN indexes = 1 SELECT call_id FROM calls WHERE ended_at > '2026-01-01'")
    )
    assert "ended_at in" in plan
    assert "tenant_id in" in plan


def test_rows_stay_hidden_on_a_way_round(engine: RunningEngine) -> None:
    with every_case() as cases:
        for source, user in product(WAYS_ROUND, HIDDEN):
            with cases.case(source, user):
                of_user = re.sub(r"^calls\b", source_of("calls", user), source)
                assert answer(engine, user, f"SELECT DISTINCT call_id FROM {of_user}") == SEEN[user]


def test_a_version_that_was_replaced_is_not_seen_by_whom_it_was_for(engine: RunningEngine, owner: Client) -> None:
    stored = owner.query("SELECT DISTINCT agent_team FROM transcript_versions WHERE call_id = 'moved'").result_rows
    assert {team for (team,) in stored} == {"north", "south"}
    everywhere = product(OF_ONE_CALL, ("ines", "agent_1001"), ("", " SETTINGS final = 0", " SETTINGS final = 1"))
    with every_case() as cases:
        for view, user, settings in everywhere:
            with cases.case(view, user, settings):
                question = f"SELECT DISTINCT call_id FROM {source_of(view, user)}{settings}"
                assert MOVED not in answer(engine, user, question)


REFUSED = {
    "insert a row": "INSERT INTO outcome_versions (call_id) VALUES ('x')",
    "insert into a view": "INSERT INTO calls (call_id) VALUES ('x')",
    "insert what is read": "INSERT INTO call_versions SELECT * FROM call_versions",
    "delete": "DELETE FROM call_versions WHERE 1",
    "update": "ALTER TABLE call_versions UPDATE agent_id = '1001' WHERE 1",
    "drop": "DROP VIEW calls",
    "change a view": "ALTER TABLE calls MODIFY SQL SECURITY INVOKER",
    "make a table": "CREATE TABLE mine (x Int8) ENGINE = Memory",
    "make a view": "CREATE VIEW mine AS SELECT 1",
    "make a temporary table": "CREATE TEMPORARY TABLE mine (x Int8)",
    "make a function": "CREATE FUNCTION mine AS x -> x",
    "make a user": "CREATE USER mine",
    "give a right": "GRANT SELECT ON callstream.* TO ana",
    "the index of a table": "SELECT * FROM mergeTreeIndex('callstream', 'call_versions')",
    "the index of its columns": "SELECT * FROM mergeTreeAnalyzeIndexes('callstream', 'call_versions')",
    "the same host as another": "SELECT * FROM remote('127.0.0.1', 'callstream', 'call_versions')",
    "another host": "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "an object store": "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'LineAsString', 'line String')",
    "another database": "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "a file": "SELECT * FROM file('/etc/passwd', 'LineAsString', 'line String')",
    "a file, by the function": "SELECT file('/etc/passwd')",
    "a program": "SELECT * FROM executable('x', 'TSV', 'a String')",
    "write to another host": "INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'TSV', 'a String') VALUES ('x')",
    "queries of others": "SELECT * FROM system.processes",
    "stop them": "KILL QUERY WHERE 1 = 1",
    "users": "SELECT * FROM system.users",
    "rights of others": "SELECT * FROM system.grants",
    "row policies": "SELECT * FROM system.row_policies",
    "parts of tables": "SELECT * FROM system.parts",
    "memory of the server": "SELECT addressToSymbol(1)",
    "backup": "BACKUP DATABASE callstream TO File('/tmp/x')",
    "stop the server": "SYSTEM SHUTDOWN",
    "close its ports": "SYSTEM STOP LISTEN HTTP",
    "another role": "SET ROLE admin",
}


READERS = (*PEOPLE, "analyst")


def test_nobody_writes_or_looks_beyond_the_views(engine: RunningEngine) -> None:
    known = ("ACCESS_DENIED", "READONLY", "getcwd", "UNKNOWN_ROLE", "SUPPORT_IS_DISABLED", "SYNTAX_ERROR")
    with every_case() as cases:
        for (name, query), user in product(REFUSED.items(), READERS):
            with cases.case(name, user):
                reason = refusal(engine, user, query)
                assert any(word in reason for word in known), reason


EVERYBODY = (*ROLE_OF, "analyst", "callstream")
"""With the accounts that make and fill tables: not even they run a program, read a file or ask another host."""
DISK_OF_ANOTHER_HOST = "ORDER BY a SETTINGS disk = disk(type = 'web', endpoint = 'http://{host}/store/')"
OUTWARD = {
    "dictionary of a program": "CREATE DICTIONARY {new} (k UInt64, v String) PRIMARY KEY k "
    "SOURCE(EXECUTABLE(COMMAND 'touch {ran}' FORMAT TSV)) LIFETIME(0) LAYOUT(FLAT())",
    "dictionary of a program that stays": "CREATE DICTIONARY {new} (k UInt64, v String) PRIMARY KEY k "
    "SOURCE(EXECUTABLE_POOL(COMMAND 'touch {ran}' FORMAT TSV)) LIFETIME(0) LAYOUT(DIRECT())",
    "dictionary over HTTP": "CREATE DICTIONARY {new} (k UInt64, v String) PRIMARY KEY k "
    "SOURCE(HTTP(URL 'http://{host}/' FORMAT TSV)) LIFETIME(0) LAYOUT(FLAT())",
    "dictionary of another server": "CREATE DICTIONARY {new} (k UInt64, v String) PRIMARY KEY k "
    "SOURCE(CLICKHOUSE(HOST '127.0.0.1' PORT {port} USER 'a' TABLE 'b' DB 'c')) LIFETIME(0) LAYOUT(FLAT())",
    "dictionary of a file": "CREATE DICTIONARY {new} (k UInt64, v String) PRIMARY KEY k "
    "SOURCE(FILE(PATH '/etc/passwd' FORMAT TSV)) LIFETIME(0) LAYOUT(FLAT())",
    "table of a program": "CREATE TABLE {new} (a String) ENGINE = Executable('x.sh', 'TSV')",
    "table of programs": "CREATE TABLE {new} (a String) ENGINE = ExecutablePool('x.sh', 'TSV')",
    "table over HTTP": "CREATE TABLE {new} (a String) ENGINE = URL('http://{host}/', 'TSV')",
    "table in a bucket": "CREATE TABLE {new} (a String) ENGINE = S3('http://{host}/bucket/key', 'a', 'b', 'TSV')",
    "table that follows a bucket": "CREATE TABLE {new} (a String) ENGINE = S3Queue('http://{host}/bucket/*', 'TSV')",
    "table of MySQL": "CREATE TABLE {new} (a String) ENGINE = MySQL('{host}', 'a', 'b', 'c', 'd')",
    "table of PostgreSQL": "CREATE TABLE {new} (a String) ENGINE = PostgreSQL('{host}', 'a', 'b', 'c', 'd')",
    "table of MongoDB": "CREATE TABLE {new} (a String) ENGINE = MongoDB('{host}', 'a', 'b', 'c', 'd')",
    "table of Redis": "CREATE TABLE {new} (a String) ENGINE = Redis('{host}') PRIMARY KEY a",
    "table of Kafka": "CREATE TABLE {new} (a String) ENGINE = Kafka('{host}', 'topic', 'group', 'TSV')",
    "table of a file": "CREATE TABLE {new} (a String) ENGINE = File(TSV, '/etc/passwd')",
    "table of a new file": "CREATE TABLE {new} (a String) ENGINE = File(TSV)",
    "table of an engine that is not needed": "CREATE TABLE {new} (a String) ENGINE = Memory",
    "table on a disk elsewhere": "CREATE TABLE {new} (a String) ENGINE = MergeTree " + DISK_OF_ANOTHER_HOST,
    "table on a bucket as a disk": "CREATE TABLE {new} (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk("
    "type = 's3', endpoint = 'http://{host}/bucket/store/', access_key_id = 'a', secret_access_key = 'b')",
    "table by a table function": "CREATE TABLE {new} AS url('http://{host}/', 'TSV', 'a String')",
    "what a view writes": "CREATE MATERIALIZED VIEW {new} ENGINE = URL('http://{host}/', 'TSV') AS SELECT name AS a "
    "FROM schema_migrations",
    "view of a table function": "CREATE VIEW {new} AS SELECT * FROM url('http://{host}/', 'TSV', 'a String')",
    "view with the rights of nobody": "CREATE VIEW {new} SQL SECURITY NONE AS SELECT 1",
    "view with the rights of another": "CREATE VIEW {new} DEFINER = watcher SQL SECURITY DEFINER AS SELECT 1",
    "database of MySQL": "CREATE DATABASE {new} ENGINE = MySQL('{host}', 'a', 'b', 'c')",
    "database of PostgreSQL": "CREATE DATABASE {new} ENGINE = PostgreSQL('{host}', 'a', 'b', 'c')",
    "database in a bucket": "CREATE DATABASE {new} ENGINE = S3('http://{host}/bucket', 'a', 'b')",
    "database of files": "CREATE DATABASE {new} ENGINE = Filesystem('/etc')",
    "database of SQLite": "CREATE DATABASE {new} ENGINE = SQLite('/etc/x.db')",
    "database on a disk elsewhere": "CREATE DATABASE {new} ENGINE = Atomic "
    "SETTINGS disk = disk(type = 'web', endpoint = 'http://{host}/store/')",
    "url()": "SELECT * FROM url('http://{host}/', 'TSV', 'a String')",
    "s3()": "SELECT * FROM s3('http://{host}/bucket/key', 'a', 'b', 'TSV', 'a String')",
    "remote()": "SELECT * FROM remote('{host}', 'a', 'b')",
    "remoteSecure()": "SELECT * FROM remoteSecure('{host}', 'a', 'b')",
    "mysql()": "SELECT * FROM mysql('{host}', 'a', 'b', 'c', 'd')",
    "postgresql()": "SELECT * FROM postgresql('{host}', 'a', 'b', 'c', 'd')",
    "mongodb()": "SELECT * FROM mongodb('{host}', 'a', 'b', 'c', 'd', 'a String')",
    "redis()": "SELECT * FROM redis('{host}', 'a', 'a String')",
    "hdfs()": "SELECT * FROM hdfs('hdfs://{host}/x', 'TSV', 'a String')",
    "iceberg()": "SELECT * FROM icebergS3('http://{host}/bucket/x', 'a', 'b')",
    "file()": "SELECT * FROM file('/etc/passwd', 'LineAsString', 'a String')",
    "file() as a function": "SELECT file('/etc/passwd')",
    "sqlite()": "SELECT * FROM sqlite('/etc/x.db', 'a')",
    "executable()": "SELECT * FROM executable('x.sh', 'TSV', 'a String')",
    "Python()": "SELECT * FROM Python('os')",
    "write to url()": "INSERT INTO FUNCTION url('http://{host}/', 'TSV', 'a String') VALUES ('x')",
    "write to file()": "INSERT INTO FUNCTION file('{ran}', 'TSV', 'a String') VALUES ('x')",
    "backup to a bucket": "BACKUP TABLE schema_migrations TO S3('http://{host}/bucket/x', 'a', 'b')",
    "backup to a file": "BACKUP TABLE schema_migrations TO File('{ran}')",
    "table that lies elsewhere": "ATTACH TABLE {new} FROM '/etc' (a String) ENGINE = MergeTree ORDER BY a",
    "backup to a disk": "BACKUP TABLE schema_migrations TO Disk('default', 'x')",
    "restore from a bucket": "RESTORE TABLE schema_migrations AS {new} FROM S3('http://{host}/bucket/x', 'a', 'b')",
    "view that asks again and again": "CREATE MATERIALIZED VIEW {new} REFRESH EVERY 1 SECOND ENGINE = MergeTree "
    "ORDER BY tuple() AS SELECT * FROM url('http://{host}/', 'TSV', 'a String')",
    "default of a column out of a file": "CREATE TABLE {new} (a String, b String DEFAULT file('/etc/passwd')) "
    "ENGINE = MergeTree ORDER BY a",
    "projection out of a file": "ALTER TABLE schema_migrations ADD PROJECTION p (SELECT file('/etc/passwd'))",
    "temporary table on a disk elsewhere": "CREATE TEMPORARY TABLE {new} (a String) ENGINE = MergeTree "
    + DISK_OF_ANOTHER_HOST,
    "table of a lake": "CREATE TABLE {new} ENGINE = DeltaLake('http://{host}/bucket/x', 'a', 'b')",
    "part into a bucket": "ALTER TABLE schema_migrations EXPORT PART 'all_1_1_0' "
    "TO TABLE FUNCTION s3('http://{host}/bucket/x', 'a', 'b', 'TSV')",
    "answer into a file": "SELECT 1 INTO OUTFILE '{ran}'",
    "form of an answer out of a file": "SELECT 1 AS a FORMAT Template "
    "SETTINGS format_template_resultset = '/etc/passwd', format_template_row = '/etc/passwd'",
    "as somebody else": "EXECUTE AS callstream SELECT 1",
    "function": "CREATE FUNCTION {new} AS x -> x",
    "named collection": "CREATE NAMED COLLECTION {new} AS url = 'http://{host}/'",
    "workload": "CREATE WORKLOAD {new}",
    "user": "CREATE USER {new}",
    "right": "GRANT CREATE DICTIONARY ON *.* TO boss",
}


@pytest.fixture(scope="module")
def stranger() -> Iterator[socket.socket]:
    """Another host, as far as the engine knows: a port that nobody should connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_no_account_runs_a_program_or_reads_a_file_or_asks_another_host(
    engine: RunningEngine, stranger: socket.socket, tmp_path: Path
) -> None:
    port = stranger.getsockname()[1]
    with every_case() as cases:
        for (name, query), user in product(OUTWARD.items(), EVERYBODY):
            with cases.case(name, user):
                ran = tmp_path / str(cases.tried)
                refusal(engine, user, query.format(host=f"127.0.0.1:{port}", port=port, ran=ran, new="made_by_a_test"))
                with pytest.raises(BlockingIOError):
                    stranger.accept()
                assert not ran.exists()


@pytest.mark.skipif(not can_be_held(), reason="this kernel cannot hold a process to its own files")
def test_no_account_inserts_a_file_of_the_machine(engine: RunningEngine, tmp_path: Path) -> None:
    """A clickhouse-local reads it where the query says so, whatever the grants, and quotes it in its error."""
    secret = tmp_path / "secret"
    secret.write_text("tiger-lily-7\n")
    files = (secret, Path("/proc/self/environ"), engine.data_dir / "callstream.password", Path("/etc/shadow"))
    with every_case() as cases:
        for file, user in product(files, EVERYBODY):
            with cases.case(file, user):
                query = f"INSERT INTO schema_migrations FROM INFILE '{file}' FORMAT TSV"
                reason = refusal(engine, user, query)
                assert any(word in reason for word in ("CANNOT_OPEN_FILE", "ACCESS_DENIED")), reason


@pytest.mark.parametrize("user", ["boss", "callstream"])
def test_a_table_is_not_moved_to_a_disk_of_another_host(
    user: str, engine: RunningEngine, stranger: socket.socket
) -> None:
    disk = DISK_OF_ANOTHER_HOST.removeprefix("ORDER BY a SETTINGS ").format(
        host=f"127.0.0.1:{stranger.getsockname()[1]}"
    )
    assert ask(engine, user, "CREATE TABLE stays (a String) ENGINE = MergeTree ORDER BY a") == (True, "")
    try:
        assert "SETTING_CONSTRAINT_VIOLATION" in refusal(engine, user, f"ALTER TABLE stays MODIFY SETTING {disk}")
        with pytest.raises(BlockingIOError):
            stranger.accept()
    finally:
        assert ask(engine, user, "DROP TABLE stays") == (True, "")


DECIDING = (
    "readonly = 0",
    "max_execution_time = 0",
    "max_execution_time = 100000",
    "max_result_rows = 0",
    "max_result_rows = 100000000",
    "max_memory_usage = 0",
    "max_bytes_to_read = 0",
    "max_concurrent_queries_for_user = 0",
    "read_overflow_mode = 'break'",
    "apply_row_policy_after_final = 0",
    "optimize_move_to_prewhere_if_final = 1",
    "query_plan_merge_filters = 1",
    "allow_experimental_analyzer = 0",
    "additional_table_filters = {'callstream.call_versions': 'throwIf(1) = 0'}",
    "use_query_cache = 1",
    "allow_ddl = 1, allow_python_table_function = 1",
)


def test_nobody_changes_a_setting_that_decides_what_is_read(engine: RunningEngine) -> None:
    with every_case() as cases:
        for setting, user in product(DECIDING, READERS):
            with cases.case(setting, user):
                reason = refusal(engine, user, f"SELECT 1 SETTINGS {setting}")
                assert any(word in reason for word in ("READONLY", "CONSTRAINT_VIOLATION", "PROHIBITED")), reason


@pytest.mark.parametrize("user", ["ines", "agent_1001"])
def test_who_sees_a_part_of_a_tenant_cannot_let_conditions_be_pushed_down(user: str, engine: RunningEngine) -> None:
    reason = refusal(engine, user, "SELECT 1 SETTINGS query_plan_enable_optimizations = 1")
    assert "readonly" in reason


def test_settings_that_clients_send_may_be_changed(engine: RunningEngine, owner: Client) -> None:
    values = {row[0]: row[1] for row in owner.query("SELECT name, default FROM system.settings").result_rows}
    for name in FREE_SETTINGS:
        value = values[name]
        text = value if value.isdigit() else f"'{value}'"
        answer(engine, "agent_1001", f"SELECT 1 SETTINGS {name} = {text}")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        pytest.param("SELECT number FROM numbers(20000)", "TOO_MANY_ROWS_OR_BYTES", id="too large an answer"),
        pytest.param(
            "SELECT sum(sleepEachRow(0.1)) FROM numbers(25) SETTINGS max_execution_time = 1", "TIMEOUT", id="too long"
        ),
        pytest.param("SELECT groupArray(number) FROM numbers(400000000)", "MEMORY_LIMIT", id="too much memory"),
    ],
)
def test_a_query_that_takes_too_much_is_stopped(query: str, reason: str, engine: RunningEngine) -> None:
    assert reason in refusal(engine, "agent_1001", query)


def test_an_agent_runs_two_queries_at_a_time(engine: RunningEngine) -> None:
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(ask, engine, "agent_1001", "SELECT sleep(2)") for _ in range(3)]
    refused = [text for answered, text in (each.result() for each in asked) if not answered]
    assert len(refused) == 1
    assert "TOO_MANY_SIMULTANEOUS_QUERIES" in refused[0]


# --- pseudonyms of customers


def pseudonyms_of(engine: RunningEngine, user: str, source: str = "calls") -> dict[str, str]:
    """Call → pseudonym, as the user sees it."""
    rows = answer(engine, user, f"SELECT DISTINCT call_id, customer_pseudonym FROM {source}")
    return dict(row.split("\t") for row in rows)


def test_a_customer_is_told_apart_by_a_pseudonym_of_the_tenant_and_the_role(engine: RunningEngine) -> None:
    of_analyst, of_inspector = pseudonyms_of(engine, "ana"), pseudonyms_of(engine, "ines")
    of_other = pseudonyms_of(engine, "otto")
    assert of_analyst["a1"] == of_analyst["a2"] != of_analyst["a3"]
    assert of_inspector["a1"] == of_inspector["a2"]
    assert not set(of_analyst.values()) & set(of_inspector.values()), "two roles could join theirs"
    assert of_other.keys() == {"o1"}
    assert of_other["o1"] not in of_analyst.values(), "two tenants could join theirs"
    assert all(len(value) == 32 for value in (*of_analyst.values(), *of_inspector.values()))
    everywhere = pseudonyms_of(engine, "analyst")
    assert of_analyst.items() <= everywhere.items(), "an analyst of all tenants sees what those of one see"


def test_views_of_calls_agree_about_a_pseudonym(engine: RunningEngine) -> None:
    for user in ("ana", "ines"):
        assert pseudonyms_of(engine, user, source_of("kpi_calls")) == pseudonyms_of(engine, user)


@pytest.mark.parametrize("user", ["agent_1001", "worker", "boss", "callstream"])
def test_who_is_given_no_pseudonym_sees_none(user: str, engine: RunningEngine) -> None:
    assert set(pseudonyms_of(engine, user, source_of("kpi_calls")).values()) == {"\\N"}


def test_a_pseudonym_goes_with_what_tells_of_the_customer(engine: RunningEngine, owner: Client) -> None:
    """A call that is blocked has none at once; one that was destroyed has no customer that one could be made of."""
    blocked = "INSERT INTO blocked_calls (tenant_id, call_id) VALUES ('acme', 'a1')"
    owner.command(blocked)
    try:
        assert pseudonyms_of(engine, "ana")["a1"] == "\\N"
        assert pseudonyms_of(engine, "ana", source_of("kpi_calls"))["a1"] == "\\N"
        assert pseudonyms_of(engine, "ana")["a2"] != "\\N"
    finally:
        owner.command("TRUNCATE TABLE blocked_calls")


def test_the_key_of_pseudonyms_is_read_by_nobody_who_sees_them(engine: RunningEngine, owner: Client) -> None:
    """Not by its column, nor as a constant of a plan, in an error, or in what a view or table is made of."""
    ((key,),) = owner.query("SELECT DISTINCT pseudonym_key FROM call_versions").result_rows
    customers = {row[0] for row in owner.query("SELECT DISTINCT customer_key FROM call_versions").result_rows}
    assert len(key) == 64
    shown = "SELECT customer_pseudonym FROM calls"
    in_period = f"SELECT customer_pseudonym FROM {source_of('kpi_calls')}"
    asked = [
        "SELECT pseudonym_key FROM calls",
        "SELECT call_versions.pseudonym_key FROM calls",
        "SELECT DISTINCT pseudonym_key FROM call_versions",
        "SELECT * FROM reader_role_versions",
        "SHOW CREATE TABLE call_versions",
        "SHOW CREATE TABLE calls",
        "SHOW CREATE TABLE kpi_calls",
        "DESCRIBE TABLE call_versions",
        "SELECT * FROM system.columns WHERE table IN ('call_versions', 'calls') FORMAT TSV",
        "SELECT * FROM system.tables WHERE database = 'callstream' FORMAT TSV",
        "SELECT * FROM system.parts_columns",
        "SELECT * FROM system.mutations",
        "SELECT * FROM system.query_log",
        "SELECT * FROM merge('callstream', 'call_versions')",
        f"SELECT throwIf(1, customer_pseudonym) FROM ({shown})",
        f"SELECT CAST(customer_pseudonym AS UInt8) FROM ({shown})",
        f"SELECT toDate(customer_pseudonym) FROM ({in_period})",
        "SELECT count() FROM calls WHERE CAST(customer_pseudonym AS UInt8) = 1",
    ]
    explained = ("AST", "SYNTAX", "QUERY TREE", "QUERY TREE run_passes = 1", "PLAN actions = 1, header = 1", "PIPELINE")
    asked += [f"EXPLAIN {how} {query}" for how in explained for query in (shown, in_period)]
    with every_case() as cases:
        for query, user in product(asked, ("ana", "ines", "agent_1001")):
            with cases.case(query, user):
                _, text = ask(engine, user, query)
                assert key not in text
                assert not any(customer in text for customer in customers)


def test_a_pseudonym_is_the_hash_that_the_page_names(engine: RunningEngine, owner: Client) -> None:
    ((key, customer),) = owner.query(
        "SELECT DISTINCT pseudonym_key, customer_key FROM call_versions WHERE tenant_id = 'acme' AND call_id = 'a1'"
    ).result_rows
    expected = hmac.new(key.encode(), f"bi_analyst acme {customer}".encode(), "sha256").hexdigest()[:32]
    assert pseudonyms_of(engine, "ana")["a1"] == expected


def test_a_database_has_a_key_of_its_own_which_a_second_migrate_leaves(owner: Client) -> None:
    of_key = "SELECT default_expression FROM system.columns WHERE database = {name:String} AND name = 'pseudonym_key'"
    before = owner.query(of_key, parameters={"name": "callstream"}).result_rows
    for statement in to_sql(load_migrations()[PSEUDONYMS - 1].statements, None):
        owner.command(statement)
    assert owner.query(of_key, parameters={"name": "callstream"}).result_rows == before


# --- databases of their own

OWN, OF_OTHER = "callstream_own_acme", "callstream_own_other"


@pytest.fixture(scope="module")
def copied(engine: RunningEngine) -> str:
    """A table of dan's, made of what he may see."""
    columns = "tenant_id, call_id, customer_pseudonym"
    made = f"CREATE TABLE {OWN}.copied ENGINE = MergeTree ORDER BY call_id AS SELECT {columns} FROM calls"
    assert ask(engine, "dan", made) == (True, "")
    return f"{OWN}.copied"


def test_a_copy_holds_what_its_maker_may_see_and_is_read_by_those_who_write_there(
    engine: RunningEngine, copied: str
) -> None:
    assert answer(engine, "dan", f"SELECT call_id FROM {copied}") == SEEN["ana"]
    for user in ("oda", "ana", "ines", "agent_1001", "audrey", "worker", "keeper"):
        assert "ACCESS_DENIED" in refusal(engine, user, f"SELECT * FROM {copied}")
        assert "ACCESS_DENIED" in refusal(engine, user, f"DROP TABLE {copied}")


def test_what_analysts_made_is_named_to_who_destroys_calls(engine: RunningEngine, copied: str) -> None:
    url = engine.url().replace(engine.url().split("//")[1].split("@")[0], f"keeper:{PASSWORD.replace(' ', '%20')}")
    assert copied in own_tables_of(url, "acme")
    assert own_tables_of(url, "other") == []


def test_an_analyst_changes_and_drops_the_own_tables(engine: RunningEngine) -> None:
    for statement in (
        f"CREATE TABLE {OWN}.mine (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a",
        f"INSERT INTO {OWN}.mine SELECT 1",
        f"ALTER TABLE {OWN}.mine ADD COLUMN b String",
        f"ALTER TABLE {OWN}.mine DELETE WHERE a = 1 SETTINGS mutations_sync = 1",
        f"CREATE VIEW {OWN}.seen AS SELECT count() AS calls FROM {OWN}.mine",
        f"DROP VIEW {OWN}.seen",
        f"DROP TABLE {OWN}.mine",
    ):
        assert ask(engine, "dan", statement) == (True, ""), statement


NOT_WITH_AN_OWN_DATABASE = (
    "CREATE TABLE callstream.x (a Int8) ENGINE = MergeTree ORDER BY a",
    f"CREATE TABLE {OF_OTHER}.x (a Int8) ENGINE = MergeTree ORDER BY a",
    "CREATE DATABASE mine",
    f"DROP DATABASE {OWN}",
    "INSERT INTO call_versions SELECT * FROM call_versions",
    f"CREATE TABLE {OWN}.x (a Int8) ENGINE = Memory",
    f"CREATE TABLE {OWN}.x (a Int8) ENGINE = File(TSV)",
    f"CREATE TABLE {OWN}.x (a String) ENGINE = URL('http://127.0.0.1:1/', TSV)",
    f"CREATE TABLE {OWN}.x AS url('http://127.0.0.1:1/', 'TSV', 'a String')",
    f"CREATE TABLE {OWN}.x (a String) ENGINE = MergeTree " + DISK_OF_ANOTHER_HOST.format(host="127.0.0.1:1"),
    f"CREATE VIEW {OWN}.x SQL SECURITY NONE AS SELECT * FROM callstream.call_versions",
    f"CREATE VIEW {OWN}.x DEFINER = callstream SQL SECURITY DEFINER AS SELECT * FROM callstream.call_versions",
    f"CREATE MATERIALIZED VIEW {OWN}.x ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM callstream.call_versions",
    f"CREATE DICTIONARY {OWN}.x (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:1/' format 'TSV')) "
    "LAYOUT(FLAT()) LIFETIME(0)",
    "CREATE FUNCTION f AS x -> x",
    "CREATE USER mine",
    "SYSTEM FLUSH LOGS",
    "SELECT customer_key FROM whole_calls",
    "SELECT * FROM call_versions",
)


def test_an_analyst_with_an_own_database_does_nothing_elsewhere(engine: RunningEngine) -> None:
    with every_case() as cases:
        for statement in NOT_WITH_AN_OWN_DATABASE:
            with cases.case(statement):
                reason = refusal(engine, "dan", statement)
                assert any(word in reason for word in ("ACCESS_DENIED", "SETTING_CONSTRAINT_VIOLATION")), reason


def test_a_view_that_is_filled_by_the_clock_shows_no_more_than_its_maker_sees(engine: RunningEngine) -> None:
    """In the background nobody asks; unguarded, a condition would be asked of other tenants' rows."""
    condition = "throwIf(tenant_id = 'other') = 0"
    made = (
        f"CREATE MATERIALIZED VIEW {OWN}.by_clock REFRESH EVERY 1 YEAR ENGINE = MergeTree ORDER BY tuple() AS "
        f"SELECT tenant_id, call_id FROM callstream.calls WHERE {condition}"
    )
    try:
        assert ask(engine, "dan", made) == (True, "")
        assert ask(engine, "dan", f"SYSTEM WAIT VIEW {OWN}.by_clock")[0] is False  # no right to that either
        time.sleep(1)
        assert answer(engine, "dan", f"SELECT count() FROM {OWN}.by_clock WHERE tenant_id != 'acme'") == {"0"}
    finally:
        ask(engine, "dan", f"DROP VIEW {OWN}.by_clock")


def test_who_writes_changes_no_setting_that_decides_what_is_read(engine: RunningEngine) -> None:
    with every_case() as cases:
        for setting in (*DECIDING, "query_plan_enable_optimizations = 0", "log_queries = 0", "merge_tree_disk = 'x'"):
            if setting in ("readonly = 0", "allow_ddl = 1, allow_python_table_function = 1"):
                continue  # so it is already; and the second is no setting that may be changed at all
            with cases.case(setting):
                reason = refusal(engine, "dan", f"SELECT 1 SETTINGS {setting}")
                assert any(word in reason for word in ("CONSTRAINT_VIOLATION", "PROHIBITED")), reason


def test_the_settings_that_are_kept_from_who_writes_are_all_of_the_engine(owner: Client) -> None:
    known = {row[0] for row in owner.query("SELECT name FROM system.settings WHERE alias_for = ''").result_rows}
    assert known == set(engine_settings()), "write them anew into processors/clickhouse/engine_settings.txt"


# --- accounts that work


def test_the_writer_reads_and_inserts_and_changes_no_table(engine: RunningEngine) -> None:
    assert answer(engine, "worker", "SELECT DISTINCT call_id FROM calls") == {*CALLS_OF, MOVED}
    answer(engine, "worker", "INSERT INTO schema_migrations SELECT * FROM schema_migrations WHERE 0")
    for query in (
        "DROP TABLE call_versions",
        "ALTER TABLE calls MODIFY SQL SECURITY INVOKER",
        "CREATE TABLE mine (x Int8) ENGINE = MergeTree ORDER BY x",
        "DELETE FROM call_versions WHERE 1",
        "SELECT * FROM system.processes",
        "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')",
    ):
        assert "ACCESS_DENIED" in refusal(engine, "worker", query)


def test_the_admin_makes_and_drops_tables_and_reads_everything(engine: RunningEngine) -> None:
    assert answer(engine, "boss", "SELECT DISTINCT call_id FROM calls") == {*CALLS_OF, MOVED}
    for query in ("CREATE TABLE mine (x Int8) ENGINE = MergeTree ORDER BY x", "DROP TABLE mine"):
        assert ask(engine, "boss", query) == (True, "")
    assert "ACCESS_DENIED" in refusal(engine, "boss", "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')")


def test_the_admin_runs_the_newest_migration(engine: RunningEngine) -> None:
    for statement in to_sql(load_migrations()[-1].statements, None):
        assert ask(engine, "boss", statement) == (True, "")


# --- the same for a server


def test_the_statements_for_a_server_are_understood(engine: RunningEngine, owner: Client) -> None:
    assert engine.users_file is not None
    users = load_users(engine.users_file, ROLES)
    for cluster in (None, "analytics"):
        statements = sql_statements(ROLES, users, "callstream", cluster)
        assert len(statements) > 100
        for statement in statements:
            owner.command(
                f"EXPLAIN AST {statement}"
            )  # query() asks for a format, which CREATE DATABASE takes for its own


# --- rows from before


def test_transcripts_from_before_are_hidden_until_their_agents_are_filled_in(
    engine: RunningEngine, owner: Client
) -> None:
    event = event_of("old", "acme", "1001", "north")
    sink = ClickHouseSink(owner)
    analysis = CALLS_ANALYZED.decode((EXAMPLES / CALLS_ANALYZED.name / "with_findings.json").read_bytes())
    transcript = CALLS_TRANSCRIBED.decode((EXAMPLES / CALLS_TRANSCRIBED.name / "heard.json").read_bytes())
    own = {"tenant_id": "acme", "call_id": "old", "call": event}
    sink.write(rows_for_analysis(analysis.model_copy(update=own)))
    (row,) = rows_for_transcript(transcript.model_copy(update=own))[TRANSCRIPTS]
    row = {name: value for name, value in row.items() if name not in ("agent_id", "agent_team")}
    owner.insert(TRANSCRIPTS, [list(row.values())], column_names=list(row))
    try:
        query = "SELECT count() FROM segments WHERE call_id = 'old'"
        assert answer(engine, "agent_1001", query) == {"0"}
        assert answer(engine, "ines", query) == {"0"}
        assert answer(engine, "ana", query) != {"0"}
        before = owner.query("SELECT * EXCEPT (agent_id, agent_team) FROM transcripts ORDER BY ALL").result_rows
        owner.command(fill_in_statement())
        assert answer(engine, "agent_1001", query) != {"0"}
        assert answer(engine, "ines", query) != {"0"}
        after = owner.query("SELECT * EXCEPT (agent_id, agent_team) FROM transcripts ORDER BY ALL").result_rows
        assert after == before
    finally:
        owner.command("DELETE FROM call_versions WHERE call_id = 'old'")
        owner.command("DELETE FROM transcript_versions WHERE call_id = 'old'")


def fill_in_statement() -> str:
    """As the page for operators has it."""
    page = (Path(__file__).parents[2] / "docs" / "roles.md").read_text(encoding="utf-8")
    (statement,) = (block for block in page.split("```") if block.startswith("sql\nINSERT INTO transcript_versions"))
    return statement.removeprefix("sql\n")


def test_an_engine_and_a_stack_with_a_file_of_users_that_does_not_fit_start_nothing(tmp_path: Path) -> None:
    users = tmp_path / "users.yaml"
    users.write_text("users:\n- {name: ana, role: king, password_sha256: " + "a" * 64 + "}\n")
    command = start_command(tmp_path / "engine", free_port(), users_file=users)
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (3, b"")
    assert "users.yaml:2: user ana: there is no role king" in ended.stderr.decode()
    settings = Settings(data_dir=tmp_path / "stack", clickhouse_users_file=users)
    with (
        Stack(StackPlan("tansu", tmp_path / "stack"), settings) as stack,
        pytest.raises(UsersFileError, match="no role king"),
    ):
        stack.start()
    assert not (tmp_path / "stack" / "logs").exists()
