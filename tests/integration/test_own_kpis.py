"""KPIs and scripts of somebody's own on the real engine: what an expression says there, and what is counted."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from processors.clickhouse.rows import rows_for_analysis
from processors.judging.pipeline import Judge, JudgeSettings
from processors.kpi.expression_sql import bounded_sql, expression_sql
from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.rollups import BY_HAND, RollupDefinition
from processors.kpi.statistics import Sums, estimate
from processors.rules.rulebook import Rulebooks
from schemas.config.kpis.kpi_expression import COLUMNS, ExpressionError, ExpressionType, parse_expression
from schemas.config.rule_pack import load_rule_packs
from schemas.messages.call_analysis import CallAnalysis
from streams.adapters.clickhouse.migrate import make_views, views_of
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.cli.main import app
from streams.settings import PREFIX, Settings
from streams.stages.rollup import Rollups
from tests.processors.rules.rule_packs import Line, called, pack_of
from tests.support.clickhouse_engine import RunningEngine
from tests.support.kpi_store import DAYS, REGISTRY, WINDOW_DAYS, ZONE, Filled, filled_store

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def filled(engine: RunningEngine) -> Iterator[Filled]:
    with filled_store(engine, 150) as store:
        yield store


# --- expressions


Row = dict[str, Any]
Value = Any
"""A number, a text, true or false, or null."""


@dataclass(frozen=True)
class Written:
    """An expression as somebody writes it, and what it is for a row: worked out here, apart from parser and SQL."""

    text: str
    of: Callable[[Row], Value]


def strict(text: str, function: Callable[..., Value], *parts: Written) -> Written:
    """Null where one of its parts is."""

    def of(row: Row) -> Value:
        values = [part.of(row) for part in parts]
        return None if None in values else function(*values)

    return Written(text.format(*(f"({part.text})" for part in parts)), of)


def literal(value: Value) -> Written:
    return Written(repr(value), lambda _: value)


def named(column: str) -> Written:
    return Written(column, lambda row: row[column])


def looked_up(column: str, name: str, absent: float | None) -> Written:
    return Written(f"{column}[{name!r}]", lambda row: row[column].get(name, absent))


def all_of(one: Value, other: Value) -> Value:
    return False if one is False or other is False else None if None in (one, other) else True


def any_of(one: Value, other: Value) -> Value:
    return True if one is True or other is True else None if None in (one, other) else False


def joined(word: str, function: Callable[[Value, Value], Value], one: Written, other: Written) -> Written:
    return Written(f"({one.text}) {word} ({other.text})", lambda row: function(one.of(row), other.of(row)))


def first_known(one: Written, other: Written) -> Written:
    def of(row: Row) -> Value:
        value = one.of(row)
        return other.of(row) if value is None else value

    return Written(f"coalesce({one.text}, {other.text})", of)


def chosen(condition: Written, one: Written, other: Written) -> Written:
    return Written(
        f"({one.text}) if ({condition.text}) else ({other.text})",
        lambda row: one.of(row) if condition.of(row) is True else other.of(row),
    )


def of_type(kind: str) -> list[str]:
    return [name for name, found in COLUMNS.items() if found == kind]


def between(value: Written, low: Written, high: Written) -> Written:
    def of(row: Row) -> Value:
        found, least, most = (part.of(row) for part in (value, low, high))
        return all_of(
            None if None in (found, least) else found >= least, None if None in (found, most) else found <= most
        )

    return Written(f"between({value.text}, {low.text}, {high.text})", of)


def one_of(value: Written, values: list[Value]) -> Written:
    return Written(
        f"({value.text}) in {(*values,)!r}", lambda row: None if (found := value.of(row)) is None else found in values
    )


WORDS = st.sampled_from(
    [
        "sales",
        "main",
        "refund",
        "vip",
        "high",
        "",
        "it's",
        'a\\b"c',
        "售后",
        "{x:String}",
        "{{on_cluster}}",
        "}}}",
        "%s -- ;",
    ]
)
TEXTS = st.sampled_from(of_type("texts"))
FIGURES = st.one_of(
    st.integers(0, 10**15),
    st.floats(0, 1e15, allow_nan=False),
    st.sampled_from([0, 0.0, 0.1, 5e-324, 1e-300, 2**53 + 1]),
)


def numbers(booleans: st.SearchStrategy[Written], smaller: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    def divided(one: float, other: float) -> float | None:
        return None if other == 0 else one / other

    return st.one_of(
        st.builds(lambda a, b: strict("{} + {}", lambda x, y: x + y, a, b), smaller, smaller),
        st.builds(lambda a, b: strict("{} - {}", lambda x, y: x - y, a, b), smaller, smaller),
        st.builds(lambda a, b: strict("{} * {}", lambda x, y: x * y, a, b), smaller, smaller),
        st.builds(lambda a, b: strict("{} / {}", divided, a, b), smaller, smaller),
        st.builds(lambda a: strict("-{}", lambda x: -x, a), smaller),
        st.builds(lambda a: strict("abs{}", abs, a), smaller),
        st.builds(first_known, smaller, smaller),
        st.builds(chosen, booleans, smaller, smaller),
    )


SIMPLE_NUMBERS = st.one_of(
    FIGURES.map(lambda value: Written(repr(value), lambda _: float(value))),
    st.sampled_from(of_type("number")).map(named),
    st.sampled_from(["duration_ms", "sensitive_words", "greeting", "no_such_measure"]).map(
        lambda name: looked_up("measures", name, None)
    ),
    st.sampled_from(["compliance", "nothing"]).map(lambda name: looked_up("score_groups", name, None)),
    st.sampled_from(["sensitive_word", "nothing"]).map(lambda name: looked_up("risk_parts", name, 0.0)),
    TEXTS.map(lambda name: Written(f"length({name})", lambda row: float(len(row[name])))),
    st.builds(
        lambda word, name: Written(f"count({word!r}, {name})", lambda row: float(row[name].count(word))), WORDS, TEXTS
    ),
)
SIMPLE_TEXTS = st.one_of(WORDS.map(literal), st.sampled_from(of_type("text")).map(named))
ALL_TEXTS = st.one_of(SIMPLE_TEXTS, st.builds(first_known, SIMPLE_TEXTS, SIMPLE_TEXTS))
SIMPLE_BOOLEANS = st.one_of(
    st.booleans().map(literal),
    st.sampled_from(of_type("boolean")).map(named),
    st.builds(lambda word, name: Written(f"{word!r} in {name}", lambda row: word in row[name]), WORDS, TEXTS),
    st.builds(lambda word, name: Written(f"{word!r} not in {name}", lambda row: word not in row[name]), WORDS, TEXTS),
    st.builds(lambda a, b: strict("{} == {}", lambda x, y: x == y, a, b), ALL_TEXTS, ALL_TEXTS),
    st.builds(lambda a, b: strict("{} != {}", lambda x, y: x != y, a, b), ALL_TEXTS, ALL_TEXTS),
    st.builds(one_of, ALL_TEXTS, st.lists(WORDS, min_size=1, max_size=3)),
    ALL_TEXTS.map(lambda part: Written(f"({part.text}) is None", lambda row: part.of(row) is None)),
)


def booleans(figures: st.SearchStrategy[Written], smaller: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    signs: dict[str, Callable[[float, float], bool]] = {
        "<": lambda x, y: x < y,
        "<=": lambda x, y: x <= y,
        ">": lambda x, y: x > y,
        ">=": lambda x, y: x >= y,
        "==": lambda x, y: x == y,
        "!=": lambda x, y: x != y,
    }
    return st.one_of(
        st.builds(
            lambda sign, a, b: strict(f"{{}} {sign} {{}}", signs[sign], a, b),
            st.sampled_from([*signs]),
            figures,
            figures,
        ),
        st.builds(between, figures, figures, figures),
        st.builds(one_of, figures, st.lists(FIGURES.map(float), min_size=1, max_size=3)),
        st.builds(lambda a, b: joined("and", all_of, a, b), smaller, smaller),
        st.builds(lambda a, b: joined("or", any_of, a, b), smaller, smaller),
        st.builds(lambda a: strict("not {}", lambda x: not x, a), smaller),
        figures.map(lambda part: Written(f"({part.text}) is not None", lambda row: part.of(row) is not None)),
        st.builds(chosen, smaller, smaller, smaller),
    )


NUMBERS_1 = numbers(SIMPLE_BOOLEANS, SIMPLE_NUMBERS)
BOOLEANS_1 = booleans(st.one_of(SIMPLE_NUMBERS, NUMBERS_1), SIMPLE_BOOLEANS)
NUMBERS_2 = numbers(BOOLEANS_1, st.one_of(SIMPLE_NUMBERS, NUMBERS_1))
BOOLEANS_2 = booleans(st.one_of(NUMBERS_1, NUMBERS_2), st.one_of(SIMPLE_BOOLEANS, BOOLEANS_1))
ALL_NUMBERS = st.one_of(SIMPLE_NUMBERS, NUMBERS_1, NUMBERS_2)
ALL_BOOLEANS = st.one_of(SIMPLE_BOOLEANS, BOOLEANS_1, BOOLEANS_2)

TABLE = "expression_rows"


class ExpressionTable:
    """A table with rows of `kpi_calls`, and the same rows as Python reads them.

    No dataclass: hypothesis would print all rows with an example that fails.
    """

    def __init__(self, filled: Filled, rows: list[Row]) -> None:
        self.filled = filled
        self.rows = rows

    def values(self, sql: list[str]) -> Sequence[Sequence[Value]]:
        """What the database makes of expressions, for each row."""
        query = f"SELECT {', '.join(sql)} FROM {TABLE} ORDER BY tenant_id, call_id"  # noqa: S608 - what is tested
        return self.filled.client.query(query).result_rows


@pytest.fixture(scope="module")
def table(filled: Filled) -> ExpressionTable:
    filled.client.command(
        f"CREATE TABLE {TABLE} ENGINE = MergeTree ORDER BY (tenant_id, call_id) AS "  # noqa: S608
        "SELECT * FROM kpi_calls(start = '2020-01-01 00:00:00', end = '2099-01-01 00:00:00', window_days = 7)"
    )
    rows = filled.rows(f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY tenant_id, call_id")  # noqa: S608
    assert len(rows) == 150
    # Some of them are 0 and 1 in the database, which is what true and false are there.
    for row in rows:
        row.update({name: None if row[name] is None else bool(row[name]) for name in of_type("boolean")})
    return ExpressionTable(filled, rows)


# The engine stays as it is between examples; a slow machine is no finding.
SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def accepted(text: str) -> str | None:
    """Its SQL, as a number or as true or false."""
    kinds: tuple[ExpressionType, ...] = ("number", "boolean")
    for wanted in kinds:
        with suppress(ExpressionError):
            return expression_sql(parse_expression(text, wanted))
    return None


@SETTINGS
@given(written=st.lists(st.one_of(ALL_NUMBERS, ALL_BOOLEANS), min_size=5, max_size=12))
def test_what_is_accepted_means_to_the_database_what_it_means_to_the_reader(
    written: list[Written], table: ExpressionTable
) -> None:
    kept = [(each, sql) for each in written if (sql := accepted(each.text)) is not None]
    assert len(kept) > len(written) // 2, "what is generated here is short enough, but for some"
    for row, values in zip(table.rows, table.values([sql for _, sql in kept]), strict=True):
        for (each, sql), value in zip(kept, values, strict=True):
            expected = each.of(row)
            same = value == expected if isinstance(value, str) or value is None else is_same(value, expected)
            assert same, (each.text, sql, value, expected)


def is_same(value: float, expected: float | None) -> bool:
    return expected is not None and (value == expected or (isnan(value) and isnan(expected)))


@SETTINGS
@given(written=st.lists(ALL_NUMBERS, min_size=1, max_size=8))
def test_no_number_of_a_call_can_spoil_a_sum(written: list[Written], table: ExpressionTable) -> None:
    sql = [bounded_sql(parse_expression(each.text, "number")) for each in written if accepted(each.text)]
    assert sql
    for values in table.values(sql):
        assert all(value is None or -1e15 <= value <= 1e15 for value in values)


def test_every_column_that_an_expression_may_read_is_one_of_kpi_calls(table: ExpressionTable) -> None:
    """And of the type that it is taken for."""
    types = {row["name"]: row["type"] for row in table.filled.rows(f"DESCRIBE TABLE {TABLE}")}
    words = {
        "text": ("String",),
        "number": ("Int", "Float"),
        "boolean": ("Bool", "UInt8"),
        "texts": ("Array(",),
        "numbers by name": ("Map(",),
    }
    for column, kind in COLUMNS.items():
        assert any(word in types[column] for word in words[kind]), column


# --- a file of one's own


FILE = """\
kpis:
  - id: index
    tenants: [acme, bolt]
    name: {zh: 高风险率, en: "Risky calls; 'quoted' {{both}} \\\\"}
    definition: {zh: 占比。, en: Share of the inbound calls whose risk is not low.}
    kind: share
    numerator: risk_level != 'low'
    when: direction == 'inbound'
    unit: share
    direction: lower
    target: 0.2
    headline: true
    minimum_n: 1
  - id: topics_per_call
    name: {zh: 每通诉求数, en: Demands per call}
    definition: {zh: 每通电话的诉求数。, en: Demands for each call.}
    kind: events
    numerator: length(topic_ids)
    denominator: 1 if outcome == 'analyzed' else 0
    unit: per_100_calls
    scale: 100
    direction: lower
targets:
  - {kpi: index, tenant: acme, target: 0.9}
  - {kpi: sensitive_words, tenant: bolt, target: 5}
  - {kpi: sensitive_words, industry: education, target: 7}
"""


@pytest.fixture(scope="module")
def own_settings(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The database with the KPIs of the file, its views made and its days rolled up again."""
    file = tmp_path_factory.mktemp("own") / "kpis.yaml"
    file.write_text(FILE, encoding="utf-8")
    own = Settings.model_validate({"clickhouse_url": filled.url, "kpis_file": file, "timezone": ZONE.key})
    make_views(filled.url, views_of(own))
    definition = RollupDefinition(kpis_in_force(own.kpis_file), DAYS, WINDOW_DAYS)
    assert Rollups(ClickHouseRollups(filled.url), definition, BY_HAND).refresh() != []
    return own


def risky(analysis: CallAnalysis) -> bool | None:
    if analysis.tenant_id not in ("acme", "bolt") or analysis.call.direction != "inbound":
        return None
    return None if analysis.risk is None else analysis.risk.level != "low"


def test_own_kpis_are_rolled_up_and_shown_in_every_view(filled: Filled, own_settings: Settings) -> None:
    kpi = kpis_in_force(own_settings.kpis_file).kpi("index")
    assert kpi is not None
    found = filled.kpis.sums([kpi], "tenant", "day", filled.start, filled.end)
    expected = {
        tenant: Sums.of(
            (float(value), 1)
            for each in filled.world.analyses
            if each.tenant_id == tenant and (value := risky(each)) is not None
        )
        for tenant in ("acme", "bolt")
    }
    assert {tenant: sums for (tenant, _, _), sums in found.items()} == expected
    days = filled.rows(
        "SELECT tenant_id, sum(n) AS n, any(target) AS target FROM kpi_daily WHERE kpi = 'index' GROUP BY 1"
    )
    assert {row["tenant_id"]: (row["n"], row["target"]) for row in days} == {
        "acme": (expected["acme"].n, 0.9),
        "bolt": (expected["bolt"].n, 0.2),
    }
    wide = filled.rows("SELECT tenant_id, countIf(isNotNull(`index`)) AS days FROM kpi_daily_wide GROUP BY tenant_id")
    assert {row["tenant_id"] for row in wide if row["days"]} == {"acme", "bolt"}
    (listed,) = filled.rows("SELECT * FROM kpis WHERE kpi = 'index'")
    assert (listed["name_en"], listed["target"]) == ("Risky calls; 'quoted' {{both}} \\", 0.2)


def test_events_of_ones_own_are_counted(filled: Filled, own_settings: Settings) -> None:
    kpi = kpis_in_force(own_settings.kpis_file).kpi("topics_per_call")
    assert kpi is not None
    found = filled.kpis.sums([kpi], "tenant", "day", filled.start, filled.end)
    for (tenant, _, _), sums in found.items():
        heard = [each for each in filled.world.analyses if each.tenant_id == tenant and each.outcome == "analyzed"]
        assert sums == Sums.of((float(len(each.topics)), 1.0) for each in heard)


@pytest.mark.usefixtures("own_settings")
def test_targets_of_tenants_and_industries_are_those_of_the_file(filled: Filled) -> None:
    shown = filled.rows(
        "SELECT tenant_id, any(target) AS target FROM kpi_team WHERE kpi = 'sensitive_words' GROUP BY 1"
    )
    assert {row["tenant_id"]: row["target"] for row in shown} == {"acme": 0, "bolt": 5, "cord": 7}


def test_the_command_knows_own_kpis_and_targets(filled: Filled, own_settings: Settings) -> None:
    env = {f"{PREFIX}CLICKHOUSE_URL": filled.url, f"{PREFIX}KPIS_FILE": str(own_settings.kpis_file), "LC_ALL": "en_US"}
    done = CliRunner().invoke(app, ["kpi", "--last", "14d", "--tenant", "acme", "--json"], env=env)
    assert done.exit_code == 0, done.output
    line = next(each for each in json.loads(done.stdout)["kpis"] if each["kpi"] == "index")
    expected = Sums.of(
        (float(value), 1)
        for each in filled.world.analyses
        if each.tenant_id == "acme" and (value := risky(each)) is not None
    )
    kpi = kpis_in_force(own_settings.kpis_file).kpi("index")
    assert kpi is not None
    assert (line["n"], line["target"], line["verdict"]) == (expected.n, 0.9, "reached")
    assert line["value"] == pytest.approx(estimate(kpi, expected).value)


def test_a_file_that_is_wrong_stops_the_command_with_its_line(filled: Filled, tmp_path: Path) -> None:
    file = tmp_path / "kpis.yaml"
    file.write_text(FILE.replace("risk_level !=", "risk_levle !="), encoding="utf-8")
    env = {f"{PREFIX}CLICKHOUSE_URL": filled.url, f"{PREFIX}KPIS_FILE": str(file)}
    with pytest.raises(Exception, match=r"kpis\.yaml:7: KPI index, field kpis\.0\.numerator: risk_levle"):
        CliRunner().invoke(app, ["kpi", "--json"], env=env, catch_exceptions=False)


# --- scripts of one's own


SCRIPT = {
    "id": "slogan",
    "name": "企业口号",
    "find": "客户第一",
    "advice": "请说出口号",
    "match": ["客户第一"],
    "no_match": ["再见"],
}


def test_a_script_of_a_tenants_own_counts_also_when_judged_again_and_delivered_twice(filled: Filled) -> None:
    """`own` says it in two of three calls; `other` is asked for the shipped ones alone."""
    packs = (*load_rule_packs(), pack_of(tenant="own", mandatory_scripts=[SCRIPT]))
    judge = Judge(JudgeSettings(), rulebooks=Rulebooks(packs))
    sink = ClickHouseSink(filled.client)
    ended_at = filled.world.now - timedelta(days=1)

    def judged(tenant: str, call_id: str, minute: int, *lines: Line) -> CallAnalysis:
        transcript = called(*lines)
        call = transcript.call.model_copy(
            update={
                "tenant_id": tenant,
                "call_id": call_id,
                "started_at": ended_at - timedelta(minutes=3),
                "ended_at": ended_at,
            }
        )
        transcript = transcript.model_copy(update={"tenant_id": tenant, "call_id": call_id, "call": call})
        return judge.judge(transcript, ended_at + timedelta(minutes=minute))

    def shown() -> dict[str, tuple[float, float]]:
        Rollups(ClickHouseRollups(filled.url), RollupDefinition(REGISTRY, DAYS, WINDOW_DAYS), BY_HAND).refresh()
        kpi = REGISTRY.kpi("mandatory_scripts")
        assert kpi is not None
        sums = filled.kpis.sums([kpi], "tenant", "day", filled.start, filled.end)
        return {
            tenant: (each.numerator, each.denominator)
            for (tenant, _, _), each in sums.items()
            if tenant in ("own", "other")
        }

    said: Line = ("agent", "您好，客户第一")
    unsaid: Line = ("agent", "您好")
    first = [judged("own", "1", 1, said), judged("own", "2", 1, said), judged("own", "3", 1, unsaid)]
    shipped = judged("other", "1", 1, said)
    for analysis in (*first, shipped, *first):
        sink.write(rows_for_analysis(analysis))
    asked, kept = (int(shipped.measures[f"mandatory_scripts_{what}"] or 0) for what in ("asked", "kept"))
    assert asked > 0
    before = shown()
    assert before == {"own": (3 * kept + 2, 3 * asked + 3), "other": (kept, asked)}
    # In a row of before `judge` counted the shipped scripts count by name; the slogan does when it is judged again.
    counts = ("mandatory_scripts_", "procedures_", "checklists_")
    without = {name: value for name, value in first[2].measures.items() if not name.startswith(counts)}
    old = first[2].model_copy(
        update={"call_id": "4", "call": first[2].call.model_copy(update={"call_id": "4"}), "measures": without}
    )
    for analysis in (judged("own", "3", 2, said), old):
        sink.write(rows_for_analysis(analysis))
    assert shown() == {"own": (4 * kept + 3, 4 * asked + 3), "other": (kept, asked)}
