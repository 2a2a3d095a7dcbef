"""Values, intervals and differences as cells of a table; a dash where there is nothing to show."""

from processors.kpi.statistics import Difference, Estimate
from schemas.config.kpis.kpi import Kpi
from streams.cli.pages.kpis import in_unit


def value_cell(kpi: Kpi, found: Estimate) -> str:
    return "–" if found.value is None else in_unit(kpi, found.value)


def q_cell(q_value: float | None) -> str:
    return "–" if q_value is None else f"{q_value:.2g}"


def interval_cell(kpi: Kpi, found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "–"
    return f"{in_unit(kpi, found.low)} – {in_unit(kpi, found.high)}"


def with_n_cell(kpi: Kpi, found: Estimate) -> str:
    return f"{value_cell(kpi, found)} (n={found.n})"


def change_cell(kpi: Kpi, change: Difference | None) -> str:
    """Of shares in percentage points."""
    if change is None:
        return "–"
    if kpi.unit == "share":
        return points_cell(change)
    value, low, high = (
        f"{'+' if each > 0 else ''}{in_unit(kpi, each)}" for each in (change.value, change.low, change.high)
    )
    return f"{value} ({low} – {high})"


def percent_cell(found: Estimate) -> str:
    return "–" if found.value is None else f"{100 * found.value:.1f} %"


def points_cell(change: Difference | None) -> str:
    if change is None:
        return "–"
    return f"{100 * change.value:+.1f} pp ({100 * change.low:+.1f} – {100 * change.high:+.1f})"
