"""The dashboards for Superset: whole, without a secret, every query gives rows. `make superset` tries a real one."""

import re
import stat
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from clickhouse_connect.driver.client import Client

from processors.kpi.metrics import value_over_calls
from schemas.config.kpis.kpi import read_kpis
from tests.analysts.superset_bundle import BUNDLE, Chart, charts, read, script

pytestmark = pytest.mark.embedded

CHARTS = charts()
REGISTRY = read_kpis()
DATASETS = read("datasets")
DASHBOARDS = read("dashboards")
URL = "clickhousedb://analyst@clickhouse.example.com:8123/callstream"
bundle = script("bundle")
every_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
every_dataset = pytest.mark.parametrize("name", DATASETS)
every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


def test_there_are_the_five_dashboards() -> None:
    assert set(DASHBOARDS) == {"overview", "agent", "compliance", "demands", "operations"}


def test_every_file_has_an_id_of_its_own() -> None:
    ids = [
        content["uuid"] for kind in ("databases", "datasets", "charts", "dashboards") for content in read(kind).values()
    ]
    assert len(ids) == len(set(ids))


def test_every_chart_is_on_one_dashboard() -> None:
    placed = sorted(uuid for content in DASHBOARDS.values() for uuid in charts_on(content))
    assert placed == sorted(chart.content["uuid"] for chart in CHARTS)


def charts_on(dashboard: dict[str, Any]) -> list[str]:
    parts = [part for part in dashboard["position"].values() if isinstance(part, dict)]
    return [part["meta"]["uuid"] for part in parts if part["type"] == "CHART"]


@every_dashboard
def test_a_row_is_as_wide_as_the_page(name: str) -> None:
    position = DASHBOARDS[name]["position"]
    for part in position.values():
        if isinstance(part, dict) and part["type"] == "ROW":
            assert sum(position[child]["meta"]["width"] for child in part["children"]) == 12, part["id"]


@every_dashboard
def test_a_filter_names_a_column_that_its_dataset_has(name: str) -> None:
    datasets = {content["uuid"]: content for content in DATASETS.values()}
    for chosen in DASHBOARDS[name]["metadata"]["native_filter_configuration"]:
        for target in chosen["targets"]:
            if target:
                columns = {column["column_name"] for column in datasets[target["datasetUuid"]]["columns"]}
                assert target["column"]["name"] in columns


@every_dataset
def test_labels_are_in_both_languages(name: str) -> None:
    labels = [one["verbose_name"] for kind in ("columns", "metrics") for one in DATASETS[name][kind]]
    assert [label for label in labels if not re.match(r"[\u4e00-\u9fff].* [A-Za-z]", label)] == []


@every_dataset
def test_the_columns_of_a_dataset_are_those_that_its_sql_gives(name: str, analyst: Client) -> None:
    found = analyst.query(f"DESCRIBE ({DATASETS[name]['sql']})").result_rows
    assert {row[0] for row in found} == {column["column_name"] for column in DATASETS[name]["columns"]}


@every_dataset
def test_a_dataset_has_what_the_filters_of_time_and_tenant_need(name: str) -> None:
    columns = {column["column_name"]: column for column in DATASETS[name]["columns"]}
    assert DATASETS[name]["main_dttm_col"] == "day"
    assert columns["day"]["is_dttm"]
    assert "tenant_id" in columns


@every_dataset
def test_every_metric_of_a_dataset_can_be_counted(name: str, analyst: Client) -> None:
    metrics = ", ".join(f"{one['expression']} AS m{n}" for n, one in enumerate(DATASETS[name]["metrics"]))
    (row,) = analyst.query(f"SELECT {metrics} FROM ({DATASETS[name]['sql']}) AS dataset").result_rows  # noqa: S608
    empty = [one["metric_name"] for one, value in zip(DATASETS[name]["metrics"], row, strict=True) if value is None]
    assert [metric for metric in empty if REGISTRY.kpi(metric) is None] == []  # of some KPIs no invented call counts


@every_chart
def test_a_chart_finds_something(chart: Chart, analyst: Client) -> None:
    rows = analyst.query(chart.sql).result_rows
    assert rows
    assert any(value not in (None, "") for row in rows for value in row[len(chart.columns) :] or row)


@every_chart
def test_a_chart_of_kpis_leaves_no_call_out_that_counts(chart: Chart) -> None:
    """Else it would show another number under the name. Of high-value customers the title tells."""
    if any(REGISTRY.kpi(metric) for metric in chart.metrics):
        assert {column for column, _, _ in chart.filters} <= {"newest_customer_value_tier"}


@every_chart
def test_the_type_of_a_chart_is_told_once_in_two_places(chart: Chart) -> None:
    assert chart.content["viz_type"] == chart.params["viz_type"]


@every_dataset
def test_a_dataset_of_calls_has_links_to_them(name: str, analyst: Client) -> None:
    columns = {column["column_name"] for column in DATASETS[name]["columns"]}
    if "call_id" not in columns:
        return
    query = f"SELECT tenant_id, call_id, call_url, call_link FROM ({DATASETS[name]['sql']}) WHERE call_id != ''"  # noqa: S608
    rows = analyst.query(f"{query} ORDER BY call_id LIMIT 50").result_rows
    assert rows
    for tenant_id, call_id, url, link in rows:
        assert re.fullmatch(rf"https://console\.example/calls/{tenant_id}/{re.escape(call_id)}\?t=[0-9]+", url)
        assert link == f'<a href="{url}" target="_blank">{call_id}</a>'


@every_chart
def test_a_table_whose_rows_are_calls_links_to_each_at_its_second(chart: Chart, analyst: Client) -> None:
    """A row of many calls has no link; one that quotes a call links to the call that it quotes."""
    quoted = {"quote", "example"} & {*chart.columns, *chart.metrics}
    if chart.content["viz_type"] != "table" or not (chart.params["query_mode"] == "raw" or quoted):
        assert "call_id" not in chart.columns
        return
    (shown,) = {"call_link", "example_link"} & {*chart.columns, *chart.metrics}
    assert chart.params["allow_render_html"]
    expression = shown if shown in chart.columns else chart.expression(shown)
    rows = analyst.query(f"SELECT {expression} FROM ({chart.dataset['sql']}) AS dataset").result_rows  # noqa: S608
    assert rows
    assert all(
        re.fullmatch(r'<a href="https://[^"<>]+\?t=[0-9]+" target="_blank">[^<>]+</a>', link) for (link,) in rows
    )


def test_findings_link_to_their_second(analyst: Client) -> None:
    sql = "SELECT start_ms, call_url FROM findings WHERE start_ms > 999 ORDER BY start_ms DESC LIMIT 20"
    rows = analyst.query(sql).result_rows
    assert rows
    assert [url.rpartition("?t=")[2] for _, url in rows] == [str(start_ms // 1000) for start_ms, _ in rows]


def test_no_password_stands_in_the_files() -> None:
    (database,) = read("databases").values()
    assert database["sqlalchemy_uri"] == "clickhousedb://analyst:XXXXXXXXXX@localhost:8123/callstream"


def test_the_bundle_holds_every_file_under_one_folder_with_the_address_put_in() -> None:
    files = bundle.bundle(URL)
    expected = {f"callstream/{path.relative_to(BUNDLE).as_posix()}" for path in BUNDLE.rglob("*.yaml")}
    assert set(files) == expected | {"callstream/metadata.yaml"}
    database = yaml.safe_load(files["callstream/databases/callstream.yaml"])
    assert database["sqlalchemy_uri"] == "clickhousedb://analyst:XXXXXXXXXX@clickhouse.example.com:8123/callstream"
    assert yaml.safe_load(files["callstream/metadata.yaml"])["type"] == "Dashboard"


def test_another_window_of_first_contact_resolution_is_put_into_every_dataset() -> None:
    texts = "".join(bundle.bundle(URL, first_contact_days=14).values())
    assert texts.count("window_days = 14)") == 2
    assert "window_days = 7)" not in texts


def test_no_file_has_a_time_zone_because_days_are_those_of_tenants() -> None:
    assert "Asia/" not in "".join(bundle.bundle(URL).values())


def test_a_metric_with_the_name_of_a_kpi_is_that_kpi() -> None:
    made = {kpi.id: value_over_calls(kpi) for kpi in REGISTRY.ratios}
    named = {kpi.name.zh for kpi in REGISTRY.kpis} | {kpi.name.en for kpi in REGISTRY.kpis}
    for name, dataset in DATASETS.items():
        for metric in dataset["metrics"]:
            if REGISTRY.kpi(metric["metric_name"]):
                expected = made.get(metric["metric_name"], "sum(numerator) / nullIf(sum(denominator), 0)")
                assert metric["expression"] == expected, (name, metric["metric_name"])
            else:
                zh, _, en = metric["verbose_name"].partition(" ")
                assert not {zh, en} & named, (name, metric["verbose_name"])
    assert made.keys() <= {metric["metric_name"] for metric in DATASETS["calls"]["metrics"]}


@pytest.mark.parametrize("given", ["file", "variable"])
def test_a_password_is_put_in_where_it_is_given_and_the_zip_is_private(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, out = tmp_path / "password", tmp_path / "out.zip"
    secret.write_text("p@ss/wörd'\n", encoding="utf-8")
    out.write_bytes(b"from before")
    out.chmod(0o644)
    arguments = ["--out", str(out), "--url", URL]
    if given == "file":
        arguments += ["--password-file", str(secret)]
    else:
        monkeypatch.setenv("SUPERSET_CLICKHOUSE_PASSWORD", "p@ss/wörd'")
    assert bundle.main(arguments) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with ZipFile(BytesIO(out.read_bytes())) as archive:
        database = yaml.safe_load(archive.read("callstream/databases/callstream.yaml"))
    password = "p%40ss%2Fw%C3%B6rd%27"
    assert database["sqlalchemy_uri"] == f"clickhousedb://analyst:{password}@clickhouse.example.com:8123/callstream"
    assert "p@ss" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(
            ["--url", "clickhousedb://analyst:secret@h/d"], "write no password into --url", id="secret in a URL"
        ),
        pytest.param(["--url", "http://analyst@h/d"], "--url must be", id="the URL of the workers"),
        pytest.param(["--url", "clickhousedb://h/d"], "--url must be", id="no user"),
        pytest.param(["--url", "clickhousedb://analyst@h:x/d"], "--url must be", id="a port that is none"),
        pytest.param(["--url", "clickhousedb://analyst@h"], "--url must be", id="no database"),
        pytest.param(["--url", URL, "--password-file", "/nowhere"], "No such file", id="no such file"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_without_a_secret(
    arguments: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bundle.main(["--out", str(tmp_path / "out.zip"), *arguments]) == 2
    told = capsys.readouterr().err
    assert problem in told
    assert "secret" not in told
    assert not (tmp_path / "out.zip").exists()
