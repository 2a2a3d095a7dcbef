"""What is said of KPIs: each against its target and the time before (R39–R51), problems of everybody and of individuals
(R64), and before against after a training (R67). Pure: sums in, lines out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from processors.kpi.funnel import Key, Problem, problems
from processors.kpi.statistics import (
    Difference,
    Estimate,
    Sums,
    TargetStatus,
    Trend,
    difference,
    difference_of_differences,
    estimate,
    target_status,
    trend,
)
from schemas.config.kpi import Kpi

SumsOf = Mapping[tuple[str, Key, str], Sums]
"""Tenant, key of the dimension, KPI → sums."""

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
    """A KPI of a group: what it is, whether that is enough, and how it changed."""

    tenant_id: str
    key: Key
    kpi: Kpi
    found: Estimate
    before: Estimate
    target: float | None
    target_status: TargetStatus
    trend: Trend
    change: Difference | None


def kpi_lines(kpis: Sequence[Kpi], sums: SumsOf, before: SumsOf, industries: Mapping[str, str]) -> list[KpiLine]:
    """A line for each group and KPI that a call counts for, in the order of tenants, groups and the registry."""
    order = {kpi.id: (place, kpi) for place, kpi in enumerate(kpis)}
    lines = []
    for (tenant, key, kpi_id), each in sums.items():
        kpi = order[kpi_id][1]
        found, earlier = estimate(kpi, each), estimate(kpi, before.get((tenant, key, kpi_id), Sums()))
        industry = industries.get(tenant)
        lines.append(
            KpiLine(
                tenant,
                key,
                kpi,
                found,
                earlier,
                kpi.target_of(industry, tenant),
                target_status(kpi, found, industry, tenant),
                trend(kpi, found, earlier),
                difference(found, earlier),
            )
        )
    return sorted(lines, key=lambda line: (line.tenant_id, [part or "" for part in line.key], order[line.kpi.id][0]))


@dataclass(frozen=True)
class TenantProblem:
    """A problem, and whose."""

    tenant_id: str
    kpi: Kpi
    problem: Problem


@dataclass(frozen=True)
class ProblemReport:
    """All problems, and how many of those of teams and individuals chance alone may make."""

    found: tuple[TenantProblem, ...]
    comparisons: int
    by_chance: float


def problem_report(kpis: Sequence[Kpi], agents: SumsOf, industries: Mapping[str, str]) -> ProblemReport:
    """Problems from the sums of agents: common ones first, then teams, then individuals, the farthest off first."""
    grouped: dict[tuple[str, str], dict[Key, Sums]] = {}
    for (tenant, key, kpi_id), sums in agents.items():
        grouped.setdefault((tenant, kpi_id), {})[key] = sums
    found: list[TenantProblem] = []
    comparisons, by_chance = 0, 0.0
    for kpi in kpis:
        for tenant in sorted({tenant for tenant, kpi_id in grouped if kpi_id == kpi.id}):
            here = problems(kpi, grouped[tenant, kpi.id], industries.get(tenant), tenant)
            comparisons += here.comparisons
            by_chance += here.by_chance
            found += [TenantProblem(tenant, kpi, problem) for problem in here.found]
    scopes = ("common", "team", "individual")
    found.sort(key=lambda each: (each.tenant_id, scopes.index(each.problem.scope), -each.problem.distance))
    return ProblemReport(tuple(found), comparisons, by_chance)


@dataclass(frozen=True)
class TrainingLine:
    """A KPI of those who were trained before and after, and of all others of the tenant in the same time.

    `beyond_others` is how much more they changed than the others. Whoever is chosen for a training because of a bad
    month is better in the next one also without it, so even that may be more than the training did.
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
    target_status: TargetStatus


def training_lines(
    kpis: Sequence[Kpi],
    before: SumsOf,
    after: SumsOf,
    trained: Iterable[str],
    industries: Mapping[str, str],
) -> list[TrainingLine]:
    """From the sums of agents (keys: team and agent); for each tenant that has one of the trained agents."""
    agents = frozenset(trained)
    tenants = sorted({tenant for sums in (before, after) for tenant, key, _ in sums if key[-1] in agents})
    lines = []
    for tenant in tenants:
        for kpi in kpis:
            of_trained, of_others = (
                [_total(sums, tenant, kpi.id, agents, inside=inside) for sums in (before, after)]
                for inside in (True, False)
            )
            if not any(sums.n for sums in of_trained):
                continue
            was, now = (estimate(kpi, sums) for sums in of_trained)
            others_was, others_now = (estimate(kpi, sums) for sums in of_others)
            change, others_change = difference(now, was), difference(others_now, others_was)
            beyond = difference_of_differences(change, others_change) if change and others_change else None
            lines.append(
                TrainingLine(
                    tenant,
                    kpi,
                    was,
                    now,
                    change,
                    trend(kpi, now, was),
                    others_was,
                    others_now,
                    beyond,
                    target_status(kpi, now, industries.get(tenant), tenant),
                )
            )
    return lines


def _total(sums: SumsOf, tenant: str, kpi: str, agents: frozenset[str], *, inside: bool) -> Sums:
    return sum(
        (
            each
            for (owner, key, name), each in sums.items()
            if owner == tenant and name == kpi and (key[-1] in agents) == inside
        ),
        start=Sums(),
    )
