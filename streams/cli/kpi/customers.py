"""`callstream kpi customers`: what certain customers call about more than others."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from processors.kpi.demands import CustomerDemand, by_customers
from streams.cli.console.options import JsonOption
from streams.cli.kpi.cells import percent_cell, points_cell, q_cell
from streams.cli.kpi.options import FromOption, LangOption, LastOption, TenantOption, ToOption
from streams.cli.kpi.report import KpiReport, compared_as_json


def compare_customers(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    customers: Annotated[
        list[str] | None, typer.Option("--customers", help="Only this value tier or tag; can be repeated.")
    ] = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the demands of some customers with all others (R63).

    The customers are those of each value tier, and those with each tag.
    """
    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    with open_kpis(report.settings) as store:
        found = by_customers(store.customer_demands(period.grain, period.start, period.end, tenant))
    compared = [each.q_value for each in found]
    shown = [each for each in found if not customers or each.count.customers in customers]
    if as_json:
        content = {"customer_demands": [_customers_as_json(each) for each in shown]}
        report.print_json(period, compared_as_json(compared) | content)
        return
    names = ("tenant", "customers", "topic", "calls", "share", "others", "change", "q", "clear")
    table = report.table(*names, title=report.title(period))
    for each in shown:
        count = each.count
        table.add_row(
            count.tenant_id,
            f"{report.word(count.attribute)} {count.customers}",
            count.name,
            str(count.calls),
            percent_cell(each.share),
            percent_cell(each.others),
            points_cell(each.change),
            q_cell(each.q_value),
            "*" if each.is_clear else "",
        )
    report.print(table, len(shown))
    report.print_comparisons(compared_as_json(compared)["comparisons"])


def _customers_as_json(each: CustomerDemand) -> dict[str, Any]:
    return asdict(each) | {"is_clear": each.is_clear}
