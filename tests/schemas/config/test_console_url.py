"""Links to calls: what is a template, what a link is, and that SQL makes the same ones."""

from collections.abc import Callable

import pytest
from clickhouse_connect.driver.client import Client
from pydantic import ValidationError

from schemas.clickhouse.views import load_views
from schemas.config.console_url import NO_CONSOLE, ConsoleUrl
from streams.adapters.clickhouse.connection import connect
from streams.settings import Settings

TEMPLATE = "https://console.example/calls/{tenant_id}/{call_id}?t={second}&ms={ms}#player"
BASE = "https://console.example/qa/"


@pytest.mark.parametrize(
    ("template", "at_ms", "link"),
    [
        (TEMPLATE, 61_999, "https://console.example/calls/acme/ivr%3A7?t=61&ms=61999#player"),
        (TEMPLATE, None, "https://console.example/calls/acme/ivr%3A7?t=0&ms=0#player"),
        (BASE, 10_400, "https://console.example/qa/calls/acme/ivr%3A7?t=10400"),
        (BASE, None, "https://console.example/qa/calls/acme/ivr%3A7"),
        ("http://127.0.0.1:8080/?c={call_id}", 5, "http://127.0.0.1:8080/?c=ivr%3A7"),
        ("", 5, ""),
    ],
)
def test_a_link_leads_to_a_call_at_its_moment(template: str, at_ms: int | None, link: str) -> None:
    assert ConsoleUrl(template).link("acme", "ivr:7", at_ms) == link


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://console.example/{call_id}", "must begin with https://"),
        ("http://127.0.0.1.evil.example/{call_id}", "must begin with https://"),
        ("javascript:alert({call_id})", "must begin with https://"),
        ("console.example", "must begin with https://"),
        ("https:///calls/{call_id}", "needs a host"),
        ("https://user:secret@console.example/{call_id}", "neither a user nor a password"),
        ("https://{call_id}.console.example/", "placeholders belong behind the host"),
        ("https://console.example/{agent}", "no placeholder {agent}: there are {tenant_id}, {call_id}, {second}, {ms}"),
        ("https://console.example/?t={second}", r"must have {call_id}"),
        ("https://console.example/{call_id", "braces around placeholders alone"),
        ("https://console.example/{call_id}}", "braces around placeholders alone"),
        ("https://console.example/{call_id:String}", "no placeholder"),
        ("https://console.example/'{call_id}", "no spaces, quotes"),
        ("https://console.example/ {call_id}", "no spaces, quotes"),
        ("https://console.example/<b>", "no spaces, quotes"),
        ("https://控制台.example/", "it must be a URL"),
    ],
)
def test_what_is_no_template_is_refused_at_the_start_and_says_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ConsoleUrl(text)
    with pytest.raises(ValidationError) as refused:
        Settings(console_url=text)
    assert problem in str(refused.value)


def test_a_view_without_a_console_has_empty_links_and_with_one_no_placeholder_is_left() -> None:
    for name, statement in load_views().items():
        assert "'' AS call_url" in statement or "call_url" not in statement, name
    linked = load_views(console=ConsoleUrl(TEMPLATE))
    assert {name for name, statement in linked.items() if "https://console.example/calls/" in statement} >= {
        *("calls", "findings", "segments", "topics", "selected_calls", "suspicions", "alerts", "scores", "verdicts"),
        *("outcomes", "unaccounted", "kpi_calls"),
    }
    assert [name for name, statement in linked.items() if "{{call_url" in statement] == []


@pytest.mark.embedded
@pytest.mark.parametrize("template", [TEMPLATE, BASE, "https://c.example/%7Bx%7D/{call_id}", ""])
def test_sql_makes_the_links_that_python_makes(template: str, new_database: Callable[[], str]) -> None:
    console = ConsoleUrl(template) if template else NO_CONSOLE
    ids = ["c-1", "ivr2:9022", "a@b.c", "A_b.~", "a/b?c=d&e#f", "100%", "甲 乙", "\"'<>\\{}", "+"]
    client: Client = connect(new_database())
    sql = f"""
        SELECT id, ms, {console.sql("tenant", "id", "ms")}, {console.sql("tenant", "id")}
        FROM (
            SELECT
                arrayJoin({{ids:Array(String)}}) AS id, arrayJoin([NULL, 0, 61999]) AS ms,
                toLowCardinality('acme') AS tenant
        )
    """  # noqa: S608
    rows = client.query(sql, parameters={"ids": ids}).result_rows
    assert len(rows) == 3 * len(ids)
    for call_id, ms, moment, begin in rows:
        assert (moment, begin) == (console.link("acme", call_id, ms), console.link("acme", call_id))
    no_call = f"SELECT {console.sql('tenant', 'id', '5')} FROM (SELECT 'acme' AS tenant, NULL::Nullable(String) AS id)"  # noqa: S608
    assert client.query(no_call).result_rows == [("",)]
    client.close()
