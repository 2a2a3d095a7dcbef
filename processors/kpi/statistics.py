"""KPIs as numbers: value and interval from sums over calls, and what two of them say of each other. Pure.

All intervals hold 95 %.

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
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import atanh, log, sqrt, tanh
from typing import Literal, Self

from schemas.config.kpi import BOUNDS, BetterWhen, Kpi, KpiUnit

Z95 = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

NO_EVENT_LIMIT = -log(0.025)
"""3.69: were so many events expected, none would be seen in 2.5 % of cases."""

LEAST_OF_CORRELATION = 4
"""Fewer pairs have no interval: its variance divides by n - 3."""

DECIDED_PER_PENDING = 9
"""Nine tenths of the calls must be decided, or nothing is said of a period: those that are decided first, because
customers answered, are not like the others."""

TargetStatus = Literal["reached", "missed", "pending", "too_few", "no_target"]
Trend = Literal["better", "worse", "up", "down", "no_clear_change", "unknown"]


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
        squares = self.numerator_squares - 2 * ratio * self.products + ratio * ratio * self.denominator_squares
        return max(squares, 0.0) / (self.n - 1)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, as shown. Null where there are no calls; limits are null where they cannot be told."""

    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    pending: int = 0
    """Calls that will count. Value and limits are null while they are more than a tenth."""

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

    @property
    def is_clear(self) -> bool:
        """Zero lies outside of the interval."""
        return self.low > 0 or self.high < 0


def estimate(kpi: Kpi, sums: Sums) -> Estimate:
    """Value and interval of a KPI from its sums."""
    n = sums.n
    if n <= 0 or sums.denominator <= 0 or not sums.is_decided:
        return Estimate(max(n, 0), pending=sums.pending)
    if kpi.kind == "correlation":
        value = correlation(sums)
        limits = correlation_interval(value, n) if value is not None else None
    else:
        value = sums.numerator / sums.denominator
        if kpi.kind == "share":
            limits = wilson(sums.numerator, n)
        else:
            limits = events_interval(sums, kpi.unit) if kpi.kind == "events" else ratio_interval(sums)
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
    )


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


def ratio_interval(sums: Sums) -> tuple[float, float] | None:
    """Limits of a ratio of sums by the delta method; null for a single call."""
    variance = sums.residual_variance
    if variance is None:
        return None
    value = sums.numerator / sums.denominator
    half = Z95 * sqrt(sums.n * variance) / sums.denominator
    return value - half, value + half


def events_interval(sums: Sums, unit: KpiUnit) -> tuple[float, float] | None:
    """Limits of events ÷ denominator, both counts of which a call may have several; null for a single call."""
    variance = sums.residual_variance
    if variance is None:
        return None
    spread = sums.n * variance
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
    return _difference((one.value, one.low, one.high), (other.value, other.low, other.high))


def _difference(one: tuple[float, float, float], other: tuple[float, float, float]) -> Difference:
    (value, low, high), (other_value, other_low, other_high) = one, other
    change = value - other_value
    return Difference(
        change,
        change - sqrt((value - low) ** 2 + (other_high - other_value) ** 2),
        change + sqrt((high - value) ** 2 + (other_value - other_low) ** 2),
    )


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


def trend(kpi: Kpi, now: Estimate, before: Estimate) -> Trend:
    """How it changed. Only a difference whose interval leaves out zero is a change, and only where both have enough."""
    change = difference(now, before)
    if change is None or min(now.n, before.n) < kpi.minimum_n:
        return "unknown"
    if not change.is_clear:
        return "no_clear_change"
    return direction_of(change.value, kpi.direction)


def direction_of(change: float, direction: BetterWhen) -> Trend:
    """A clear change as better or worse, where the KPI has a good direction."""
    if direction == "neutral":
        return "up" if change > 0 else "down"
    return "better" if (change > 0) == (direction == "higher") else "worse"
