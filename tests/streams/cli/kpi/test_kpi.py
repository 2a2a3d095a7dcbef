"""`callstream kpi` as a person or a program meets it, on the real engine."""

import csv
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner, Result

from processors.kpi.statistics import Sums, estimate
from schemas.errors import RetryableError
from schemas.messages.recording_accessed import ALL_TENANTS
from streams.adapters.clickhouse.migrate import views_of
from streams.adapters.register.register import Register
from streams.cli.main import app
from streams.cli.pages.kpis import KPIS_FILE, kpi_markdown
from streams.settings import PREFIX, Settings
from tests.support.access_log import NO_REGISTER, accesses, register_of
from tests.support.clickhouse_engine import RunningEngine
from tests.support.kpi_store import REGISTRY, ZONE, Filled, filled_store

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Register]:
    """Of the commands of this file."""
    folder = tmp_path_factory.mktemp("data")
    register = register_of(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{PREFIX}DATA_DIR", str(folder))
        yield register
    register.close()


@pytest.fixture(scope="module")
def filled(engine: RunningEngine, register: Register) -> Iterator[Filled]:  # noqa: ARG001 - made before
    with filled_store(engine, 300) as store:
        yield store


def run(filled: Filled | None, *arguments: str, lang: str = "en_US.UTF-8") -> Result:
    env: dict[str, str | None] = {"LC_ALL": lang}
    if filled is not None:
        env[f"{PREFIX}CLICKHOUSE_URL"] = filled.url
    return CliRunner().invoke(app, ["kpi", *arguments], env=env)


def answered(filled: Filled, *arguments: str) -> Any:
    done = run(filled, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_page_is_what_the_registry_says() -> None:
    on_disk = (ROOT / KPIS_FILE).read_text(encoding="utf-8")
    assert on_disk == kpi_markdown(), f"run `callstream kpi --markdown > {KPIS_FILE}`"
    assert run(None, "--markdown").stdout == on_disk


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--by", "moon"], "moon is not one of tenant", id="an unknown dimension"),
        pytest.param(["--kpi", "luck"], "luck is not a KPI", id="an unknown KPI"),
        pytest.param(["--last", "30"], "as in 30d or 24h", id="a number without its unit"),
        pytest.param(["--last", "0d"], "as in 30d or 24h", id="no days"),
        pytest.param(["--from", "yesterday"], "yesterday is not a day: write 2026-03-01", id="no day"),
        pytest.param(["--to", "2026-03-01"], "--to needs --from", id="half a stretch"),
        pytest.param(["--from", "2026-03-02", "--to", "2026-03-01"], "before the first", id="the end before the start"),
        pytest.param(["--lang", "fr"], "zh or en", id="another language"),
        pytest.param(
            ["--by", "agent", "--kpi", "recording_completeness"], "is not available by agent", id="not by agent"
        ),
        pytest.param(["--last", "3h", "--by", "agent_inquiry_type"], "available by day only", id="not by hour"),
        pytest.param(["rated", "--last", "3h"], "by day only: write 1d", id="no rated calls of hours"),
        pytest.param(
            ["why-changed", "--kpi", "lift", "--from", "2026-03-01..2026-03-07", "--to", "2026-03-08..2026-03-14"],
            "lift is no ratio over calls",
            id="no parts of a rank",
        ),
        pytest.param(
            ["why-changed", "--kpi", "score", "--from", "2026-03-01", "--to", "2026-03-08..2026-03-14"],
            "2026-03-01 is no stretch of days: write",
            id="a day where a stretch is needed",
        ),
        pytest.param(
            ["why-changed", "--kpi", "score", "--from", "2026-03-07..2026-03-01", "--to", "2026-03-08..2026-03-14"],
            "the last day is before the first",
            id="a stretch the wrong way round",
        ),
        pytest.param(["problems", "--last", "3h"], "available by day only", id="no problems of hours"),
        pytest.param(["problems", "--kpi", "lift"], "cannot be added up", id="no sums of agents"),
        pytest.param(["hours", "--kpi", "score", "--last", "3h"], "as in 30d", id="hours of hours"),
        pytest.param(["hours", "--kpi", "lift"], "not kept by hour", id="no sums of hours"),
        pytest.param(
            ["training", "--on", "x", "--agent", "A"], "x is not a day: write 2026-03-01", id="no day of a training"
        ),
    ],
)
def test_a_command_line_that_is_wrong_says_how_to_write_it(arguments: list[str], sentence: str) -> None:
    done = run(None, *arguments)
    assert done.exit_code == 2
    assert sentence in done.output


@pytest.mark.embedded
def test_headline_kpis_of_teams_are_shown_with_target_verdict_and_trend(filled: Filled) -> None:
    found = answered(filled, "--by", "team", "--last", "14d", "--tenant", "acme")
    assert {line["tenant_id"] for line in found["kpis"]} == {"acme"}
    assert {line["agent_team"] for line in found["kpis"]} == {"north", "south", None}
    shown = {line["kpi"] for line in found["kpis"]}
    assert shown == {kpi.id for kpi in REGISTRY.headlines} - {"recording_completeness"}
    line = next(each for each in found["kpis"] if (each["kpi"], each["agent_team"]) == ("mandatory_scripts", "north"))
    pairs = filled.reference.pairs(
        "mandatory_scripts",
        [each for each in filled.world.analyses if (each.tenant_id, each.call.agent.team) == ("acme", "north")],
    )
    kpi = REGISTRY.kpi("mandatory_scripts")
    assert kpi is not None
    expected = estimate(kpi, Sums.of(pairs))
    assert (line["n"], line["value"]) == (expected.n, pytest.approx(expected.value))
    # Three agents with unequal numbers of calls are too few to tell how agents vary.
    assert (line["low"], line["high"], line["too_few_agents"]) == (None, None, True)
    assert (line["target"], line["trend"], line["before"]["n"]) == (1, "unknown", 0)
    assert line["verdict"] == ("missed" if expected.n >= kpi.minimum_n else "too_few")


@pytest.mark.embedded
def test_the_interval_of_a_tenant_is_that_of_its_agents_and_the_same_as_in_the_view(filled: Filled) -> None:
    first, last = ((filled.world.now - timedelta(days=days)).astimezone(ZONE).date() for days in (11, 2))
    found = answered(filled, "--from", str(first), "--to", str(last), "--kpi", "score", "--kpi", "duration_in_band")
    rows = filled.rows(
        "SELECT tenant_id, kpi, low, high FROM kpi_between(dimension = 'tenant', first = {first:String}, "
        "last = {last:String}) WHERE kpi IN ('score', 'duration_in_band')",
        first=str(first),
        last=str(last),
    )
    in_view = {(row["tenant_id"], row["kpi"]): (row["low"], row["high"]) for row in rows}
    assert len(in_view) == len(found["kpis"]) == 6
    for line in found["kpis"]:
        assert (line["low"], line["high"]) == pytest.approx(in_view[line["tenant_id"], line["kpi"]])
    assert (found["comparisons"], found["false_discovery_rate"]) == (0, 0.05)  # nothing was before


@pytest.mark.embedded
def test_a_stretch_of_days_is_compared_with_the_one_before(filled: Filled) -> None:
    first, last = ((filled.world.now - timedelta(days=days)).astimezone(ZONE).date() for days in (4, 2))
    found = answered(filled, "--from", str(first), "--to", str(last), "--kpi", "ai_coverage", "--tenant", "bolt")
    (line,) = found["kpis"]

    def calls_of(start: Any, end: Any) -> int:
        return sum(
            each.tenant_id == "bolt" and start <= each.call.ended_at.astimezone(ZONE).date() <= end
            for each in filled.world.analyses
        )

    assert line["n"] == calls_of(first, last)
    assert line["before"]["n"] == calls_of(first - timedelta(days=3), first - timedelta(days=1))
    assert found["start"].startswith(str(first))


@pytest.mark.embedded
def test_the_same_hour_of_all_days_is_taken_together(filled: Filled) -> None:
    first, last = ((filled.world.now - timedelta(days=days)).astimezone(ZONE).date() for days in (11, 2))
    stretch = ("--kpi", "score", "--from", str(first), "--to", str(last), "--tenant", "acme")
    of_day, of_week = (answered(filled, "hours", *stretch, *more)["hours"] for more in ((), ("--by-weekday",)))
    (whole,) = answered(filled, *stretch)["kpis"]
    assert {line["weekday"] for line in of_day} == {None}
    assert len({line["hour"] for line in of_day}) == len(of_day) > 1
    for line in of_day:
        parts = [part for part in of_week if part["hour"] == line["hour"]]
        assert sum(part["n"] for part in parts) == line["n"]
        assert sum(part["n"] * part["value"] for part in parts) == pytest.approx(line["n"] * line["value"])
    assert sum(line["n"] for line in of_day) == whole["n"]
    assert {line["weekday"] for line in of_week} <= set(range(1, 8))


@pytest.mark.embedded
def test_a_map_of_the_week_has_a_column_for_each_weekday_and_brackets_around_few_calls(
    filled: Filled, tmp_path: Path
) -> None:
    asked = ("hours", "--kpi", "duration", "--by-weekday", "--tenant", "acme")
    done = run(filled, *asked, lang="zh_CN.UTF-8")
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("平均通话时长", "周一", "周日"))
    assert re.search(r"\(\d+\.\d s\)", done.stdout)
    file = tmp_path / "map.csv"
    assert run(filled, *asked, "--csv", str(file)).exit_code == 0
    heading, *rows = file.read_text("utf-8-sig").splitlines()
    assert heading == "tenant,weekday,hour,KPI id,KPI,unit,value,lower limit,upper limit,n,calls pending"
    assert rows
    assert all(re.match(r"acme,[1-7],\d+,duration,Length of calls,ms,\d", row) for row in rows)
    nothing = run(filled, "hours", "--kpi", "score", "--from", "2001-01-01", "--to", "2001-01-02")
    assert "no calls to count" in nothing.stdout


@pytest.mark.embedded
def test_today_is_that_of_the_tenant(filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = {"acme": "Pacific/Kiritimati", "bolt": "Pacific/Pago_Pago"}  # 25 hours apart: never the same day
    entries = "".join(f"  - {{id: {tenant}, timezone: {zone}}}\n" for tenant, zone in zones.items())
    (tmp_path / "tenants.yaml").write_text(f"version: 1\ntenants:\n{entries}", encoding="utf-8")
    monkeypatch.setenv(f"{PREFIX}TENANTS_FILE", str(tmp_path / "tenants.yaml"))
    last = {tenant: answered(filled, "--last", "3d", "--tenant", tenant)["last_day"] for tenant in zones}
    assert last["acme"] > last["bolt"]


def test_datasets_of_superset_are_written_from_the_registry(tmp_path: Path) -> None:
    source = ROOT / "deploy" / "superset" / "bundle" / "datasets" / "callstream" / "calls.yaml"
    text = source.read_text(encoding="utf-8")
    file = tmp_path / "calls.yaml"
    file.write_text(text.replace("settled_score", "score"), encoding="utf-8")
    done = run(None, "superset", str(tmp_path), "--check")
    assert (done.exit_code, done.stdout) == (1, f"{file}: out of date\n")
    begin = text.index("- metric_name: score\n")
    file.write_text(text[:begin] + text[text.index("- metric_name: score_compliance\n") :], encoding="utf-8")
    assert run(None, "superset", str(tmp_path)).stdout == f"wrote {file}\n"
    done = run(None, "superset", str(tmp_path), "--check")
    assert (done.exit_code, done.stdout) == (0, f"{file}: up to date\n")
    assert text[begin : text.index("- metric_name: score_compliance\n")] in file.read_text(encoding="utf-8")


def test_a_folder_without_datasets_is_refused(tmp_path: Path) -> None:
    done = run(None, "superset", str(tmp_path))
    assert done.exit_code == 2
    assert "has no YAML files" in done.output


@pytest.mark.embedded
def test_hours_are_asked_for_too(filled: Filled) -> None:
    found = answered(filled, "--last", "48h", "--kpi", "ai_coverage")
    start = filled.world.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=47)
    recent = [each for each in filled.world.analyses if each.call.ended_at >= start]
    assert abs(sum(line["n"] for line in found["kpis"]) - len(recent)) <= sum(
        each.call.ended_at < start + timedelta(hours=1) for each in recent
    )


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("arguments", "lang", "words"),
    [
        pytest.param([], "en_US.UTF-8", ["Mandatory scripts", "100 %", "missed", "too few"], id="English"),
        pytest.param([], "zh_CN.UTF-8", ["合规话术播放率", "未达标", "样本不足", "样本量"], id="that of the terminal"),
        pytest.param(["--lang", "zh"], "C", ["敏感词频次", "目标"], id="Chinese where asked for"),
    ],
)
def test_a_table_speaks_the_language_of_its_reader(
    arguments: list[str], lang: str, words: list[str], filled: Filled
) -> None:
    done = run(filled, "--last", "3d", *arguments, lang=lang)
    assert done.exit_code == 0
    for word in words:
        assert word in done.stdout


@pytest.mark.embedded
@pytest.mark.parametrize(
    "command", [[], ["problems"], ["demands"], ["customers"]], ids=["KPIs", "problems", "demands", "customers"]
)
def test_a_time_without_calls_says_what_to_look_after(command: list[str], filled: Filled) -> None:
    done = run(filled, *command, "--from", "2020-01-01", "--to", "2020-01-31")
    assert done.exit_code == 0
    assert "callstream rollup" in done.stdout


@pytest.mark.embedded
def test_problems_are_of_everybody_teams_and_agents_and_comparisons_are_counted(filled: Filled) -> None:
    found = answered(filled, "problems", "--last", "14d", "--all")
    common = {(each["tenant_id"], each["kpi"]) for each in found["problems"] if each["scope"] == "common"}
    assert ("acme", "mandatory_scripts") in common
    assert found["comparisons"] > 20
    assert found["false_discovery_rate"] == 0.05
    assert all(each["q_value"] <= 0.05 for each in found["problems"] if each["scope"] != "common")
    done = run(filled, "problems", "--last", "14d")
    assert "everyone" in done.stdout
    assert "at most 5% is expected to be chance" in done.stdout


@pytest.mark.embedded
def test_demands_are_ranked_with_quotes(filled: Filled) -> None:
    found = answered(filled, "demands", "--last", "14d", "--tenant", "acme")
    counts = [each["calls"] for each in found["demands"]]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == 3
    best = max(
        (topic.confidence, topic.quote)
        for each in filled.world.analyses
        for topic in each.topics
        if each.tenant_id == "acme" and topic.topic_id == found["demands"][0]["topic_id"]
    )
    assert found["demands"][0]["examples"][0]["quote"] == best[1]
    assert best[1] in run(filled, "demands", "--last", "14d", "--tenant", "acme").stdout
    typed = answered(filled, "demands", "--last", "14d", "--tenant", "acme", "--by-inquiry-type", "--most", "1")
    assert [each["inquiry_type"] for each in typed["demands"]] == [None, "bills", "orders"]


@pytest.mark.embedded
def test_quotes_of_demands_leave_a_line_in_the_log_of_access(filled: Filled, register: Register) -> None:
    before = accesses(register)
    found = answered(filled, "demands", "--last", "14d", "--tenant", "acme")
    run(filled, "demands", "--last", "14d", "--by-inquiry-type")
    one, other = [line for line in accesses(register) if line not in before]
    assert (one.tenant_id, one.action, one.client) == ("acme", "searched", "cli")
    assert one.filters == ("period", "tenant")
    assert one.calls_count == len({e["call_id"] for each in found["demands"] for e in each["examples"]})
    assert (other.tenant_id, other.filters) == (ALL_TENANTS, ("inquiry_type", "period"))


@pytest.mark.embedded
def test_quotes_that_cannot_be_logged_are_not_shown(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}REGISTER_URL", NO_REGISTER)
    done = run(filled, "demands", "--last", "14d", "--tenant", "acme")
    assert isinstance(done.exception, RetryableError)
    assert done.stdout == ""


@pytest.mark.embedded
def test_demands_of_some_customers_are_shown_against_all_others(filled: Filled) -> None:
    found = answered(filled, "customers", "--last", "14d", "--tenant", "acme", "--customers", "gold")
    assert {each["count"]["customers"] for each in found["customer_demands"]} == {"gold"}
    assert len(found["customer_demands"]) == 3
    # All kinds of customers are comparisons, not only those that are shown.
    assert found["comparisons"] > len(found["customer_demands"])
    assert all(each["is_clear"] == (each["q_value"] <= 0.05) for each in found["customer_demands"])
    table = run(filled, "customers", "--last", "14d", "--tenant", "acme", "--customers", "gold").stdout
    assert f"{found['comparisons']} comparisons" in table
    assert "tier gold" in table
    assert "tag" not in table.replace("percentage", "")


@pytest.mark.embedded
def test_a_training_is_judged_by_before_and_after(filled: Filled) -> None:
    on = (filled.world.now - timedelta(days=6)).astimezone(ZONE).date()
    arguments = ("training", "--on", str(on), "--days", "6", "--agent", "north-0", "--kpi", "sensitive_words")
    found = answered(filled, *arguments, "--tenant", "cord")
    (line,) = found["kpis"]

    def counted(start: Any, end: Any) -> int:
        return len(
            filled.reference.pairs(
                "sensitive_words",
                [
                    each
                    for each in filled.world.analyses
                    if (each.tenant_id, each.call.agent.id) == ("cord", "north-0")
                    and start <= each.call.ended_at.astimezone(ZONE).date() < end
                ],
            )
        )

    assert line["after"]["n"] == counted(on, on + timedelta(days=6))
    assert line["before"]["n"] == counted(on - timedelta(days=6), on)
    assert line["others_after"]["n"] > line["after"]["n"]
    assert (line["beyond_others"], line["q_value"], found["comparisons"]) == (None, None, 0)
    table = run(filled, *arguments).stdout
    assert "beyond others" in table
    assert "Sensitive words" in table


@pytest.mark.embedded
def test_migrating_makes_the_views_and_shows_their_sql(filled: Filled, tmp_path: Path) -> None:
    env = {f"{PREFIX}CLICKHOUSE_URL": filled.url, f"{PREFIX}DATA_DIR": str(tmp_path)}
    done = CliRunner().invoke(app, ["migrate"], env=env)
    *applied, made, wrote = done.stdout.splitlines()
    assert all(re.fullmatch(r"applied \d{4} to the register", line) for line in applied)
    every = views_of(Settings())
    assert made == f"made {len(every)} views"
    assert re.fullmatch(r"wrote what [1-9]\d* rules of [1-9]\d* packs are called", wrote)
    there = filled.rows("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'")
    assert {row["name"] for row in there} == every.keys()
    shown = CliRunner().invoke(app, ["migrate", "--print"], env=env)
    assert "CREATE OR REPLACE VIEW kpi_team" in shown.stdout


@pytest.mark.embedded
def test_the_same_as_csv_and_as_a_workbook(filled: Filled, tmp_path: Path) -> None:
    files = tmp_path / "kpis.csv", tmp_path / "kpis.xlsx"
    asked = ("--by", "team", "--last", "14d")
    done = run(filled, *asked, "--lang", "zh", "--csv", str(files[0]), "--xlsx", str(files[1]))
    assert (done.exit_code, done.stdout) == (0, "")
    lines = answered(filled, *asked)["kpis"]
    with files[0].open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["租户"], row["班组"], row["指标编号"], row["样本量"]) for row in written] == [
        (line["tenant_id"], line["agent_team"] or "", line["kpi"], str(line["n"])) for line in lines
    ]
    sheet = load_workbook(files[1]).worksheets[0]
    heads, *rows = ([cell.value for cell in row] for row in sheet.iter_rows())
    assert heads[:8] == ["租户", "班组", "指标编号", "指标", "单位", "数值", "区间下限", "区间上限"]
    values = [row[5] for row in rows]
    assert values == pytest.approx([line["value"] for line in lines], nan_ok=True)
    shares = {row[5].number_format for row in sheet.iter_rows(min_row=2) if row[4].value == "share" and row[5].value}
    assert shares == {"0.0%"}


@pytest.mark.embedded
def test_why_a_kpi_changed_is_told_in_parts_that_add_up(filled: Filled) -> None:
    now = filled.world.now.astimezone(ZONE).date()
    stretches = (
        *("--from", f"{now - timedelta(days=13)}..{now - timedelta(days=7)}"),
        *("--to", f"{now - timedelta(days=6)}..{now}"),
    )
    asked = ("why-changed", "--kpi", "score", *stretches, "--by", "topic", "--tenant", "acme")
    answer = answered(filled, *asked)
    parts = answer["parts"]
    assert {part["tenant_id"] for part in parts} == {"acme"}
    whole = parts[0]["kpi_after"] - parts[0]["kpi_before"]
    assert sum(part["value"] for part in parts) == pytest.approx(whole)
    shown = run(filled, *asked)
    assert shown.exit_code == 0
    assert "whole change" in shown.stdout
    assert f"{whole:+.1f}" in shown.stdout
    assert {part["item"] for part in parts if part["part"] == "within"} >= {"refund", "price"}


@pytest.mark.embedded
def test_rated_and_unrated_calls_stand_side_by_side(filled: Filled) -> None:
    answer = answered(filled, "rated", "--last", "14d", "--tenant", "acme")
    rows = answer["rated_and_unrated"]
    assert {row["about"] for row in rows} == {"kpi", "topic"}
    assert answer["comparisons"] == sum(row["q_value"] is not None for row in rows)
    for row in rows:
        if row["difference"] is not None:
            assert row["difference"] == pytest.approx(row["rated"] - row["unrated"])
            assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    shown = run(filled, "rated", "--last", "14d", "--tenant", "acme", "--kpi", "duration")
    assert "Length of calls" in shown.stdout
    assert "refund" not in shown.stdout, "topics are not asked for where KPIs are named"
