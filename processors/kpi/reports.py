"""What is said of KPIs: each against its target and the time before (R39–R51), problems of everybody and of individuals
(R64), and before against after a training (R67). Pure: sums in, lines out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from processors.kpi.problems import Key, Problem, problems
from processors.kpi.sql import AGENTS_OF
from processors.kpi.statistics import (
    CallGroup,
    Difference,
    Estimate,
    Sums,
    TargetStatus,
    Trend,
    change,
    difference_of_differences,
    estimate_group,
    q_values,
    target_status,
    trend,
)
from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi

SumsOf = Mapping[tuple[str, Key, str], Sums]
"""Tenant, key of the dimension, KPI → sums."""

AgentsOf = Mapping[tuple[str, Key, str], Mapping[str, Sums]]
"""The same of each agent."""

Grain = Literal["day", "hour"]


@dataclass(frozen=True)
class Period:
    """A stretch of whole days or hours, end exclusive."""

    start: datetime
    end: datetime
    grain: Grain = "day"

    @property
    def before(self) -> "Period":
        """The stretch of the same length that ends where this one starts, by the wall clock of its zone."""
        return Period(self.start - (self.end - self.start), self.start, self.grain)

    @property
    def last_day(self) -> date:
        """The last day that is in it."""
        return (self.end - timedelta(microseconds=1)).date()

    @classmethod
    def days(cls, first: date, last: date, zone: ZoneInfo) -> "Period":
        """Both days included."""
        return cls(
            datetime.combine(first, time(), zone),
            datetime.combine(last + timedelta(days=1), time(), zone),
        )

    @classmethod
    def last(cls, count: int, grain: Grain, now: datetime, zone: ZoneInfo) -> "Period":
        """The last days or hours, with the one that is not over yet."""
        local = now.astimezone(zone)
        if grain == "day":
            return cls.days(local.date() - timedelta(days=count - 1), local.date(), zone)
        hour = local.replace(minute=0, second=0, microsecond=0)
        return cls(hour - timedelta(hours=count - 1), hour + timedelta(hours=1), "hour")


@dataclass(frozen=True)
class KpiLine:
    """A KPI of a group: what it is, whether that is enough, and how it changed.

    `q_value` is that of the change, over all KPIs and groups of the tenant that were asked for together; null where
    nothing can be told of it.
    """

    tenant_id: str
    key: Key
    kpi: Kpi
    found: Estimate
    before: Estimate
    target: float | None
    target_status: TargetStatus
    trend: Trend
    change: Difference | None
    q_value: float | None


def agents_of(sums: SumsOf, dimension: Dimension) -> AgentsOf:
    """The agents of each group of a dimension, from sums of `AGENTS_OF` it. Who changed teams is one agent."""
    columns = DIMENSIONS[AGENTS_OF[dimension]]
    places = [columns.index(column) for column in DIMENSIONS[dimension]]
    agent = columns.index("agent_id")
    found: dict[tuple[str, Key, str], dict[str, Sums]] = {}
    for (tenant, key, kpi), each in sums.items():
        agents = found.setdefault((tenant, tuple(key[place] for place in places), kpi), {})
        name = key[agent] or ""
        agents[name] = agents.get(name, Sums()) + each
    return found


def kpi_lines(
    kpis: Sequence[Kpi],
    sums: SumsOf,
    before: SumsOf,
    industries: Mapping[str, str],
    agents: AgentsOf | None = None,
    agents_before: AgentsOf | None = None,
) -> list[KpiLine]:
    """A line for each group and KPI that a call counts for, in the order of tenants, groups and the registry.

    `agents` are those of the groups, where they are known.
    """
    order = {kpi.id: (place, kpi) for place, kpi in enumerate(kpis)}
    lines = []
    for (tenant, key, kpi_id), each in sums.items():
        kpi = order[kpi_id][1]
        group = (tenant, key, kpi_id)
        now = CallGroup(each, None if agents is None else agents.get(group))
        was = CallGroup(before.get(group, Sums()), None if agents_before is None else agents_before.get(group, {}))
        industry = industries.get(tenant)
        found = estimate_group(kpi, now)
        lines.append(
            KpiLine(
                tenant,
                key,
                kpi,
                found,
                estimate_group(kpi, was),
                kpi.target_of(industry, tenant),
                target_status(kpi, found, industry, tenant),
                "unknown",
                change(kpi, now, was),
                None,
            )
        )
    lines.sort(key=lambda line: (line.tenant_id, [part or "" for part in line.key], order[line.kpi.id][0]))
    return _with_trends(lines)


def _with_trends(lines: Sequence[KpiLine]) -> list[KpiLine]:
    """Those of a tenant are compared together."""
    compared = [line for line in lines if line.change and min(line.found.n, line.before.n) >= line.kpi.minimum_n]
    found = _q_values(((line.tenant_id, line.key, line.kpi.id), line.change.chance) for line in compared if line.change)
    return [
        replace(
            line,
            q_value=(q_value := found.get((line.tenant_id, line.key, line.kpi.id))),
            trend=trend(line.kpi, line.found, line.before, line.change, q_value),
        )
        for line in lines
    ]


def _q_values(chances: Iterable[tuple[tuple[str, Key, str], float]]) -> dict[tuple[str, Key, str], float]:
    """Of what was compared, tenant by tenant."""
    of_tenant: dict[str, list[tuple[tuple[str, Key, str], float]]] = {}
    for name, chance in chances:
        of_tenant.setdefault(name[0], []).append((name, chance))
    found: dict[tuple[str, Key, str], float] = {}
    for compared in of_tenant.values():
        names, values = zip(*compared, strict=True)
        found |= zip(names, q_values(values), strict=True)
    return found


@dataclass(frozen=True)
class TenantProblem:
    """A problem, and whose."""

    tenant_id: str
    kpi: Kpi
    problem: Problem


@dataclass(frozen=True)
class ProblemReport:
    """All problems, and how many comparisons of teams and agents were made."""

    found: tuple[TenantProblem, ...]
    comparisons: int


def problem_report(kpis: Sequence[Kpi], agents: SumsOf, industries: Mapping[str, str]) -> ProblemReport:
    """Problems from the sums of agents by inquiry type (keys: team, agent, inquiry type): common ones first, then
    teams, then individuals, the farthest off first."""
    tenants: dict[str, dict[str, dict[Key, dict[str | None, Sums]]]] = {}
    for (tenant, (team, agent, inquiry_type), kpi_id), sums in agents.items():
        of_kpi = tenants.setdefault(tenant, {}).setdefault(kpi_id, {})
        of_kpi.setdefault((team, agent), {})[inquiry_type] = sums
    by_id = {kpi.id: kpi for kpi in kpis}
    found: list[TenantProblem] = []
    comparisons = 0
    for tenant, of_kpis in tenants.items():
        here = problems([(kpi, of_kpis[kpi.id]) for kpi in kpis if kpi.id in of_kpis], industries.get(tenant), tenant)
        comparisons += here.comparisons
        found += [TenantProblem(tenant, by_id[problem.kpi], problem) for problem in here.found]
    scopes = ("common", "team", "individual")
    found.sort(key=lambda each: (each.tenant_id, scopes.index(each.problem.scope), -each.problem.distance))
    return ProblemReport(tuple(found), comparisons)


@dataclass(frozen=True)
class TrainingLine:
    """A KPI of those who were trained before and after, and of all others of the tenant in the same time.

    `beyond_others` is how much more they changed than the others, and `effect` is told of it alone: what changed for
    everybody is not the training's. Whoever is chosen for a training because of a bad month is better in the next one
    also without it, so even that may be more than the training did.
    """

    tenant_id: str
    kpi: Kpi
    before: Estimate
    after: Estimate
    change: Difference | None
    effect: Trend
    others_before: Estimate
    others_after: Estimate
    beyond_others: Difference | None
    q_value: float | None
    target_status: TargetStatus


def training_lines(
    kpis: Sequence[Kpi],
    before: SumsOf,
    after: SumsOf,
    trained: Iterable[str],
    industries: Mapping[str, str],
) -> list[TrainingLine]:
    """From the sums of agents (keys: team and agent); for each tenant that has one of the trained agents. Who changed
    teams is one agent."""
    names = frozenset(trained)
    was, now = (agents_of(sums, "tenant") for sums in (before, after))
    tenants = sorted({tenant for sums in (before, after) for tenant, key, _ in sums if key[-1] in names})
    lines = []
    for tenant in tenants:
        for kpi in kpis:
            of_trained, of_others = (
                [_part(sums.get((tenant, (), kpi.id), {}), names, inside=inside) for sums in (was, now)]
                for inside in (True, False)
            )
            if not any(group.calls.n for group in of_trained):
                continue
            lines.append(_training_line(tenant, kpi, of_trained, of_others, industries.get(tenant)))
    return _with_effects(lines)


def _training_line(
    tenant: str, kpi: Kpi, of_trained: Sequence[CallGroup], of_others: Sequence[CallGroup], industry: str | None
) -> TrainingLine:
    was, now = (estimate_group(kpi, group) for group in of_trained)
    others_was, others_now = (estimate_group(kpi, group) for group in of_others)
    changed, others_changed = (change(kpi, after, before) for before, after in (of_trained, of_others))
    beyond = difference_of_differences(changed, others_changed) if changed and others_changed else None
    return TrainingLine(
        tenant,
        kpi,
        was,
        now,
        changed,
        "unknown",
        others_was,
        others_now,
        beyond,
        None,
        target_status(kpi, now, industry, tenant),
    )


def _with_effects(lines: Sequence[TrainingLine]) -> list[TrainingLine]:
    """Those of a tenant are compared together."""
    found = _q_values(
        ((line.tenant_id, (), line.kpi.id), line.beyond_others.chance)
        for line in lines
        if line.beyond_others and min(line.before.n, line.after.n) >= line.kpi.minimum_n
    )
    return [
        replace(
            line,
            q_value=(q_value := found.get((line.tenant_id, (), line.kpi.id))),
            effect=_effect(line, q_value),
        )
        for line in lines
    ]


def _effect(line: TrainingLine, q_value: float | None) -> Trend:
    if line.others_before.too_few_agents or line.others_after.too_few_agents:
        return "too_few_agents"
    return trend(line.kpi, line.after, line.before, line.beyond_others, q_value)


def _part(agents: Mapping[str, Sums], trained: frozenset[str], *, inside: bool) -> CallGroup:
    part = {agent: sums for agent, sums in agents.items() if (agent in trained) == inside}
    return CallGroup(sum(part.values(), start=Sums()), part)
