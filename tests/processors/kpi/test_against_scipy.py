"""Intervals, tails and limits against scipy, on whatever hypothesis thinks of."""

from math import isclose

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from processors.kpi.problems import MEDIAN_DEVIATION, variation
from processors.kpi.reports import SumsOf, training_lines
from processors.kpi.statistics import (
    NO_EVENT_LIMIT,
    Z95,
    CallGroup,
    Estimate,
    Sums,
    correlation,
    correlation_interval,
    difference,
    estimate,
    estimate_group,
    gamma_limits,
    normal_score,
    q_values,
    ratio_interval,
    student95,
    wilson,
)
from processors.kpi.surges import MEDIAN_VARIANCE, predicted_tail
from schemas.config.kpis.kpi import Kpi
from tests.processors.kpi.test_statistics import EVENTS, MEAN, PARTS, SHARE, a_kpi
from tests.support.kpi_calls import slow_answers

VALUES = st.lists(st.floats(-1e4, 1e4).map(lambda value: round(value, 3)), min_size=2, max_size=60)


@st.composite
def successes(draw: st.DrawFn, most: int = 100_000) -> tuple[int, int]:
    """How many of how many."""
    n = draw(st.integers(1, most))
    return draw(st.integers(0, n)), n


def test_constants_are_quantiles() -> None:
    assert pytest.approx(stats.norm.ppf(0.975), rel=1e-15) == Z95
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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_q_values_are_those_of_scipy(chances: list[float]) -> None:
    assert q_values(chances) == pytest.approx(stats.false_discovery_control(chances))


@given(st.floats(2, 500), st.floats(-12, 12))
def test_quantiles_and_scores_of_the_t_distribution(degrees: float, t: float) -> None:
    exact = stats.t.ppf(0.975, degrees)
    assert exact * 0.999 <= student95(degrees) <= exact * (1.045 if degrees < 4 else 1.01)
    score = stats.norm.isf(stats.t.sf(abs(t), degrees))
    # Of two degrees of freedom, the fewest that are asked for, the approximation is 3.04 % too small at t = 12.
    assert abs(normal_score(t, degrees)) == pytest.approx(score, rel=0.031 if degrees < 3 else 0.03, abs=0.02)


@given(st.lists(st.floats(-50, 50), min_size=10, max_size=200))
def test_variation_makes_the_median_deviation_what_chance_would(scores: list[float]) -> None:
    extra = variation(scores, [100.0] * len(scores))
    deviation = stats.median_abs_deviation(np.array(scores) / np.sqrt(1 + 100 * extra))
    assert pytest.approx(stats.norm.ppf(0.75), rel=1e-12) == MEDIAN_DEVIATION
    assert deviation <= MEDIAN_DEVIATION * (1 + 1e-6)
    assert extra == 0 or deviation == pytest.approx(MEDIAN_DEVIATION, rel=1e-4)


# --- simulations: calls of an agent are alike


def clustered(
    numbers: np.random.Generator, agents: int, calls: int, design_effect: float, kind: str
) -> dict[str, Sums]:
    """Agents with about so many calls each, a few with many and many with few."""
    alike = (design_effect - 1) / (calls - 1)
    found = {}
    for agent in range(agents):
        n = max(20, int(numbers.lognormal(np.log(calls), 0.4)))
        if kind == "mean":
            values = 70 + 15 * np.sqrt(alike) * numbers.normal() + numbers.normal(0, 15 * np.sqrt(1 - alike), n)
        else:
            chance = numbers.beta(0.8 * (1 / alike - 1), 0.2 * (1 / alike - 1))
            values = numbers.binomial(1, chance, n).astype(float)
        found[f"a{agent}"] = Sums(n, float(values.sum()), n, float((values**2).sum()), float(values.sum()), n)
    return found


@pytest.mark.parametrize(
    ("agents", "design_effect", "kind", "kpi", "truth"),
    [
        pytest.param(5, 12, "share", SHARE, 0.8, id="a share of five agents"),
        pytest.param(15, 5, "share", SHARE, 0.8, id="a share of fifteen"),
        pytest.param(15, 12, "share", SHARE, 0.8, id="a share of fifteen who differ much"),
        pytest.param(15, 12, "mean", MEAN, 70, id="a mean"),
    ],
)
def test_intervals_of_teams_hold_what_they_promise(
    agents: int, design_effect: float, kind: str, kpi: Kpi, truth: float
) -> None:
    """By calls alone they held the truth in 38 to 57 % of cases."""
    numbers = np.random.default_rng(5)
    held = by_calls = told = 0
    for _ in range(1_000):
        of_agents = clustered(numbers, agents, 100, design_effect, kind)
        group = CallGroup(sum(of_agents.values(), start=Sums()), of_agents)
        found, alone = estimate_group(kpi, group), estimate(kpi, group.calls)
        by_calls += (alone.low or 0) <= truth <= (alone.high or 0)
        if found.low is not None and found.high is not None:
            told += 1
            held += found.low <= truth <= found.high
    assert told >= 990
    assert held / told >= 0.93
    assert by_calls / 1_000 < 0.7


def test_the_interval_of_a_percentile_of_answers_holds_what_it_promises() -> None:
    """Calls with up to thirty answers each, slow agents in some, quick ones in others."""
    numbers = np.random.default_rng(2)

    def calls(count: int) -> list[list[int]]:
        sizes = numbers.integers(1, 30, count)
        return [
            np.exp(6.7 + numbers.normal(0, 0.5) + numbers.normal(0, 0.5, size)).astype(int).tolist() for size in sizes
        ]

    percentile = a_kpi(kind="mean", unit="ms", direction="lower", target=None)
    truth = float(np.quantile(np.concatenate(calls(20_000)), 0.9))
    found = [estimate(percentile, Sums.of(slow_answers(calls(150)))) for _ in range(300)]
    assert all(each.value == pytest.approx(truth, rel=0.35) for each in found)
    assert sum((each.low or 0) <= truth <= (each.high or 0) for each in found) / 300 >= 0.93


def of_team(agents: dict[str, Sums]) -> SumsOf:
    return {("acme", ("team", agent), "kept"): sums for agent, sums in agents.items()}


@pytest.mark.parametrize("design_effect", [5, 12])
@pytest.mark.parametrize("trained", [4, 10])
def test_trainings_that_do_nothing_rarely_have_an_effect(trained: int, design_effect: float) -> None:
    """Agents change from month to month each in their own way, which makes their calls alike."""
    numbers = np.random.default_rng(37)
    false = 0
    runs = 400
    for _ in range(runs):
        before, after = (of_team(clustered(numbers, trained + 15, 100, design_effect, "share")) for _ in range(2))
        (line,) = training_lines([SHARE], before, after, [f"a{number}" for number in range(trained)], {})
        false += line.effect in ("better", "worse")
    assert false / runs <= 0.06
