"""`callstream kpi problems`: what is wrong everywhere, in one team, or with one agent."""

from dataclasses import asdict
from typing import Any

import typer

from processors.kpi.own_kpis import kpis_in_force
from processors.kpi.problems import Problem
from processors.kpi.reports import ProblemReport, TenantProblem, problem_report
from processors.kpi.statistics import FALSE_DISCOVERIES, Estimate
from streams.cli.console.options import JsonOption
from streams.cli.kpi.cells import q_cell, value_cell
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
    """Tell shared problems from those of a team or an agent (R64).

    Teams and agents are held against what all others would make of their calls, inquiry type by inquiry type. A
    problem is what chance among calls (of a team: among its agents) does not explain, for all that so many were
    compared.
    """
    from streams.queries.kpis import open_kpis

    report = KpiReport(lang, as_json, tenant)
    period = report.period(last, first, to)
    if period.grain == "hour":
        raise typer.BadParameter("problems are available by day only: write 1d", param_hint="--last")
    chosen = summable(choose_kpis(kpis_in_force(report.settings.kpis_file), kpis, every), named=bool(kpis))
    with open_kpis(report.settings) as store:
        agents = store.sums(chosen, "agent_inquiry_type", "day", period.start, period.end, tenant)
        found = problem_report(chosen, agents, store.industries())
    if as_json:
        report.print_json(period, _problems_as_json(found))
        return
    names = ("tenant", "scope", "agent_team", "agent_id", "kpi", "value", "n", "benchmark", "ratio", "q")
    table = report.table(*names, title=report.title(period))
    for each in found.found:
        table.add_row(*_problem_row(report, each))
    report.print(table, len(found.found) + found.comparisons)
    report.print_comparisons(found.comparisons)


def _problem_row(report: KpiReport, each: TenantProblem) -> list[str]:
    problem, kpi = each.problem, each.kpi
    team, agent = (*problem.key, None, None)[:2]
    return [
        each.tenant_id,
        report.word(problem.scope),
        team or "–",
        agent or "–",
        report.name(kpi),
        value_cell(kpi, problem.found),
        str(problem.found.n),
        value_cell(kpi, Estimate(problem.found.n, problem.benchmark)),
        _ratio_cell(problem),
        q_cell(problem.q_value),
    ]


def _ratio_cell(problem: Problem) -> str:
    if problem.ratio is None or problem.low is None or problem.high is None:
        return "–"
    return f"{problem.ratio:.2f} ({problem.low:.2f} – {problem.high:.2f})"


def _problems_as_json(found: ProblemReport) -> dict[str, Any]:
    return {
        "comparisons": found.comparisons,
        "false_discovery_rate": FALSE_DISCOVERIES,
        "problems": [{"tenant_id": each.tenant_id, **asdict(each.problem)} for each in found.found],
    }
