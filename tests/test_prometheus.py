"""Alert rules for Prometheus: every name exists, every rule has a page and fires; checked by promtool and amtool."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from schemas.messages.topics import Lane
from streams.runtime.metrics import ALERT_STATES, METRICS
from streams.runtime.system_of_error import SYSTEMS
from streams.topology import WORKER_NAMES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules" / "callstream.yaml").read_text(encoding="utf-8"))[
    "groups"
]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
STAGES = frozenset((*WORKER_NAMES, "observe"))
OF_PROMETHEUS = {"up"}
"""Made by Prometheus for every target."""
TESTS: list[dict[str, Any]] = yaml.safe_load(
    (FOLDER / "rule_tests" / "callstream_test.yaml").read_text(encoding="utf-8")
)["tests"]
BOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy" / "grafana" / "prometheus" / "callstream-operations.json").read_text(encoding="utf-8")
)
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
every_rule = pytest.mark.parametrize("name", RULES)

_SERIES = re.compile(r"(?<![\w:\"$])(callstream[_:][a-z0-9_:]+|up)(?:\{([^}]*)\})?(?=[\s\[){]|$)")


def series_of(promql: str) -> list[tuple[str, set[str]]]:
    """Names in an expression, with the labels by which they are chosen."""
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels or ""))) for name, labels in _SERIES.findall(promql)
    ]


def known_series() -> dict[str, set[str]]:
    """Series → labels, as workers export them, and what rules record."""
    known: dict[str, set[str]] = {name: {"job", "instance"} for name in OF_PROMETHEUS}
    for metric in METRICS:
        labels = {*metric.labels, "job", "instance"}
        endings = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        for ending in endings:
            known[metric.name + ending] = labels | ({"le"} if ending == "_bucket" else set())
    return known | {record: _labels_by(rule["expr"]) for record, rule in RECORDS.items()}


def _labels_by(promql: str) -> set[str]:
    """Labels that are left of series that are aggregated."""
    return {label.strip() for labels in re.findall(r"by \(([^)]*)\)", promql) for label in labels.split(",")}


def test_names_are_seen_in_an_expression() -> None:
    promql = 'sum by (stage) (rate(callstream_x_total{state="gave_up", le=~"1"}[5m])) / callstream:y:rate10m > up'
    assert series_of(promql) == [
        ("callstream_x_total", {"state", "le"}),
        ("callstream:y:rate10m", set()),
        ("up", set()),
    ]


@pytest.mark.parametrize("rule", [*RULES.values(), *RECORDS.values()], ids=[*RULES, *RECORDS])
def test_every_metric_and_label_that_a_rule_names_is_exported(rule: dict[str, Any]) -> None:
    known, named = known_series(), series_of(rule["expr"])
    assert named
    for name, labels in named:
        assert name in known, name
        assert labels <= known[name], (name, labels - known[name])


VALUES = {"system": SYSTEMS, "state": frozenset(ALERT_STATES), "lane": frozenset(get_args(Lane)), "stage": STAGES}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_chooses_by_values_that_are_exported(rule: dict[str, Any]) -> None:
    for label, chosen in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', rule["expr"]):
        for value in chosen.split("|") if label in VALUES else ():
            assert any(re.fullmatch(value, known) for known in VALUES[label]), (label, value)


@every_rule
def test_a_rule_says_how_bad_it_is_what_it_means_in_both_languages_and_which_page_helps(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "summary_zh", "runbook"}
    assert re.search("[一-鿿]", rule["annotations"]["summary_zh"])
    page = ROOT / rule["annotations"]["runbook"]
    assert page.parent == RUNBOOKS
    assert f"`{name}`" in page.read_text(encoding="utf-8"), "the page names the rule"
    assert f"`{name}`" in (RUNBOOKS / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_only_rules_and_metrics_that_exist_and_says_when_it_is_over(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"\bCallstream[A-Z]\w+", text)) <= set(RULES)
    known = {*known_series(), *(metric.name for metric in METRICS)}
    for name, _ in series_of(text.replace("`", " ")):
        assert name in known, name
    if page.stem != "index":
        assert "## How you know that it is over" in text


@every_rule
def test_a_rule_is_fired_and_kept_quiet_by_a_test(name: str) -> None:
    asked = {f'alertname="{name}", alertstate="firing"'}
    fired = [
        bool(check["exp_samples"])
        for test in TESTS
        for check in test["promql_expr_test"]
        if any(each in check["expr"] for each in asked)
    ]
    assert {True, False} == set(fired)


@pytest.mark.processes
@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "rules", "rules/callstream.yaml"),
        ("promtool", "test", "rules", "rule_tests/callstream_test.yaml"),
        ("promtool", "check", "config", "--syntax-only", "prometheus.example.yaml"),
        ("amtool", "check-config", "alertmanager.example.yaml"),
    ],
    ids=" ".join,
)
def test_their_own_tools_find_nothing_wrong(command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: apt-get install prometheus prometheus-alertmanager")
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("title", "promql"), EXPRESSIONS)
def test_every_metric_and_label_that_a_panel_names_is_exported(title: str, promql: str) -> None:
    known, named = known_series(), series_of(promql)
    assert named or "process_" in promql, title
    for name, labels in named:
        assert name in known, name
        assert labels <= known[name], (name, labels - known[name])
    grouped = {
        label for labels in re.findall(r"by \(([^)]*)\)", promql) for label in labels.replace(" ", "").split(",")
    }
    if named and not named[0][0].startswith("callstream:"):
        assert grouped <= known[named[0][0]], (title, grouped)


def test_every_panel_asks_the_data_source_that_is_shipped_and_has_a_place_of_its_own() -> None:
    source = yaml.safe_load((ROOT / "deploy/grafana/prometheus/datasource.yaml").read_text(encoding="utf-8"))
    (uid,) = {one["uid"] for one in source["datasources"]}
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {uid}
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, panel["title"]
        taken |= cells


@pytest.mark.processes
def test_every_expression_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    rules = [{"record": f"panel:{n}", "expr": promql} for n, (_, promql) in enumerate(EXPRESSIONS)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(("promtool", "check", "rules", str(file)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
