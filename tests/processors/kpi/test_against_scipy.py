"""Intervals, tails and limits against scipy, on whatever hypothesis thinks of."""

from collections.abc import Callable
from math import inf, isclose

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import mstats

from processors.kpi.funnel import CHANCE, DRAWN_IN, EXACT_UP_TO, LEAST_GROUPS, Z998, funnel_limits, over_dispersion
from processors.kpi.statistics import (
    NO_EVENT_LIMIT,
    Z95,
    Estimate,
    Sums,
    correlation,
    correlation_interval,
    difference,
    estimate,
    gamma_limits,
    ratio_interval,
    wilson,
)
from processors.kpi.surges import MEDIAN_VARIANCE, predicted_tail
from schemas.config.kpi import CallRatio
from tests.processors.kpi.test_statistics import EVENTS, PARTS, SHARE, a_kpi

COUNTS = a_kpi(kind="events", unit="per_100_calls", direction="lower", target=None, ratio=CallRatio(numerator="x"))
VALUES = st.lists(st.floats(-1e4, 1e4).map(lambda value: round(value, 3)), min_size=2, max_size=60)


@st.composite
def successes(draw: st.DrawFn, most: int = 100_000) -> tuple[int, int]:
    """How many of how many."""
    n = draw(st.integers(1, most))
    return draw(st.integers(0, n)), n


def test_constants_are_quantiles() -> None:
    assert pytest.approx(stats.norm.ppf(0.975), rel=1e-15) == Z95
    assert pytest.approx(stats.norm.ppf(1 - CHANCE), rel=1e-13) == Z998
    # Garwood: the upper limit of a count of 0 is half of a chi-squared quantile with two degrees of freedom.
    assert pytest.approx(stats.chi2.ppf(0.975, 2) / 2, rel=1e-12) == NO_EVENT_LIMIT


@given(successes())
@example((0, 1))
@example((1, 1))
def test_limits_of_a_share_are_those_of_wilson(found: tuple[int, int]) -> None:
    count, n = found
    reference = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    assert wilson(count, n) == pytest.approx((reference.low, reference.high), rel=1e-9, abs=1e-12)


@given(successes(1_000), successes(1_000))
def test_a_difference_of_shares_has_the_limits_of_newcombe(one: tuple[int, int], other: tuple[int, int]) -> None:
    def shown(count: int, n: int) -> tuple[Estimate, float, float, float]:
        limits = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
        return estimate(SHARE, Sums(n, count, n, count, count, n)), count / n, limits.low, limits.high

    (after, p1, low1, high1), (before, p2, low2, high2) = shown(*one), shown(*other)
    found = difference(after, before)
    assert found is not None
    below, above = np.hypot(p1 - low1, high2 - p2), np.hypot(high1 - p1, p2 - low2)
    assert (found.low, found.high) == pytest.approx((p1 - p2 - below, p1 - p2 + above), abs=1e-9)
    assert found.low <= found.value <= found.high


@given(VALUES)
def test_limits_of_a_mean_are_those_of_its_standard_error(values: list[float]) -> None:
    found = ratio_interval(Sums.of((value, 1) for value in values))
    mean, error = np.mean(values), stats.sem(values)
    # Sums of squares lose digits where the spread is small against the values.
    assert found == pytest.approx((mean - Z95 * error, mean + Z95 * error), rel=1e-6, abs=1e-3)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 100)), min_size=2, max_size=60))
def test_limits_of_a_ratio_are_those_of_its_residuals(calls: list[tuple[float, float]]) -> None:
    y, x = (np.array(values) for values in zip(*calls, strict=True))
    ratio = y.sum() / x.sum()
    # Residuals sum to 0, so this is the delta method: their standard error over the mean of the denominator.
    half = Z95 * stats.sem(y - ratio * x) / x.mean()
    assert ratio_interval(Sums.of(calls)) == pytest.approx((ratio - half, ratio + half), rel=1e-6, abs=1e-4 / x.mean())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=80))
def test_ranks_give_the_correlation_of_spearman(pairs: list[tuple[int, int]]) -> None:
    y, x = zip(*pairs, strict=True)
    found = correlation(Sums.of(zip(stats.rankdata(y), stats.rankdata(x), strict=True)))
    if len(set(y)) == 1 or len(set(x)) == 1:
        assert found is None
        return
    assert found == pytest.approx(stats.spearmanr(y, x).statistic, abs=1e-9)
    assert found is not None
    limits = correlation_interval(found, len(pairs))
    assert limits is not None
    if abs(found) < 1 - 1e-9:
        # Bonett and Wright: that of Pearson's correlation, whose variance is 1 / (n - 3), wider by 1 + r² / 2.
        half = stats.norm.ppf(0.975) * np.sqrt((1 + found**2 / 2) / (len(pairs) - 3))
        assert np.arctanh(limits) == pytest.approx(np.arctanh(found) + np.array([-half, half]), abs=1e-6)


@given(st.integers(2, 200), st.floats(0.5, 1e6))
def test_no_event_and_nothing_but_events_have_the_limit_of_a_count_and_of_a_share(n: int, denominator: float) -> None:
    limit = stats.chi2.ppf(0.975, 2) / 2 / denominator
    nothing = Sums(n, 0, denominator, 0, 0, denominator**2)
    assert estimate(EVENTS, nothing).high == pytest.approx(100 * limit)
    everything = Sums(n, denominator, denominator, denominator**2, denominator**2, denominator**2)
    assert estimate(PARTS, everything).low == pytest.approx(1 / (1 + Z95**2 / denominator))


@given(st.floats(1, 10_000))
def test_limits_of_an_expected_number_of_events_are_those_of_the_gamma_distribution(events: float) -> None:
    low, high = gamma_limits(events)
    assert low == pytest.approx(stats.gamma.ppf(0.025, events), abs=0.02)
    assert high == pytest.approx(stats.gamma.ppf(0.975, events + 1), rel=0.002)


@pytest.mark.parametrize("of_one_call", [1, 3], ids=["one of a call", "three of a call"])
@pytest.mark.parametrize("expected", [1, 3, 10, 40])
def test_the_interval_of_rare_events_holds_what_it_promises(expected: float, of_one_call: int) -> None:
    """By the delta method it was 83 % of three events that come alone, and 84 % of ten that come in threes."""
    numbers = np.random.default_rng(11)
    held = 0
    for _ in range(2_000):
        calls = numbers.poisson(expected / of_one_call / 400, 400) * float(of_one_call)
        found = estimate(EVENTS, Sums(400, calls.sum(), 400, (calls**2).sum(), calls.sum(), 400))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= expected / 4 <= found.high
    assert held / 2_000 >= 0.94


@given(st.integers(0, 3_000), st.floats(1, 2_000), st.integers(2, 12), st.floats(1, 8))
@example(0, 1.0, 4, 1.0)
@example(2_000, 2_000.0, 2, 1.0)
def test_the_tail_of_a_negative_binomial_distribution(count: int, mean: float, weeks: int, times: float) -> None:
    variance = times * mean * (1 + MEDIAN_VARIANCE / weeks)
    size = mean * mean / (variance - mean)
    reference = float(stats.nbinom.sf(count - 1, size, size / (size + mean)))
    assert isclose(predicted_tail(count, mean, weeks, times), reference, rel_tol=1e-6, abs_tol=1e-250)


def interpolated(cdf: Callable[[float], float], ppf: Callable[[float], float], probability: float) -> float:
    """The quantile of Spiegelhalter (2005, section A.1.1)."""
    count = ppf(probability)
    below, upto = cdf(count - 1), cdf(count)
    return max(count - (upto - probability) / (upto - below), 0.0)


@given(st.integers(1, 999), st.integers(1, EXACT_UP_TO))
def test_funnel_limits_of_shares_are_quantiles_of_the_binomial_distribution(permille: int, n: int) -> None:
    whole = Sums(100_000, 100 * permille, 100_000, 100 * permille, 100 * permille, 100_000)
    found = funnel_limits(SHARE, whole, Sums(n, 0, n, 0, 0, n))
    chance = stats.binom(n, permille / 1_000)
    expected = [interpolated(chance.cdf, chance.ppf, each) / n for each in (CHANCE, 1 - CHANCE)]
    assert found == pytest.approx((max(expected[0], 0), min(expected[1], 1)), abs=1e-6)


@given(st.integers(1, 200), st.integers(2, 2_000))
def test_funnel_limits_of_rare_events_are_quantiles_of_the_poisson_distribution(events: int, n: int) -> None:
    """Events of which no call has two: their variance is nearly their mean."""
    calls = 1_000_000
    whole = Sums(calls, events, calls, events, events, calls)
    found = funnel_limits(COUNTS, whole, Sums(n, 0, n, 0, 0, n))
    mean = events / calls * n
    variance = n * whole.residual_variance if whole.residual_variance else inf
    times = variance / mean
    chance = stats.poisson(mean / times)
    expected = [times * interpolated(chance.cdf, chance.ppf, each) / n for each in (CHANCE, 1 - CHANCE)]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.lists(st.floats(-50, 50), min_size=LEAST_GROUPS, max_size=200))
def test_over_dispersion_is_the_mean_square_with_the_ends_drawn_in(scores: list[float]) -> None:
    drawn_in = mstats.winsorize(np.array(scores), limits=(DRAWN_IN, DRAWN_IN))
    assert over_dispersion(scores) == pytest.approx(max(1.0, float(np.mean(np.square(drawn_in)))))
