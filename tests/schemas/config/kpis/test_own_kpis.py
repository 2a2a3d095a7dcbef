"""A file of KPIs and targets of one's own: what comes of it, and what is said where it cannot be used."""

import re
from pathlib import Path

import pytest

from processors.kpi.own_kpis import with_own_kpis
from processors.kpi.statistics import Estimate, target_status
from schemas.config.kpis.kpi import KpiRegistry, KpiRegistryError, read_kpis
from schemas.config.kpis.kpi_expression import COLUMNS
from schemas.config.kpis.own_kpis import OwnKpi, read_own_kpis

SHIPPED = read_kpis()

FILE = """\
kpis:
  - id: long_holds
    tenants: [acme]
    name: {zh: 长时间静默率, en: Long holds}
    definition: {zh: 静默超过一分钟的通话占比。, en: Share of calls with a silence of more than a minute.}
    kind: share
    numerator: measures['longest_silence_ms'] > 60000
    when: >-
      direction == 'inbound'
      and queue in ('sales', 'service')
    unit: share
    direction: lower
    target: 0.05
    headline: true
  - id: findings_per_minute
    name: {zh: 每分钟问题数, en: Findings per minute}
    definition: {zh: 每分钟通话的问题数。, en: Findings for each minute of the call.}
    kind: events
    numerator: length(finding_categories)
    denominator: duration_ms / 60000
    unit: per_minute
    direction: lower
targets:
  - {kpi: sensitive_words, tenant: acme, target: 2}
  - {kpi: first_contact_resolution, industry: finance, target: 0.8}
  - {kpi: score, target: 77}
  - {kpi: long_holds, tenant: acme, target: 0.1}
"""


def read(text: str, tmp_path: Path) -> KpiRegistry:
    file = tmp_path / "kpis.yaml"
    file.write_text(text, encoding="utf-8")
    return with_own_kpis(SHIPPED, read_own_kpis(file, SHIPPED))


def test_own_kpis_follow_the_shipped_ones(tmp_path: Path) -> None:
    registry = read(FILE, tmp_path)
    assert [kpi.id for kpi in registry.kpis] == [
        *(kpi.id for kpi in SHIPPED.kpis),
        "long_holds",
        "findings_per_minute",
    ]
    holds, findings = registry.kpis[-2:]
    assert holds.ratio is not None
    assert holds.ratio.numerator == (
        "if(ifNull(and(equals(CAST(direction, 'Nullable(String)'), 'inbound'), "
        "or(equals(CAST(queue, 'Nullable(String)'), 'sales'), equals(CAST(queue, 'Nullable(String)'), 'service'))), 0)"
        " AND tenant_id IN ('acme'), greater(measures['longest_silence_ms'], 60000.0), NULL)"
    )
    assert holds.headline
    assert findings.ratio is not None
    assert "nullIf(60000.0, 0.0)" in findings.ratio.denominator


def test_the_target_of_a_tenant_goes_before_that_of_its_industry_and_of_all(tmp_path: Path) -> None:
    registry = read(FILE + "  - {kpi: score, tenant: acme, target: 90}\n", tmp_path)
    score, resolution, words, holds = (
        next(kpi for kpi in registry.kpis if kpi.id == name)
        for name in ("score", "first_contact_resolution", "sensitive_words", "long_holds")
    )
    assert [score.target_of("finance", tenant) for tenant in ("acme", "bolt", None)] == [90, 77, 77]
    assert [words.target_of(None, tenant) for tenant in ("acme", "bolt")] == [2, 0]
    shipped = SHIPPED.kpi("first_contact_resolution")
    assert shipped is not None
    assert [resolution.target_of(industry, "acme") for industry in ("finance", "medical")] == [0.8, shipped.target]
    assert (holds.target_of(None, "acme"), holds.target) == (0.1, 0.05)
    found = Estimate(100, 80, 75, 85)
    assert [target_status(score, found, None, tenant) for tenant in ("acme", "bolt")] == ["missed", "reached"]


def test_the_guide_holds_an_example_that_works_and_every_column(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "kpis-of-your-own.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    assert len(read(example[1], tmp_path).kpis) == len(SHIPPED.kpis) + 2
    assert [column for column in COLUMNS if f"`{column}" not in page] == []
    assert [name for name in OwnKpi.model_fields if f"`{name}`" not in page] == []


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read("kpis: []\n", tmp_path) == SHIPPED


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param(
            "> 60000",
            "> '60000'",
            "kpis.yaml:7: KPI long_holds, field kpis.0.numerator: measures['longest_silence_ms'] > '60000': a number "
            "cannot be compared with a text in this way",
            id="an expression that makes no sense, with file, line, entry and field",
        ),
        pytest.param(
            "and queue in",
            "and queu in",
            "kpis.yaml:8: KPI long_holds, field kpis.0.when: queu: there is no such column",
            id="a misspelt column",
        ),
        pytest.param("longest_silence_ms'] > 60000", "longest_silence_ms']", "compare it", id="a share of numbers"),
        pytest.param(
            "length(finding_categories)", "score > 1", "write 1 if … else 0", id="events that are true or false"
        ),
        pytest.param("id: long_holds", "id: greeting", "a shipped KPI has this id: choose another", id="a shipped id"),
        pytest.param("id: long_holds", "id: queue", "is a column of the views", id="an id that is a column"),
        pytest.param("id: findings_per_minute", "id: long_holds", "occurs twice", id="an id twice"),
        pytest.param("id: long_holds", "id: long-holds", "kpis.yaml:2: KPI long-holds, field kpis.0.id", id="no slug"),
        pytest.param("kind: share\n", "kind: share\n    denominator: '2'\n", "a share has no denominator", id="two"),
        pytest.param("    denominator: duration_ms / 60000\n", "", "events need a denominator", id="of how many"),
        pytest.param("kind: events", "kind: correlation", "field kpis.1.kind", id="a correlation"),
        pytest.param("numerator: len", "rows: len", "field kpis.1.rows", id="a field of shipped KPIs"),
        pytest.param("target: 0.05", "target: 5", "5 cannot be reached: the KPI lies between 0 and 1", id="percent"),
        pytest.param(
            "direction: lower\n    target", "direction: neutral\n    target", "leave the target out", id="neutral"
        ),
        pytest.param(
            "kpi: score,",
            "kpi: scores,",
            "kpis.yaml:26: target of scores, field targets.2.kpi: there is no",
            id="unknown",
        ),
        pytest.param("{kpi: score, ", "{kpi: score, tenant: a, industry: b, ", "make two of it", id="of two"),
        pytest.param("kpi: score, target: 77", "kpi: score, target: 177", "between 0 and 100", id="beyond the scale"),
        pytest.param("kpi: score, target: 77", "kpi: long_holds, tenant: acme, target: 1", "keep one", id="twice"),
        pytest.param("target: 77", "target: .nan", "field targets.2.target", id="no number"),
        pytest.param("kpis:\n", "kpi:\n", "field kpi: ", id="a misspelt section"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(old: str, new: str, problem: str, tmp_path: Path) -> None:
    assert FILE.count(old) >= 1
    with pytest.raises(KpiRegistryError) as error:
        read(FILE.replace(old, new, 1), tmp_path)
    assert problem in str(error.value)


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    text = FILE.replace("> 60000", "> x").replace("length(", "len(").replace("kpi: score", "kpi: nothing")
    with pytest.raises(KpiRegistryError) as error:
        read(text, tmp_path)
    assert len(error.value.problems) == 3


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KpiRegistryError, match=r"none\.yaml: cannot be read: FileNotFoundError"):
        read_own_kpis(tmp_path / "none.yaml", SHIPPED)
