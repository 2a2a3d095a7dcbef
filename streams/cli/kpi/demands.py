"""`callstream kpi demands`: what customers call about."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from processors.kpi.demands import Demand, ranking
from streams.cli.console.access import log_command
from streams.cli.console.options import JsonOption
from streams.cli.kpi.cells import percent_cell, points_cell, q_cell
from streams.cli.kpi.options import FromOption, LangOption, LastOption, TenantOption, ToOption
from streams.cli.kpi.report import KpiReport, compared_as_json


def rank_demands(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    by_inquiry_type: Annotated[
        bool, typer.Option("--by-inquiry-type", help="Rank each inquiry type separately.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Number of demands to show of each ranking.")] = 20,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank what customers call about (R61, R62).

    The most frequent demands come first, with quotes. The access is logged before they are shown.
    """
    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    before = period.before
    with open_kpis(report.settings) as store:
        found = ranking(
            store.demands(period.grain, period.start, period.end, tenant),
            store.analyzed_calls(period.grain, period.start, period.end, tenant),
            store.demands(before.grain, before.start, before.end, tenant),
            store.analyzed_calls(before.grain, before.start, before.end, tenant),
            by_inquiry_type=by_inquiry_type,
        )
    compared = [each.q_value for each in found]
    shown = _first_of_each(found, most)
    quoted = {(each.tenant_id, example.call_id) for each in shown for example in each.examples}
    asked = {"period": True, "tenant": tenant is not None, "inquiry_type": by_inquiry_type}
    filters = tuple(name for name, given in asked.items() if given)
    log_command(report.settings, "searched", tenant, filters, len(quoted))
    if as_json:
        content = {"demands": [asdict(each) | {"is_clear": each.is_clear} for each in shown]}
        report.print_json(period, compared_as_json(compared) | content)
        return
    group = ("inquiry_type",) if by_inquiry_type else ()
    names = ("tenant", *group, "topic", "calls", "share", "change", "q", "clear", "agitated", "unresolved", "examples")
    table = report.table(*names, title=report.title(period))
    for each in shown:
        table.add_row(
            each.tenant_id,
            *([each.inquiry_type or "–"] if by_inquiry_type else []),
            each.name,
            str(each.calls),
            percent_cell(each.share),
            points_cell(each.change),
            q_cell(each.q_value),
            "*" if each.is_clear else "",
            percent_cell(each.agitated),
            percent_cell(each.unresolved),
            "\n".join(f"「{example.quote}」 {example.call_id}" for example in each.examples),
        )
    report.print(table, len(shown))
    report.print_comparisons(compared_as_json(compared)["comparisons"])


def _first_of_each(demands: Iterable[Demand], most: int) -> list[Demand]:
    shown: list[Demand] = []
    counts: dict[tuple[str, str | None], int] = {}
    for each in demands:
        group = (each.tenant_id, each.inquiry_type)
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= most:
            shown.append(each)
    return shown
