"""The KPIs in the datasets of Superset, made from the registry, so that a dashboard and `callstream kpi` cannot differ.

Pure: a file of `deploy/superset/bundle/datasets` in, the same file with its KPIs as the registry has them out.
Everything else in it is written by hand.
"""

import json
import re
from collections.abc import Mapping

from processors.kpi.metrics import rows_by_day, value_over_calls
from processors.kpi.statistics import DECIDED_PER_PENDING
from schemas.config.kpis.kpi import Kpi, KpiRegistry, KpiUnit

CALLS_DATASET = "calls"
"""The dataset of which every row is one of `kpi_calls`; all KPIs that are ratios are metrics of it."""

VALUE_METRIC = "value"
"""The metric that is the value of a KPI in datasets that have a row per day, group and KPI."""

VALUE_OVER_DAYS = (
    f"if(sum(n) >= {DECIDED_PER_PENDING} * sum(pending), "
    "sum(numerator) / nullIf(sum(denominator), 0) * any(scale), NULL)"
)
"""The value of one KPI over rows of `kpi_daily`, `kpi_team` or `kpi_agent`, with `scale` from `kpis`."""

_FORMATS: Mapping[KpiUnit, str] = {
    "share": ".1%",
    "per_100_calls": ".2f",
    "score": ".1f",
    "ms": "DURATION",
    "per_minute": ",.0f",
    "correlation": ".2f",
    "times": ".2f",
}
_METRIC = re.compile(r"^- metric_name: (\w+)\n(?:  .*\n)+", re.MULTILINE)
_METRICS = re.compile(r"^metrics:\n(?:[- ] .*\n)+", re.MULTILINE)
_SQL = re.compile(r"^sql: \|\n(?:  .*\n|\n)+", re.MULTILINE)


def with_kpis(name: str, text: str, registry: KpiRegistry) -> str:
    """The file of the dataset `name` with its KPIs as the registry has them.

    A metric with the id of a KPI is that KPI, and one with a query is in no dataset but its own. `calls` has all that
    are ratios, other datasets those that are in the file; a dataset called like the view of a KPI with a query
    (`kpi_recording_completeness`) has its rows, by day.
    """
    ratios = {kpi.id: kpi for kpi in registry.ratios}
    queries = {f"kpi_{kpi.id}": kpi for kpi in registry.queries}
    if name in queries:
        text = _SQL.sub(lambda _: _rows_by_day(queries[name]), text, count=1)

    def metric(found: re.Match[str]) -> str:
        of_query = queries.get(name)
        if found[1] == VALUE_METRIC and name.startswith("kpi_"):
            return re.sub(r"^  expression: .*$", f"  expression: {VALUE_OVER_DAYS}", found[0], flags=re.MULTILINE)
        if of_query is not None and found[1] == of_query.id:
            return _metric(of_query, "sum(numerator) / nullIf(sum(denominator), 0)")
        if f"kpi_{found[1]}" in queries:
            return ""  # it was a ratio once; its rows are in no other dataset than its own
        return _metric(ratios[found[1]], value_over_calls(ratios[found[1]])) if found[1] in ratios else found[0]

    text = _METRIC.sub(metric, text)
    if name != CALLS_DATASET:
        return text
    there = set(_METRIC.findall(text))
    missing = "".join(_metric(kpi, value_over_calls(kpi)) for kpi in registry.ratios if kpi.id not in there)
    return _METRICS.sub(lambda found: found[0] + missing, text, count=1)


def _metric(kpi: Kpi, expression: str) -> str:
    definition = " ".join((kpi.definition.zh, kpi.definition.en, f"It does not tell {_as_clause(kpi.does_not_tell)}."))
    fields = {
        "verbose_name": f"{kpi.name.zh} {kpi.name.en}",
        "metric_type": None,
        "expression": expression,
        "description": definition,
        "d3format": _FORMATS[kpi.unit],
        "extra": None,
        "warning_text": None,
    }
    lines = (f"{field}: {json.dumps(value, ensure_ascii=False)}" for field, value in fields.items())
    return "\n  ".join((f"- metric_name: {kpi.id}", *lines)) + "\n"


def _as_clause(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _rows_by_day(kpi: Kpi) -> str:
    return "sql: |\n" + "".join(f"  {line}\n" for line in rows_by_day(kpi).splitlines())
