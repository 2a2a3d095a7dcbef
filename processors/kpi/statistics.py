"""KPIs as numbers: value and interval from sums over calls, and what two of them say of each other. Pure.

All intervals hold 95 %. An interval answers how far the value would lie off had other calls come; where it is known
which agent took each call, also had other agents like these taken them.

* Groups of agents: the calls of an agent are alike, so agents are clusters. The variance is that of a ratio of sums by
  linearisation (Taylor), with the agent as the unit, times k ÷ (k - 1) (Cochran, Sampling Techniques, 3rd edition 1977,
  section 9A; Cameron and Miller, A practitioner's guide to cluster-robust inference, Journal of Human Resources 50,
  2015). k is the effective number of agents, (Σ denominator)² ÷ Σ denominator², because few have most of the calls
  (Carter, Schnepel and Steigerwald, Asymptotic behavior of a t-test robust to cluster heterogeneity, Review of
  Economics and Statistics 99, 2017), and quantiles are those of the t distribution with k - 1 degrees of freedom.
  Shares and events keep their own limits, with as many calls as would be as uncertain (Korn and Graubard, Confidence
  intervals for proportions with small expected number of positive counts estimated from survey data, Survey
  Methodology 24, 1998). An interval is never narrower than chance among calls makes it.
* Shares of calls: Wilson, Probable inference, the law of succession, and statistical inference, Journal of the American
  Statistical Association 22, 1927.
* Means and ratios of amounts: the delta method (linearisation; Cochran, Sampling Techniques, 3rd edition 1977,
  section 6.4), with the call as the unit, so that several events of one call do not count as independent.
* Events, several of a call: limits of a gamma distribution, those of a Poisson count (Garwood, Fiducial limits for the
  Poisson distribution, Biometrika 28, 1936; by the approximation of Wilson and Hilferty, Proceedings of the National
  Academy of Sciences 17, 1931, exact where none was seen) of as many events as would be as uncertain: the count
  divided by its variance over that of a Poisson count. The delta method is too narrow for few events, and has no width
  for none.
* Shares of events (scripts kept of those asked): Wilson, of as many of them as would be as uncertain (Kish, Survey
  Sampling, 1965: the design effect), because those of one call are alike.
* Rank correlations: Fisher's z with the variance of Bonett and Wright, Sample size requirements for estimating Pearson,
  Kendall and Spearman correlations, Psychometrika 65, 2000.
* Differences of independent values: from the limits of both (MOVER; Newcombe, Interval estimation for the difference
  between independent proportions, Statistics in Medicine 17, 1998, method 10, for shares; Zou and Donner, Construction
  of confidence limits about effect measures, Statistics in Medicine 27, 2008, in general).
* Changes of one group: most agents are the same before and after, so the linearised changes of agents are the units.
* The t distribution: by the approximation of Wallace, Bounds on normal approximations to Student's and the chi-square
  distributions, Annals of Mathematical Statistics 30, 1959.
* Many comparisons: q-values by Benjamini and Hochberg, Controlling the false discovery rate, Journal of the Royal
  Statistical Society B 57, 1995; they hold where comparisons are positively dependent, too (Benjamini and Yekutieli,
  Annals of Statistics 29, 2001).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import atanh, copysign, erfc, exp, log, log1p, sqrt, tanh
from typing import Literal, Self

from schemas.config.kpis.kpi import BOUNDS, BetterWhen, Kpi, KpiUnit

Z95 = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

NO_EVENT_LIMIT = -log(0.025)
"""3.69: were so many events expected, none would be seen in 2.5 % of cases."""

LEAST_OF_CORRELATION = 4
"""Fewer pairs have no interval: its variance divides by n - 3."""

DECIDED_PER_PENDING = 9
"""Nine tenths of the calls must be decided, or nothing is said of a period: those that are decided first, because
customers answered, are not like the others."""

LEAST_AGENTS = 3.0
"""Effective number of agents; from fewer nobody can tell how much agents vary, and no interval is given."""

FALSE_DISCOVERIES = 0.05
"""Share of what is found that may be due to chance."""

TargetStatus = Literal["reached", "missed", "pending", "too_few", "no_target"]
Trend = Literal["better", "worse", "up", "down", "no_clear_change", "too_few_agents", "unknown"]


@dataclass(frozen=True)
class Sums:
    """Sums over the calls that count, of numerator and denominator, their squares and products. They can be added."""

    n: int = 0
    numerator: float = 0.0
    denominator: float = 0.0
    numerator_squares: float = 0.0
    products: float = 0.0
    denominator_squares: float = 0.0
    pending: int = 0
    """Calls that will count, and do not yet."""

    def __add__(self, other: Self) -> "Sums":
        return self._with(other, 1)

    def __sub__(self, other: Self) -> "Sums":
        """What remains when a part is taken out."""
        return self._with(other, -1)

    def _with(self, other: "Sums", sign: int) -> "Sums":
        return Sums(
            self.n + sign * other.n,
            self.numerator + sign * other.numerator,
            self.denominator + sign * other.denominator,
            self.numerator_squares + sign * other.numerator_squares,
            self.products + sign * other.products,
            self.denominator_squares + sign * other.denominator_squares,
            self.pending + sign * other.pending,
        )

    @classmethod
    def of(cls, calls: Iterable[tuple[float, float]]) -> "Sums":
        """The sums of calls, each given as numerator and denominator."""
        found = cls()
        for y, x in calls:
            found += cls(1, y, x, y * y, x * y, x * x)
        return found

    @property
    def is_decided(self) -> bool:
        """Whether so few calls are pending that the value may be told."""
        return self.n >= DECIDED_PER_PENDING * self.pending

    @property
    def residual_variance(self) -> float | None:
        """Mean square of what is left of the calls' numerators when the ratio times the denominator is taken off."""
        if self.n < 2 or self.denominator <= 0:
            return None
        ratio = self.numerator / self.denominator
        return self.residual_squares(ratio) / (self.n - 1)

    def residual_squares(self, ratio: float) -> float:
        """Σ (numerator - ratio · denominator)²."""
        squares = self.numerator_squares - 2 * ratio * self.products + ratio * ratio * self.denominator_squares
        return max(squares, 0.0)


@dataclass(frozen=True)
class CallGroup:
    """Calls of a group together, and those of each of its agents; null where that is not known, or it is one agent."""

    calls: Sums
    agents: Mapping[str, Sums] | None = None

    @property
    def by_agent(self) -> Sums | None:
        """Sums over agents as units: squares and products are those of their sums."""
        if self.agents is None:
            return None
        return Sums.of((each.numerator, each.denominator) for each in self.agents.values() if each.n > 0)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, as shown. Null where there are no calls; limits are null where they cannot be told."""

    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    pending: int = 0
    """Calls that will count. Value and limits are null while they are more than a tenth."""
    too_few_agents: bool = False
    """Limits are null because fewer than `LEAST_AGENTS` have taken the calls."""

    @property
    def is_decided(self) -> bool:
        """Whether so few calls are pending that the value may be told."""
        return self.n >= DECIDED_PER_PENDING * self.pending


@dataclass(frozen=True)
class Difference:
    """A difference of two values with its interval."""

    value: float
    low: float
    high: float
    degrees: float | None = None
    """Degrees of freedom of the t distribution that the limits are of; null: the normal one."""

    @property
    def is_clear(self) -> bool:
        """Zero lies outside of the interval."""
        return self.low > 0 or self.high < 0

    @property
    def chance(self) -> float:
        """How often so large a difference, up or down, comes by chance alone: 0 to 1, by the limit towards zero."""
        half = self.value - self.low if self.value > 0 else self.high - self.value
        if self.value == 0 or half <= 0:
            return 1.0 if self.value == 0 else 0.0
        if self.degrees is None:
            score = Z95 * self.value / half
        else:
            score = normal_score(student95(self.degrees) * self.value / half, self.degrees)
        return erfc(abs(score) / sqrt(2))


def estimate(kpi: Kpi, sums: Sums, by_agent: Sums | None = None) -> Estimate:
    """Value and interval of a KPI from its sums over calls, and over agents as units where these are known."""
    n = sums.n
    if n <= 0 or sums.denominator <= 0 or not sums.is_decided:
        return Estimate(max(n, 0), pending=sums.pending)
    too_few_agents = False
    if kpi.kind == "correlation":
        value = correlation(sums)
        limits = correlation_interval(value, n) if value is not None else None
    else:
        value = sums.numerator / sums.denominator
        spread = agents_spread(by_agent) if by_agent is not None else 0.0
        too_few_agents = spread is None
        limits = None if spread is None else _limits(kpi, sums, spread)
    if value is None:
        return Estimate(n, pending=sums.pending)
    lowest, highest = bounds(kpi.unit)
    low, high = (None, None) if limits is None else (max(limits[0], lowest), min(limits[1], highest))
    return Estimate(
        n,
        value * kpi.scale,
        None if low is None else low * kpi.scale,
        None if high is None else high * kpi.scale,
        sums.pending,
        too_few_agents,
    )


def estimate_group(kpi: Kpi, group: CallGroup) -> Estimate:
    """The same of a group."""
    return estimate(kpi, group.calls, group.by_agent)


def _limits(kpi: Kpi, sums: Sums, agents_spread: float) -> tuple[float, float] | None:
    if kpi.kind == "share":
        ratio = sums.numerator / sums.denominator
        binomial = sums.n * ratio * (1 - ratio)
        n = sums.n / (max(1.0, agents_spread / binomial) if binomial > 0 else 1.0)
        return wilson(ratio * n, n)
    return (
        events_interval(sums, kpi.unit, agents_spread) if kpi.kind == "events" else ratio_interval(sums, agents_spread)
    )


def effective_agents(by_agent: Sums) -> float:
    """With how many agents with as many calls each the group is as uncertain; 0 without calls."""
    return by_agent.denominator**2 / by_agent.denominator_squares if by_agent.denominator_squares > 0 else 0.0


def agents_spread(by_agent: Sums) -> float | None:
    """Variance of the numerator's sum, agents being clusters, as if the normal distribution had the limits of the t
    distribution; null where the agents are too few."""
    agents = effective_agents(by_agent)
    if agents < LEAST_AGENTS:
        return None
    squares = by_agent.residual_squares(by_agent.numerator / by_agent.denominator)
    return agents / (agents - 1) * squares * (student95(agents - 1) / Z95) ** 2


def student95(degrees: float) -> float:
    """The 97.5th percentile of the t distribution; too large by 4 % for 2 degrees of freedom, by 0.5 % for 4."""
    times = (8 * degrees + 3) / (8 * degrees + 1)
    return sqrt(degrees * (exp((Z95 * times) ** 2 / degrees) - 1))


def normal_score(t: float, degrees: float) -> float:
    """The quantile of the normal distribution that is as unlikely as `t` is by the t distribution."""
    times = (8 * degrees + 1) / (8 * degrees + 3)
    return copysign(times * sqrt(degrees * log1p(t * t / degrees)), t)


def bounds(unit: KpiUnit) -> tuple[float, float]:
    """Between which values a KPI can lie at all, before it is scaled."""
    return BOUNDS.get(unit, (0.0, float("inf")))


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Limits of a share."""
    share = successes / n
    square = Z95 * Z95
    middle = share + square / (2 * n)
    half = Z95 * sqrt(max(share * (1 - share), 0.0) / n + square / (4 * n * n))
    return max((middle - half) / (1 + square / n), 0.0), min((middle + half) / (1 + square / n), 1.0)


def ratio_interval(sums: Sums, least_spread: float = 0.0) -> tuple[float, float] | None:
    """Limits of a ratio of sums by the delta method; null for a single call."""
    variance = sums.residual_variance
    if variance is None:
        return None
    value = sums.numerator / sums.denominator
    half = Z95 * sqrt(max(sums.n * variance, least_spread)) / sums.denominator
    return value - half, value + half


def events_interval(sums: Sums, unit: KpiUnit, least_spread: float = 0.0) -> tuple[float, float] | None:
    """Limits of events ÷ denominator, both counts of which a call may have several; null for a single call."""
    variance = sums.residual_variance
    if variance is None:
        return None
    spread = max(sums.n * variance, least_spread)
    ratio = sums.numerator / sums.denominator
    if unit == "share":
        # More even than by chance is chance, too: so limits never narrow where one event more is seen.
        binomial = sums.denominator * ratio * (1 - ratio)
        parts = sums.denominator / (max(1.0, spread / binomial) if binomial > 0 else 1.0)
        return wilson(ratio * parts, parts)
    if sums.numerator <= 0:
        return 0.0, NO_EVENT_LIMIT / sums.denominator
    times_poisson = max(1.0, spread / sums.numerator)
    low, high = gamma_limits(sums.numerator / times_poisson)
    return low * times_poisson / sums.denominator, high * times_poisson / sums.denominator


def gamma_limits(events: float) -> tuple[float, float]:
    """Limits of the expected number of events of which so many were seen; it may be broken, and is more than 0."""

    def quantile(shape: float, z: float) -> float:
        return shape * max(1 - 1 / (9 * shape) + z / (3 * sqrt(shape)), 0.0) ** 3

    return quantile(events, -Z95), quantile(events + 1, Z95)


def correlation(sums: Sums) -> float | None:
    """Pearson's correlation of numerator and denominator; of ranks it is Spearman's. Null where one does not vary."""
    n = sums.n
    y = n * sums.numerator_squares - sums.numerator**2
    x = n * sums.denominator_squares - sums.denominator**2
    if n < 2 or x <= 0 or y <= 0:
        return None
    value = (n * sums.products - sums.numerator * sums.denominator) / sqrt(x * y)
    return max(-1.0, min(1.0, value))


def correlation_interval(value: float, n: int) -> tuple[float, float] | None:
    """Limits of a rank correlation."""
    if n < LEAST_OF_CORRELATION:
        return None
    if abs(value) >= 1:
        return value, value
    half = Z95 * sqrt((1 + value * value / 2) / (n - 3))
    return tanh(atanh(value) - half), tanh(atanh(value) + half)


def difference(after: Estimate, before: Estimate) -> Difference | None:
    """`after` less `before`, of calls that are not the same; null where one of them has no interval."""
    if None in (after.value, after.low, after.high, before.value, before.low, before.high):
        return None
    return _difference(
        (after.value or 0.0, after.low or 0.0, after.high or 0.0),
        (before.value or 0.0, before.low or 0.0, before.high or 0.0),
    )


def difference_of_differences(one: Difference, other: Difference) -> Difference:
    """How much more the one changed than the other."""
    degrees = [each for each in (one.degrees, other.degrees) if each is not None]
    return _difference(
        (one.value, one.low, one.high), (other.value, other.low, other.high), min(degrees) if degrees else None
    )


def _difference(
    one: tuple[float, float, float], other: tuple[float, float, float], degrees: float | None = None
) -> Difference:
    (value, low, high), (other_value, other_low, other_high) = one, other
    change = value - other_value
    return Difference(
        change,
        change - sqrt((value - low) ** 2 + (other_high - other_value) ** 2),
        change + sqrt((high - value) ** 2 + (other_value - other_low) ** 2),
        degrees,
    )


def change(kpi: Kpi, after: CallGroup, before: CallGroup) -> Difference | None:
    """How a group changed; null where a value has no interval, or the agents are too few.

    The limits of both values, as wide as the changes of agents make them: what is the same of an agent before and after
    falls out, and that some have improved and others have not counts.
    """
    found = difference(estimate(kpi, after.calls), estimate(kpi, before.calls))
    if found is None or kpi.kind == "correlation" or after.agents is None or before.agents is None:
        return found
    # Not of both together: few who were replaced, or one who took most calls since, would count as many.
    agents = min(effective_agents(each.by_agent or Sums()) for each in (after, before))
    if agents < LEAST_AGENTS:
        return None
    variances = [each.n * (each.residual_variance or 0.0) / each.denominator**2 for each in (after.calls, before.calls)]
    squares = sum(_linear_change(agent, after, before) ** 2 for agent in after.agents.keys() | before.agents.keys())
    by_agents = agents / (agents - 1) * squares * (student95(agents - 1) / Z95) ** 2
    if by_agents <= sum(variances) or sum(variances) <= 0:
        return found
    wider = sqrt(by_agents / sum(variances))
    below, above = wider * (found.value - found.low), wider * (found.high - found.value)
    return Difference(found.value, found.value - below, found.value + above, agents - 1)


def _linear_change(agent: str, after: CallGroup, before: CallGroup) -> float:
    """By how much the calls of the agent pull the ratio after away from the ratio before."""
    now, was = (
        _residual(group, agent) / group.calls.denominator if group.calls.denominator > 0 else 0.0
        for group in (after, before)
    )
    return now - was


def _residual(group: CallGroup, agent: str) -> float:
    of_agent = (group.agents or {}).get(agent, Sums())
    return of_agent.numerator - group.calls.numerator / group.calls.denominator * of_agent.denominator


def q_values(chances: Sequence[float]) -> list[float]:
    """For each of many comparisons the share of chance findings among all that are at least as unlikely as it is."""
    order = sorted(range(len(chances)), key=lambda place: chances[place], reverse=True)
    found, least = [1.0] * len(chances), 1.0
    for rank, place in zip(range(len(chances), 0, -1), order, strict=True):
        least = min(least, chances[place] * len(chances) / rank)
        found[place] = least
    return found


def target_status(kpi: Kpi, found: Estimate, industry: str | None = None, tenant: str | None = None) -> TargetStatus:
    """Whether the target of the tenant is reached, by the value; nothing is said below the minimum n, or while
    more than a tenth of the calls are pending."""
    target = kpi.target_of(industry, tenant)
    if not found.is_decided:
        return "pending"
    if found.value is None or found.n < kpi.minimum_n:
        return "too_few"
    if target is None:
        return "no_target"
    reached = found.value >= target if kpi.direction == "higher" else found.value <= target
    return "reached" if reached else "missed"


def trend(kpi: Kpi, now: Estimate, before: Estimate, change: Difference | None, q_value: float | None = None) -> Trend:
    """How it changed. Only a difference whose interval leaves out zero is a change, and only where both have enough;
    where it is one of many that were asked for, its q-value decides."""
    if min(now.n, before.n) < kpi.minimum_n or now.value is None or before.value is None:
        return "unknown"
    if change is None:
        return "too_few_agents" if now.too_few_agents or before.too_few_agents else "unknown"
    is_clear = change.is_clear if q_value is None else q_value <= FALSE_DISCOVERIES
    return direction_of(change.value, kpi.direction) if is_clear else "no_clear_change"


def direction_of(change: float, direction: BetterWhen) -> Trend:
    """A clear change as better or worse, where the KPI has a good direction."""
    if direction == "neutral":
        return "up" if change > 0 else "down"
    return "better" if (change > 0) == (direction == "higher") else "worse"
