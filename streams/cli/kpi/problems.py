"""`callstream kpi problems`: what is wrong everywhere, in one team, or with one agent."""

from dataclasses import asdict
from typing import Any

import typer

from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.reports import ProblemReport, TenantProblem, problem_report
from processors.kpi.statistics import Estimate
from streams.cli.console.options import JsonOption
from streams.cli.kpi.cells import interval_cell, value_cell
from streams.cli.kpi.options import (
    AllOption,
    FromOption,
    KpiOption,
    LangOption,
    LastOption,
    TenantOption,
    ToOption,
    choose_kpis,
    summable,
)
from streams.cli.kpi.report import KpiReport
from streams.cli.kpi.words import Language


def find_problems(
    last: LastOption = "30d",
    first: FromOption = None,
    to: ToOption = None,
    tenant: TenantOption = None,
    kpis: KpiOption = None,
    every: AllOption = False,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell shared problems from those of a team or an agent.

    Funnel plots decide what is more than chance (R64).
    """
    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    chosen = summable(choose_kpis(kpis_in_force(report.settings.kpis_file), kpis, every), named=bool(kpis))
    with open_kpis(report.settings) as store:
        agents = store.sums(chosen, "agent", period.grain, period.start, period.end, tenant)
        found = problem_report(chosen, agents, store.industries())
    if as_json:
        report.print_json(period, _problems_as_json(found))
        return
    names = ("tenant", "scope", "agent_team", "agent_id", "kpi", "value", "n", "benchmark", "limits")
    table = report.table(*names, title=report.title(period))
    for each in found.found:
        table.add_row(*_problem_row(report, each))
    report.print(table, found.comparisons)
    typer.echo(_about_chance(report.lang, found))


def _problem_row(report: KpiReport, each: TenantProblem) -> list[str]:
    problem, kpi = each.problem, each.kpi
    team, agent = (*problem.key, None, None)[:2]
    limits = Estimate(problem.found.n, problem.benchmark, problem.low, problem.high)
    return [
        each.tenant_id,
        report.word(problem.scope),
        team or "–",
        agent or "–",
        report.name(kpi),
        value_cell(kpi, problem.found),
        str(problem.found.n),
        value_cell(kpi, limits),
        interval_cell(kpi, limits),
    ]


def _about_chance(lang: Language, found: ProblemReport) -> str:
    if lang == "zh":
        return f"共 {found.comparisons} 次比较，其中最多约 {found.by_chance:.1f} 个班组或个体问题可能出于偶然"
    return (
        f"{found.comparisons} comparisons: about {found.by_chance:.1f} problems of teams or agents may be due to chance"
    )


def _problems_as_json(found: ProblemReport) -> dict[str, Any]:
    return {
        "comparisons": found.comparisons,
        "by_chance": found.by_chance,
        "problems": [{"tenant_id": each.tenant_id, **asdict(each.problem)} for each in found.found],
    }
