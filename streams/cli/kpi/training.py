"""`callstream kpi training`: whether a training helped."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import typer

from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.reports import Period, TrainingLine, training_lines
from streams.cli.console.options import JsonOption
from streams.cli.console.times import parse_day
from streams.cli.kpi.cells import change_cell, q_cell, with_n_cell
from streams.cli.kpi.options import AllOption, KpiOption, LangOption, TenantOption, choose_kpis, summable
from streams.cli.kpi.report import KpiReport, compared_as_json


def compare_training(
    on: Annotated[str, typer.Option(help="First day after the training, such as 2026-03-15.")],
    agent: Annotated[list[str], typer.Option(help="Agent who was trained; can be repeated.")],
    days: Annotated[
        int, typer.Option(min=1, max=366, help="Number of days to compare on either side of the training.")
    ] = 30,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare agents before and after a training (R67).

    All other agents over the same time show how much would have changed anyway; the effect is what goes beyond that.
    Of fewer than three agents nobody can tell.
    """
    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    day = parse_day(on, "--on")
    period = Period.days(day, date.fromordinal(day.toordinal() + days - 1), report.zone)
    before = period.before
    chosen = summable(choose_kpis(kpis_in_force(report.settings.kpis_file), kpis, every), named=bool(kpis))
    with open_kpis(report.settings) as store:
        was, now = (store.sums(chosen, "agent", "day", each.start, each.end, tenant) for each in (before, period))
        lines = training_lines(chosen, was, now, agent, store.industries())
    compared = [line.q_value for line in lines]
    if as_json:
        content = {"agents": agent, "kpis": [_training_as_json(line) for line in lines]}
        report.print_json(period, compared_as_json(compared) | content)
        return
    names = ("tenant", "kpi", "before", "after", "change", "beyond_others", "q", "effect", "verdict")
    table = report.table(*names, title=f"{report.title(before)} / {report.title(period)}")
    for line in lines:
        table.add_row(
            line.tenant_id,
            report.name(line.kpi),
            with_n_cell(line.kpi, line.before),
            with_n_cell(line.kpi, line.after),
            change_cell(line.kpi, line.change),
            change_cell(line.kpi, line.beyond_others),
            q_cell(line.q_value),
            report.word(line.effect),
            report.word(line.target_status),
        )
    report.print(table, len(lines))
    report.print_comparisons(compared_as_json(compared)["comparisons"])


def _training_as_json(line: TrainingLine) -> dict[str, Any]:
    return asdict(line) | {"kpi": line.kpi.id}
