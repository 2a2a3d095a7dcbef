"""`callstream kpi rated`: how calls that were rated differ from those that were not."""

from dataclasses import asdict

from processors.kpi.comparisons import RatedDifference
from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.statistics import Difference, Estimate, q_values
from schemas.config.kpis.kpi import Kpi
from streams.cli.console.options import JsonOption
from streams.cli.kpi.cells import change_cell, percent_cell, points_cell, q_cell, with_n_cell
from streams.cli.kpi.options import (
    AllOption,
    FromOption,
    KpiOption,
    LangOption,
    LastOption,
    TenantOption,
    ToOption,
    choose_kpis,
)
from streams.cli.kpi.report import KpiReport, compared_as_json


def compare_rated(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare rated calls with unrated ones (R45).

    Customers who rate are not like those who do not: by KPI, and by what their calls are about. Calls count as
    independent.
    """
    import typer

    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    if period.grain == "hour":
        raise typer.BadParameter("rated calls are compared by day only: write 1d", param_hint="--last")
    registry = kpis_in_force(report.settings.kpis_file)
    chosen = {kpi.id: kpi for kpi in choose_kpis(registry, kpis, every)}
    with open_kpis(report.settings) as store:
        rows = store.rated_and_unrated(period.start, period.end, tenant)
    found = [each for each in rows if each.name in chosen or (each.about == "topic" and not kpis)]
    q_of = _q_values(found)
    if as_json:
        content = {"rated_and_unrated": [asdict(each) | {"q_value": q_of.get(_name(each))} for each in found]}
        report.print_json(period, compared_as_json(q_of.values()) | content)
        return
    table = report.table("tenant", "kpi", "rated_calls", "unrated_calls", "change", "q", title=report.title(period))
    for each in found:
        table.add_row(*_row(report, chosen.get(each.name) if each.about == "kpi" else None, each, q_of))
    report.print(table, len(found))
    report.print_comparisons(compared_as_json(q_of.values())["comparisons"])


def _name(each: RatedDifference) -> tuple[str, str, str]:
    return each.tenant_id, each.about, each.name


def _difference(each: RatedDifference) -> Difference | None:
    if each.difference is None or each.difference_low is None or each.difference_high is None:
        return None
    return Difference(each.difference, each.difference_low, each.difference_high)


def _q_values(found: list[RatedDifference]) -> dict[tuple[str, str, str], float]:
    """Of each tenant's differences together."""
    of_tenants: dict[str, list[tuple[RatedDifference, Difference]]] = {}
    for each in found:
        difference = _difference(each)
        if difference is not None:
            of_tenants.setdefault(each.tenant_id, []).append((each, difference))
    q_of: dict[tuple[str, str, str], float] = {}
    for compared in of_tenants.values():
        values = q_values([difference.chance for _, difference in compared])
        q_of |= {_name(each): q_value for (each, _), q_value in zip(compared, values, strict=True)}
    return q_of


def _row(
    report: KpiReport, kpi: Kpi | None, each: RatedDifference, q_of: dict[tuple[str, str, str], float]
) -> list[str]:
    rated = Estimate(each.n_rated, each.rated, each.rated_low, each.rated_high)
    unrated = Estimate(each.n_unrated, each.unrated, each.unrated_low, each.unrated_high)
    difference, q_value = _difference(each), q_cell(q_of.get(_name(each)))
    if kpi is None:
        name = f"{report.word('topic')} {each.name}"
        cells = (f"{percent_cell(side)} (n={side.n})" for side in (rated, unrated))
        return [each.tenant_id, name, *cells, points_cell(difference), q_value]
    cells = (with_n_cell(kpi, side) for side in (rated, unrated))
    return [each.tenant_id, report.name(kpi), *cells, change_cell(kpi, difference), q_value]
