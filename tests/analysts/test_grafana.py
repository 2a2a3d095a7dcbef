"""The dashboards and alert rules for Grafana: every query runs, and nothing is named that is not there.

No Grafana is started here: none can be had from a package registry. What its provisioning expects is checked by hand
against its documentation.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.config.roles import load_roles
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.settings import Settings
from tests.analysts.conftest import FROM, UNTIL

pytestmark = pytest.mark.embedded

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
PROVISIONED: dict[str, dict[str, Any]] = {
    path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((FOLDER / "provisioning").rglob("*.yaml"))
}
RULES: list[dict[str, Any]] = PROVISIONED["alerting"]["groups"][0]["rules"]
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in board["panels"]]
every_board = pytest.mark.parametrize("name", BOARDS)
every_panel = pytest.mark.parametrize(
    ("board", "panel"), [pytest.param(name, panel, id=f"{name}-{panel['id']}") for name, panel in PANELS]
)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
BUCKET_S = 3_600
OBJECTIVE_S = Settings().processing_objective_s


def expanded(sql: str, first: datetime = FROM, last: datetime = UNTIL, tenants: str | None = None) -> str:
    """The query as the ClickHouse data source sends it. Its macros: github.com/grafana/clickhouse-datasource."""

    def macro(found: re.Match[str]) -> str:
        name, arguments = found["name"], found["arguments"] or ""
        start, end = int(first.timestamp()), int(last.timestamp())
        if name == "conditionalAll":
            condition, variable = arguments.rsplit(",", 1)
            assert variable.strip() == "$tenant"
            return condition.replace("${tenant:singlequote}", tenants) if tenants else "1=1"
        return {
            "timeFilter": f"{arguments} >= toDateTime({start}) AND {arguments} <= toDateTime({end})",
            "timeInterval": f"toStartOfInterval(toDateTime({arguments}), INTERVAL {BUCKET_S} second)",
            "fromTime": f"toDateTime({start})",
        }[name]

    inside = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
    text = re.sub(rf"\$__(?P<name>\w+)(?:\((?P<arguments>{inside})\))?", macro, sql)
    return text.replace("${objective_s}", str(OBJECTIVE_S))


def sql_of(panel: dict[str, Any]) -> str:
    (target,) = panel["targets"]
    sql: str = target["rawSql"]
    return sql


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        pytest.param("$__timeFilter(at)", "at >= toDateTime(", id="the time"),
        pytest.param("$__conditionalAll(t IN (${tenant:singlequote}), $tenant)", "1=1", id="all tenants"),
        pytest.param("$__timeInterval(a.at)", "toStartOfInterval(toDateTime(a.at), INTERVAL 3600 second)", id="bucket"),
    ],
)
def test_macros_are_expanded_as_the_data_source_does(sql: str, wanted: str) -> None:
    assert wanted in expanded(sql)


def test_a_chosen_tenant_is_a_condition() -> None:
    sql = "$__conditionalAll(tenant_id IN (${tenant:singlequote}), $tenant)"
    assert expanded(sql, tenants="'a','b'") == "tenant_id IN ('a','b')"


@every_panel
def test_the_query_of_a_panel_runs_and_gives_rows(board: str, panel: dict[str, Any], writer: Client) -> None:
    sql = expanded(sql_of(panel))
    assert "$" not in sql
    assert writer.query(sql).result_rows, board


@every_panel
def test_the_query_of_a_panel_runs_for_one_tenant(board: str, panel: dict[str, Any], writer: Client) -> None:
    writer.query(expanded(sql_of(panel), tenants="'nobody'"))
    if board == "callstream-health" and "$tenant" not in sql_of(panel):
        assert "dead_letters" in sql_of(panel), "all but dead letters, which may know no tenant, heed the tenant"


@every_panel
def test_the_health_of_the_stream_can_be_read_by_an_analyst(board: str, panel: dict[str, Any], analyst: Client) -> None:
    if board == "callstream-health":
        analyst.query(expanded(sql_of(panel)))


@every_panel
def test_a_time_series_begins_with_the_time_and_a_stat_is_one_number(
    board: str, panel: dict[str, Any], writer: Client
) -> None:
    (target,) = panel["targets"]
    found = writer.query(expanded(sql_of(panel)))
    if panel["type"] == "timeseries":
        assert target["format"] == 0, board
        assert found.column_names[0] == "time"
        assert all(isinstance(row[0], datetime) for row in found.result_rows)
        assert all(isinstance(row[-1], int | float) for row in found.result_rows)
    else:
        assert target["format"] == 1
    if panel["type"] == "stat":
        ((value,),) = found.result_rows
        assert isinstance(value, int | float)


@every_panel
def test_a_table_whose_rows_are_calls_links_to_each(board: str, panel: dict[str, Any], writer: Client) -> None:
    found = writer.query(expanded(sql_of(panel)))
    if panel["type"] != "table" or "call_id" not in found.column_names:
        return
    properties = {
        each["matcher"]["options"]: {one["id"]: one["value"] for one in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }
    (link,) = properties["call_id"]["links"]
    assert link["url"] == "${__data.fields.call_url:raw}", board  # as it is: it is encoded already
    assert properties["call_url"] == {"custom.hidden": True}
    rows = list(found.named_results())
    assert rows
    for row in rows:
        assert row["call_url"] == f"https://console.example/calls/{row['tenant_id']}/{row['call_id']}?t=0"


def test_there_is_a_table_of_calls() -> None:
    assert [panel["id"] for _, panel in PANELS if panel["type"] == "table" and "call_id" in sql_of(panel)] == [16]


@every_board
def test_a_board_has_places_and_ids_of_its_own(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert BOARDS[name]["uid"] == name
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, panel["title"]
        taken |= cells


def data_sources(part: Any) -> Iterator[str]:
    """Every data source that something names."""
    if isinstance(part, dict):
        if isinstance(part.get("datasource"), dict):
            yield part["datasource"]["uid"]
        if "datasourceUid" in part:
            yield part["datasourceUid"]
        for value in part.values():
            yield from data_sources(value)
    elif isinstance(part, list):
        for value in part:
            yield from data_sources(value)


def test_everything_asks_the_data_source_that_is_provisioned() -> None:
    (source,) = PROVISIONED["datasources"]["datasources"]
    assert set(data_sources([*BOARDS.values(), *RULES])) == {source["uid"], "__expr__"}


def test_its_time_for_a_query_is_within_what_an_analyst_may_ask_for() -> None:
    """clickhouse-go sets `max_execution_time` to the time left until its deadline and 5 s, and more than the most is
    refused (tried with 2.51.0)."""
    (source,) = PROVISIONED["datasources"]["datasources"]
    limits = load_roles().roles["bi_analyst"].limits
    assert limits is not None
    assert source["jsonData"]["queryTimeout"] + 5 <= limits.execution_s


def test_no_secret_stands_in_the_files() -> None:
    (source,) = PROVISIONED["datasources"]["datasources"]
    assert source["secureJsonData"] == {"password": "$CLICKHOUSE_PASSWORD"}
    assert source["jsonData"]["username"] == "$CLICKHOUSE_USER"


def test_the_objective_is_that_of_the_settings() -> None:
    variables = {one["name"]: one for one in BOARDS["callstream-health"]["templating"]["list"]}
    assert variables["objective_s"]["query"] == str(OBJECTIVE_S)
    by_uid = {rule["uid"]: rule for rule in RULES}
    assert f"INTERVAL {OBJECTIVE_S} SECOND" in rule_sql(by_uid["callstream-overdue"])
    assert threshold(by_uid["callstream-nothing-finishes"]) == ("gt", OBJECTIVE_S)


def rule_sql(rule: dict[str, Any]) -> str:
    sql: str = rule["data"][0]["model"]["rawSql"]
    return sql


def threshold(rule: dict[str, Any]) -> tuple[str, float]:
    (condition,) = rule["data"][1]["model"]["conditions"]
    (value,) = condition["evaluator"]["params"]
    return condition["evaluator"]["type"], value


@every_rule
def test_a_rule_asks_for_one_number_and_holds_it_against_a_threshold(rule: dict[str, Any], writer: Client) -> None:
    query, expression = rule["data"]
    assert (query["refId"], expression["refId"], rule["condition"]) == ("A", "B", "B")
    assert expression["model"]["expression"] == "A"
    assert "$" not in rule_sql(rule), "Grafana would take it for a variable of its environment"
    ((value,),) = writer.query(rule_sql(rule)).result_rows
    assert isinstance(value, int | float)
    assert threshold(rule)[0] in ("gt", "lt")


@every_rule
def test_a_rule_can_be_asked_by_an_analyst_but_for_that_of_the_disks(rule: dict[str, Any], analyst: Client) -> None:
    if rule["uid"] == "callstream-disk":
        with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
            analyst.query(rule_sql(rule))
    else:
        assert analyst.query(rule_sql(rule)).result_rows


@every_rule
def test_what_a_rule_tells_keeps_its_variables(rule: dict[str, Any]) -> None:
    """A single `$` in a provisioned file is a variable of the environment; two are one that stays."""
    for text in (*rule["annotations"].values(), rule["title"]):
        assert not re.search(r"(?<!\$)\$(?!\$)", text.replace("$$", ""))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["what_to_do"]


def fires(rule: dict[str, Any], client: Client) -> bool:
    ((value,),) = client.query(rule_sql(rule)).result_rows
    kind, limit = threshold(rule)
    return bool(value > limit if kind == "gt" else value < limit)


def test_rules_fire_when_they_should_and_not_before(sample_engine: Any) -> None:
    """In a database of its own, which starts empty."""
    url = sample_engine.url("quiet")
    migrate(url)
    client = connect(url)
    rules = {rule["uid"].removeprefix("callstream-"): rule for rule in RULES}
    of_calls = ("overdue", "nothing-finishes", "dead-letters", "deliveries-given-up", "deliveries-failing")
    assert [name for name in of_calls if fires(rules[name], client)] == []
    now = datetime.now(UTC)
    sink = ClickHouseSink(client)
    outcome = {"tenant_id": "a", "reason": "", "ended_at": now}

    def event(call_id: str, kind: str, age: timedelta, version: int) -> dict[str, object]:
        return outcome | {"call_id": call_id, "outcome": kind, "since": now - age, "version": version}

    sink.write({"outcome_versions": [event("done", "analyzed", timedelta(hours=2), 2)]})
    assert fires(rules["nothing-stored"], client)
    assert not fires(rules["overdue"], client)
    sink.write({"outcome_versions": [event("new", "pending", timedelta(seconds=5), 0)]})
    assert not fires(rules["nothing-stored"], client)
    assert fires(rules["nothing-finishes"], client)
    assert not fires(rules["overdue"], client)
    sink.write({"outcome_versions": [event("old", "pending", timedelta(seconds=OBJECTIVE_S + 60), 0)]})
    assert fires(rules["overdue"], client)
    sink.write({"alert_delivery_versions": [delivery(now, n, "failed") for n in range(5)]})
    assert fires(rules["deliveries-failing"], client)
    assert not fires(rules["deliveries-given-up"], client)
    sink.write({"alert_delivery_versions": [delivery(now, 9, "gave_up")]})
    assert fires(rules["deliveries-given-up"], client)
    client.close()


def delivery(now: datetime, number: int, outcome: str) -> dict[str, object]:
    return {
        "alert_id": f"a{number}",
        "tenant_id": "a",
        "rule_id": "r",
        "subscriber": "desk",
        "channel": "webhook",
        "attempt": 1,
        "outcome": outcome,
        "reason": None,
        "status_code": 503,
        "error_class": None,
        "group_id": None,
        "at": now,
        "next_try_at": None,
        "latency_ms": 5,
        "version": 1,
    }
