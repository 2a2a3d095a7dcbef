"""KPIs as other tools sum them: what each counts of a row of `kpi_calls`, or of the rows of its own query.

The one source of Superset's metrics (`processors/kpi/superset.py`) and of the semantic model of dbt
(`processors/kpi/semantic.py`): both count as the roll-ups do. Pure: text in, text out.
"""

from dataclasses import dataclass
from string import Template

from processors.kpi.statistics import DECIDED_PER_PENDING
from schemas.config.kpis.kpi import Kpi
from schemas.config.kpis.kpi_expression import MAX_NUMBER

_ALL_TIMES = {
    "start": "toDateTime64('1970-01-01 00:00:00', 3, 'UTC')",
    "end": "toDateTime64('2200-01-01 00:00:00', 3, 'UTC')",
}


@dataclass(frozen=True)
class RowSums:
    """SQL over one row. The KPI is `scale` × Σ `numerator` ÷ Σ `denominator` over the rows for which `counts` is true;
    `pending` is true for a row that will count and does not yet, null where none ever is.

    `denominator` is null where it is 1 for every row.
    """

    counts: str
    numerator: str
    denominator: str | None
    pending: str | None
    scale: float


def sums_over_calls(kpi: Kpi) -> RowSums:
    """Of a row of `kpi_calls`. Raises `ValueError` for what is no ratio over calls."""
    if kpi.ratio is None:
        raise ValueError(f"{kpi.id} is no ratio over calls")
    above, below = (f"toFloat64({text})" for text in (kpi.ratio.numerator, kpi.ratio.denominator))
    if kpi.ratio.denominator == "1":
        counts, denominator = f"ifNull(abs({above}) <= {MAX_NUMBER:g}, false)", None
    else:
        counts = f"ifNull(abs({above}) <= {MAX_NUMBER:g} AND {below} > 0 AND {below} <= {MAX_NUMBER:g}, false)"
        denominator = below
    pending = None if kpi.ratio.pending == "false" else f"NOT {counts} AND ifNull({kpi.ratio.pending}, false)"
    return RowSums(counts, above, denominator, pending, kpi.scale)


def value_over_calls(kpi: Kpi) -> str:
    """The value of a ratio over rows of `kpi_calls`, as the roll-ups count it.

    Null where no call counts, and while more than a tenth of the calls are pending.
    """
    row = sums_over_calls(kpi)
    if row.denominator is None:
        value = f"avgOrNullIf({row.numerator}, {row.counts})"
    else:
        value = f"sumIf({row.numerator}, {row.counts}) / nullIf(sumIf({row.denominator}, {row.counts}), 0)"
    if row.scale != 1:
        value = f"{row.scale:g} * {value}"
    if row.pending is None:
        return value
    return f"if(countIf({row.counts}) >= {DECIDED_PER_PENDING} * countIf({row.pending}), {value}, NULL)"


def has_rows_by_day(kpi: Kpi) -> bool:
    """Whether the sums of a KPI with a query can be added up over days: its rows do not depend on the other calls of
    the group, as ranks and quantiles do.
    """
    return kpi.query is not None and kpi.kind != "correlation" and "$calls" not in kpi.query.rows


def rows_by_day(kpi: Kpi) -> str:
    """A SELECT of tenant_id, day, numerator and denominator of all times. Raises `ValueError` unless
    `has_rows_by_day`.
    """
    if kpi.query is None or not has_rows_by_day(kpi):
        raise ValueError(f"{kpi.id} has no rows by day")
    return Template(kpi.query.rows).substitute(keys=", day", **_ALL_TIMES).strip()


def sums_of_rows(kpi: Kpi) -> RowSums:
    """Of a row of `rows_by_day`."""
    counts = "ifNull(toFloat64(denominator) > 0 AND isNotNull(numerator), false)"
    return RowSums(counts, "toFloat64(numerator)", "toFloat64(denominator)", None, kpi.scale)
