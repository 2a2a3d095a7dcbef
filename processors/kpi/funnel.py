"""Common and individual problems (R64): funnel-plot limits, agent against team, team against tenant. Pure.

How far a group may lie from the value of all by chance depends on how many calls it has. Limits are those of
Spiegelhalter, Funnel plots for comparing institutional performance, Statistics in Medicine 24, 2005: exact and
interpolated for shares of calls; for counts of events the same of a Poisson distribution that is stretched to the
variance that calls have; normal otherwise. Where groups vary more than by chance alone all limits are widened by the
multiplicative over-dispersion of the same paper (section A.2), with a tenth of the groups at each end drawn in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt
from typing import Literal

from processors.kpi.statistics import Estimate, Sums, bounds, estimate, target_status
from schemas.config.kpi import Kpi

Z998 = 3.090232306167813
"""The 99.9th percentile of the normal distribution: limits that one group of 500 leaves by chance."""

CHANCE = 0.001
"""To lie beyond one of the two limits, were there no difference."""

LEAST_GROUPS = 10
"""From fewer groups over-dispersion cannot be told from one that is different."""

DRAWN_IN = 0.1
"""Share of the groups at each end that are drawn in to the next one when over-dispersion is estimated."""

EXACT_UP_TO = 5_000
"""Calls or events; above, the normal distribution differs from the exact one by less than anybody reads."""

FunnelPosition = Literal["better", "worse", "within", "too_few"]
ProblemScope = Literal["common", "team", "individual"]
Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Placement:
    """Where a group lies in the funnel. `distance` is in standard deviations, positive where it is worse."""

    key: Key
    found: Estimate
    place: FunnelPosition
    low: float | None = None
    high: float | None = None
    distance: float = 0.0


@dataclass(frozen=True)
class Problem:
    """A KPI that is bad: of everybody, of a team or of an agent. `benchmark` is what it was held against."""

    kpi: str
    scope: ProblemScope
    key: Key
    found: Estimate
    benchmark: float | None
    low: float | None = None
    high: float | None = None
    distance: float = 0.0
    missing_share: float | None = None
    """Of a common problem: the share of agents with enough calls who miss the target; null where nobody has enough."""


@dataclass(frozen=True)
class Problems:
    """What was found, and how many comparisons it took: one in a thousand finds something where nothing is."""

    found: tuple[Problem, ...]
    comparisons: int

    @property
    def by_chance(self) -> float:
        """So many of the problems of teams and individuals are to be expected by chance at most."""
        return self.comparisons * CHANCE


def funnel(kpi: Kpi, whole: Sums, groups: Mapping[Key, Sums]) -> list[Placement]:
    """Each group against the whole, the worst first. Groups below the minimum n are too few."""
    enough = {
        key: sums
        for key, sums in groups.items()
        if sums.n >= kpi.minimum_n and sums.denominator > 0 and sums.is_decided and whole.is_decided
    }
    stretch = over_dispersion([score for sums in enough.values() if (score := _z(whole, sums)) is not None])
    placements = []
    for key, sums in groups.items():
        found = estimate(kpi, sums)
        limits = funnel_limits(kpi, whole, sums, stretch) if key in enough else None
        if limits is None or found.value is None:
            placements.append(Placement(key, found, "too_few"))
            continue
        low, high = limits
        distance = (_z(whole, sums) or 0.0) / sqrt(stretch) * (-1 if kpi.direction == "higher" else 1)
        outside = found.value < low or found.value > high
        place: FunnelPosition = "within" if not outside else "worse" if distance > 0 else "better"
        placements.append(Placement(key, found, place, low, high, distance))
    return sorted(placements, key=lambda each: (-each.distance, [part or "" for part in each.key]))


def funnel_limits(kpi: Kpi, whole: Sums, group: Sums, stretch: float = 1.0) -> tuple[float, float] | None:
    """Between which values, as shown, a group of that size lies in 99.8 % of cases if it is like the whole."""
    if whole.residual_variance is None or group.denominator <= 0:
        return None
    ratio = whole.numerator / whole.denominator
    low, high = _limits(kpi, ratio, whole.residual_variance, group, stretch)
    lowest, highest = bounds(kpi.unit)
    return max(low, lowest) * kpi.scale, min(high, highest) * kpi.scale


def _limits(kpi: Kpi, ratio: float, variance: float, group: Sums, stretch: float) -> tuple[float, float]:
    if kpi.kind == "share" and stretch == 1.0 and 0 < ratio < 1 and group.n <= EXACT_UP_TO:
        return _exact_share(ratio, group.n)
    if kpi.kind == "events" and ratio > 0 and variance > 0:
        # The rarer of event and no event is the count, because the other has no skew to speak of.
        mirrored = kpi.unit == "share" and ratio > 0.5
        rare = (1 - ratio if mirrored else ratio) * group.denominator
        spread = variance * group.n * stretch
        if rare > 0 and rare * rare / spread <= EXACT_UP_TO:
            low, high = (limit / group.denominator for limit in _exact_count(rare, spread))
            return (1 - high, 1 - low) if mirrored else (low, high)
    half = Z998 * sqrt(variance * group.n * stretch) / group.denominator
    return ratio - half, ratio + half


def _exact_share(ratio: float, n: int) -> tuple[float, float]:
    logarithm = lgamma(n + 1)

    def chance(count: int) -> float:
        return exp(
            logarithm - lgamma(count + 1) - lgamma(n - count + 1) + count * log(ratio) + (n - count) * log(1 - ratio)
        )

    return _quantile(chance, CHANCE, n) / n, _quantile(chance, 1 - CHANCE, n) / n


def _exact_count(mean: float, variance: float) -> tuple[float, float]:
    """Limits of a count whose variance is that of a Poisson count times variance ÷ mean."""
    times = variance / mean
    expected = mean / times

    def chance(count: int) -> float:
        return exp(count * log(expected) - expected - lgamma(count + 1))

    most = int(expected + 20 * sqrt(expected) + 50)
    return times * _quantile(chance, CHANCE, most), times * _quantile(chance, 1 - CHANCE, most)


def _quantile(chance: Callable[[int], float], probability: float, most: int) -> float:
    """The interpolated quantile of Spiegelhalter (2005, section A.1.1), at least 0."""
    below = 0.0
    for count in range(most + 1):
        at = chance(count)
        if below + at >= probability:
            return max(count - (below + at - probability) / at, 0.0)
        below += at
    return float(most)


def over_dispersion(scores: Sequence[float]) -> float:
    """By how much groups vary more than by chance: 1 where they do not, or are too few to tell."""
    if len(scores) < LEAST_GROUPS:
        return 1.0
    ordered = sorted(scores)
    ends = int(len(ordered) * DRAWN_IN)
    low, high = ordered[ends], ordered[-1 - ends]
    return max(1.0, sum(min(max(score, low), high) ** 2 for score in ordered) / len(ordered))


def _z(whole: Sums, group: Sums) -> float | None:
    """How many standard deviations the group lies above the whole."""
    variance = whole.residual_variance
    if not variance or group.n <= 0 or group.denominator <= 0:
        return None
    ratio = whole.numerator / whole.denominator
    return (group.numerator - ratio * group.denominator) / sqrt(variance * group.n)


def problems(
    kpi: Kpi, agents: Mapping[Key, Sums], industry: str | None = None, tenant_id: str | None = None
) -> Problems:
    """Whether a KPI is bad for everybody, for a team, or for an agent. `agents` are keyed by team and agent; industry
    and tenant say which target counts.

    A common problem is a target that the tenant clearly misses (it lies outside of the interval, or is the end of the
    scale) and that half of the agents with enough calls miss, too. An individual one lies beyond the limits in the
    funnel of its team, or of the tenant where the team has nobody to compare with. One of a team lies beyond those of
    the tenant also without its individual ones. What is neither good nor bad, and correlations, have no problems.
    """
    if kpi.direction == "neutral" or kpi.kind == "correlation":
        return Problems((), 0)
    tenant = _total(agents.values())
    teams: dict[str | None, dict[Key, Sums]] = {}
    for key, sums in agents.items():
        teams.setdefault(key[0], {})[key] = sums
    found: list[Problem] = []
    common = _common(kpi, tenant, agents, industry, tenant_id)
    if common is not None:
        found.append(common)
    individual: list[Problem] = []
    comparisons = 0
    for team, members in teams.items():
        own = team is not None and sum(sums.n >= kpi.minimum_n for sums in members.values()) > 1
        whole = _total(members.values()) if own else tenant
        placements = funnel(kpi, whole, members)
        comparisons += _compared(placements)
        individual += _worse(kpi, "individual", placements, estimate(kpi, whole).value)
    # One agent who is far off must not make a problem of the team.
    off = {each.key for each in individual}
    rest: dict[Key, Sums] = {
        (team,): _total(sums for key, sums in members.items() if key not in off)
        for team, members in teams.items()
        if team is not None
    }
    if len(rest) > 1:
        placements = funnel(kpi, tenant, rest)
        comparisons += _compared(placements)
        found += _worse(kpi, "team", placements, estimate(kpi, tenant).value)
    return Problems((*found, *individual), comparisons)


def _common(
    kpi: Kpi, tenant: Sums, agents: Mapping[Key, Sums], industry: str | None, tenant_id: str | None
) -> Problem | None:
    whole = estimate(kpi, tenant)
    target = kpi.target_of(industry, tenant_id)
    if target is None or whole.low is None or whole.high is None:
        return None
    if target_status(kpi, whole, industry, tenant_id) != "missed":
        return None
    lowest, highest = (bound * kpi.scale for bound in bounds(kpi.unit))
    if target not in (lowest, highest) and whole.low <= target <= whole.high:
        return None
    verdicts = [target_status(kpi, estimate(kpi, sums), industry, tenant_id) for sums in agents.values()]
    judged = [each for each in verdicts if each in ("reached", "missed")]
    missing = sum(each == "missed" for each in judged)
    if 2 * missing < len(judged):
        return None
    return Problem(kpi.id, "common", (), whole, target, missing_share=missing / len(judged) if judged else None)


def _worse(
    kpi: Kpi, scope: ProblemScope, placements: Iterable[Placement], benchmark: float | None
) -> Iterable[Problem]:
    return [
        Problem(kpi.id, scope, each.key, each.found, benchmark, each.low, each.high, each.distance)
        for each in placements
        if each.place == "worse"
    ]


def _compared(placements: Iterable[Placement]) -> int:
    return sum(each.place != "too_few" for each in placements)


def _total(sums: Iterable[Sums]) -> Sums:
    return sum(sums, start=Sums())
