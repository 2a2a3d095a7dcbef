"""The KPIs as a semantic model for dbt and MetricFlow, made from the registry (`callstream export semantic`).

Pure: file name → text, for the folder of models of a dbt project. Ratios stay ratios: for each KPI two measures, which
are sums over calls, and a metric of the type `ratio` of them, so that whatever people group and filter by, MetricFlow
divides the sums and never averages averages.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from processors.kpi.metrics import RowSums, has_rows_by_day, rows_by_day, sums_of_rows, sums_over_calls
from processors.kpi.statistics import DECIDED_PER_PENDING
from schemas.config.kpis.kpi import Kpi, KpiRegistry

CALLS_MODEL = "callstream_calls"
"""The dbt model that has a row per call."""
TIME_SPINE_MODEL = "callstream_time_spine"
SEMANTIC_FILE = "callstream_semantic.yml"
"""Semantic models, metrics and the time spine."""
DAY = "ended_day"
"""What MetricFlow calls the day of the tenant on which the calls ended; `day` alone is a word of its own."""

DIMENSIONS_OF_CALLS = (
    *("tenant_id", "industry", "direction", "handled_by", "agent_id", "agent_team", "agent_seniority", "queue"),
    *("inquiry_type", "course_type", "order_status", "customer_value_tier", "newest_order_status"),
    *("newest_customer_value_tier", "outcome", "risk_level", "resolution", "selected", "is_repeat"),
)
"""Columns of `kpi_calls` by which metrics are told apart."""

_NAME = re.compile(r"(?!.*__)[a-z][a-z0-9_]*[a-z0-9]")
_TAKEN = frozenset(
    {
        "calls",
        "nanosecond",
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
    }
)
_HEAD = "callstream export semantic wrote this from the registry of KPIs; write it anew instead of editing it.\n"


class SemanticNameError(ValueError):
    """A KPI has an id that MetricFlow has no room for; the text names it and says what to do."""


def semantic_files(registry: KpiRegistry, window_days: int, database: str) -> dict[str, str]:
    """File name → text. `database` of ClickHouse is where the views are, unless the project sets the variable
    `callstream_database`. Raises `SemanticNameError`.
    """
    for kpi in registry.kpis:
        if _NAME.fullmatch(kpi.id) is None or kpi.id in _TAKEN:
            raise SemanticNameError(
                f"KPI {kpi.id}: MetricFlow takes no metric of this name: give it an id of a to z, 0 to 9 and single _, "
                "which is neither calls nor a unit of time"
            )
    by_day = [kpi for kpi in registry.queries if has_rows_by_day(kpi)]
    left_out = [kpi.id for kpi in registry.queries if not has_rows_by_day(kpi)]
    content = {
        "version": 2,
        "models": [
            {
                "name": TIME_SPINE_MODEL,
                "description": "One row per day, for metrics over time.",
                "time_spine": {"standard_granularity_column": "date_day"},
                "columns": [{"name": "date_day", "granularity": "day"}],
            }
        ],
        "semantic_models": [_calls_model(registry.ratios), *map(_own_model, by_day)],
        "metrics": [
            *(metric for kpi in registry.ratios for metric in _metrics(kpi, sums_over_calls(kpi))),
            *(metric for kpi in by_day for metric in _metrics(kpi, sums_of_rows(kpi))),
            {
                "name": "calls",
                "label": "Calls",
                "description": "通话数 Calls that ended, whatever became of them.",
                "type": "simple",
                "type_params": {"measure": {"name": "calls_sum"}},
            },
        ],
    }
    head = f"# {_HEAD}"
    if left_out:
        head += (
            f"# What looks at all calls of a group at once is no ratio of sums and not in it: {', '.join(left_out)}.\n"
        )
    calls = f"kpi_calls(start = '1970-01-01 00:00:00', end = '2200-01-01 00:00:00', window_days = {window_days})"
    return {
        SEMANTIC_FILE: head + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120),
        f"{CALLS_MODEL}.sql": _model(f"SELECT * FROM {_source(calls, database)}"),  # noqa: S608 - names
        f"{TIME_SPINE_MODEL}.sql": _model(
            "SELECT toDate('2015-01-01') + number AS date_day FROM numbers(dateDiff('day', toDate('2015-01-01'), "
            "today()) + 367)"
        ),
        **{f"callstream_{kpi.id}.sql": _model(_in_database(rows_by_day(kpi), database)) for kpi in by_day},
    }


def _model(select: str) -> str:
    return f"-- {_HEAD}{{{{ config(materialized='view') }}}}\n\n{select}\n"


def _source(name: str, database: str) -> str:
    return f"{{{{ var('callstream_database', '{database}') }}}}.{name}"


def _in_database(rows: str, database: str) -> str:
    """The rows with their views in the database of callstream, whatever that of the project is."""
    return re.sub(r"\bFROM (\w+)", lambda found: f"FROM {_source(found[1], database)}", rows)


def _calls_model(kpis: Sequence[Kpi]) -> dict[str, Any]:
    return {
        "name": "calls",
        "description": "Calls as they were judged, with what became known of them later (the view kpi_calls).",
        "model": f"ref('{CALLS_MODEL}')",
        "defaults": {"agg_time_dimension": DAY},
        "entities": [{"name": "call", "type": "primary", "expr": "concat(tenant_id, '/', call_id)"}],
        "dimensions": [_day(), *({"name": name, "type": "categorical"} for name in DIMENSIONS_OF_CALLS)],
        "measures": [
            {"name": "calls_sum", "description": "Calls.", "agg": "sum", "expr": "1"},
            *(measure for kpi in kpis for measure in _measures(kpi, sums_over_calls(kpi))),
        ],
    }


def _own_model(kpi: Kpi) -> dict[str, Any]:
    return {
        "name": f"rows_of_{kpi.id}",
        "description": f"What counts for {kpi.name.en}, by tenant and day.",
        "model": f"ref('callstream_{kpi.id}')",
        "defaults": {"agg_time_dimension": DAY},
        "primary_entity": f"row_of_{kpi.id}",
        "dimensions": [_day(), {"name": "tenant_id", "type": "categorical"}],
        "measures": list(_measures(kpi, sums_of_rows(kpi))),
    }


def _day() -> dict[str, Any]:
    return {"name": DAY, "type": "time", "expr": "day", "type_params": {"time_granularity": "day"}}


def _measures(kpi: Kpi, row: RowSums) -> Iterable[dict[str, Any]]:
    scaled = row.numerator if row.scale == 1 else f"{row.scale:g} * {row.numerator}"
    yield _sum(f"{kpi.id}_numerator", f"if({row.counts}, {scaled}, NULL)")
    yield _sum(f"{kpi.id}_denominator", f"if({row.counts}, {row.denominator or '1'}, NULL)")
    if row.pending is not None:
        yield _sum(f"{kpi.id}_decided", f"toUInt64({row.counts})")
        yield _sum(f"{kpi.id}_pending", f"toUInt64({row.pending})")


def _sum(name: str, expression: str) -> dict[str, Any]:
    """`create_metric`: a metric of the same name, which ratios are made of."""
    return {"name": name, "agg": "sum", "expr": " ".join(expression.split()), "create_metric": True}


def _metrics(kpi: Kpi, row: RowSums) -> Iterable[dict[str, Any]]:
    ratio = {
        "type": "ratio",
        "type_params": {name: {"name": f"{kpi.id}_{name}"} for name in ("numerator", "denominator")},
    }
    told = {
        "label": f"{kpi.name.zh} {kpi.name.en}",
        "description": f"{kpi.definition.zh} {kpi.definition.en} It does not tell {_as_clause(kpi.does_not_tell)}.",
        "config": {"meta": {"unit": kpi.unit, "better": kpi.direction, "minimum_n": kpi.minimum_n}},
    }
    if row.pending is None:
        yield {"name": kpi.id, **told, **ratio}
        return
    so_far = f"{kpi.id}_so_far"
    yield {
        "name": so_far,
        "label": f"{kpi.name.zh}（至今） {kpi.name.en} so far",
        "description": f"As {kpi.id}, also while more than a tenth of the calls are pending: not to be shown then.",
        **ratio,
    }
    names = (so_far, f"{kpi.id}_decided", f"{kpi.id}_pending")
    yield {
        "name": kpi.id,
        **told,
        "type": "derived",
        "type_params": {
            "expr": f"if({names[1]} >= {DECIDED_PER_PENDING} * {names[2]}, {so_far}, NULL)",
            "metrics": [{"name": name} for name in names],
        },
    }


def _as_clause(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
