"""Common and individual problems by funnel plots (R64)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import comb, exp, factorial

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.kpi.funnel import CHANCE, Key, funnel, funnel_limits, over_dispersion, problems
from processors.kpi.statistics import Sums
from schemas.config.kpi import CallRatio, Kpi
from tests.processors.kpi.test_statistics import EVENTS, MEAN, PARTS, RANKS, SHARE, a_kpi, calls

COUNTS = a_kpi(kind="events", unit="per_100_calls", direction="lower", target=None, ratio=CallRatio(numerator="x"))


def interpolated(chances: Sequence[float], probability: float) -> float:
    """The quantile as the paper defines it, from all chances at once."""
    below = [sum(chances[: count + 1]) for count in range(len(chances))]
    count = next(count for count, chance in enumerate(below) if chance >= probability)
    return max(count - (below[count] - probability) / chances[count], 0.0)


@pytest.mark.parametrize(
    ("percent", "n"),
    [pytest.param(10, 100, id="rare"), pytest.param(50, 40, id="even"), pytest.param(97, 60, id="nearly always")],
)
def test_limits_of_a_share_are_those_of_the_binomial_distribution(percent: int, n: int) -> None:
    share = percent / 100
    chances = [comb(n, count) * share**count * (1 - share) ** (n - count) for count in range(n + 1)]
    expected = tuple(interpolated(chances, chance) / n for chance in (CHANCE, 1 - CHANCE))
    assert funnel_limits(SHARE, calls(percent * 100, 10_000), calls(0, n)) == pytest.approx(expected, abs=1e-9)


def test_limits_of_independent_events_are_those_of_the_poisson_distribution() -> None:
    """One event in a hundred calls, never two in one: a variance of 0.99 of the mean."""
    whole, group = calls(100, 10_000), calls(0, 200)
    chances = [exp(-2 / 0.99) * (2 / 0.99) ** count / factorial(count) for count in range(60)]
    expected = tuple(0.99 * interpolated(chances, chance) / 200 for chance in (CHANCE, 1 - CHANCE))
    assert funnel_limits(COUNTS, whole, group) == pytest.approx(expected, rel=1e-3)


def test_limits_of_a_nearly_full_share_of_parts_mirror_those_of_what_is_missing() -> None:
    whole = Sums.of([(4, 4)] * 90 + [(3, 4)] * 10)
    group = Sums.of([(4, 4)] * 30)
    missing = Sums.of([(0, 4)] * 90 + [(1, 4)] * 10)
    found, mirrored = (funnel_limits(PARTS, each, group) for each in (whole, missing))
    assert found is not None
    assert mirrored is not None
    assert found == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))
    assert found[1] == 1


def test_limits_of_a_mean_narrow_with_the_root_of_the_calls() -> None:
    whole = Sums.of([(40, 1), (60, 1)] * 500)
    wide, narrow = (funnel_limits(MEAN, whole, Sums.of([(50, 1)] * n)) for n in (30, 120))
    assert wide is not None
    assert narrow is not None
    assert (narrow[1] - narrow[0]) == pytest.approx((wide[1] - wide[0]) / 2)
    assert sum(narrow) / 2 == pytest.approx(50)


@pytest.mark.parametrize("kpi", [SHARE, COUNTS, MEAN], ids=["share", "events", "mean"])
def test_agents_who_are_alike_rarely_leave_the_limits(kpi: Kpi) -> None:
    """4,000 agents without any difference between them: about two in a thousand may lie outside."""
    random = np.random.default_rng(5)
    agents: dict[Key, Sums] = {}
    for number in range(4_000):
        n = int(random.integers(30, 400))
        values: NDArray[np.float64]
        if kpi is SHARE:
            values = random.binomial(1, 0.9, n).astype(np.float64)
        elif kpi is COUNTS:
            values = (random.binomial(1, 0.03, n) * random.integers(1, 4, n)).astype(np.float64)
        else:
            values = random.normal(70, 15, n)
        agents["team", f"A{number}"] = Sums(n, float(values.sum()), n, float((values**2).sum()), float(values.sum()), n)
    places = Counter(each.place for each in funnel(kpi, sum(agents.values(), start=Sums()), agents))
    assert places["worse"] + places["better"] <= 20
    assert places["within"] >= 3_980


def test_over_dispersion_widens_limits_only_where_many_groups_vary() -> None:
    assert over_dispersion([5.0] * 9) == 1
    assert over_dispersion([0.5, -0.5] * 20) == 1
    assert over_dispersion([2.0, -2.0] * 20) == 4
    assert over_dispersion([0.1] * 19 + [50.0]) == 1


def test_agents_who_all_differ_are_not_all_outliers() -> None:
    agents: dict[Key, Sums] = {
        ("team", f"A{n}"): calls(successes, 500) for n, successes in enumerate(range(300, 460, 8))
    }
    whole = sum(agents.values(), start=Sums())
    places = Counter(each.place for each in funnel(SHARE, whole, agents))
    assert places["worse"] + places["better"] == 0


def team(name: str, *shares: tuple[int, int]) -> dict[Key, Sums]:
    """Agents of a team, each by how many of its calls are good."""
    return {(name, f"{name}{number}"): calls(*share) for number, share in enumerate(shares)}


GOOD = (190, 200)
BAD = (110, 200)


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        pytest.param(team("a", GOOD, GOOD, GOOD) | team("b", GOOD, GOOD), [], id="nobody is bad"),
        pytest.param(
            team("a", GOOD, BAD, GOOD, GOOD) | team("b", GOOD, GOOD, GOOD, GOOD),
            [("individual", ("a", "a1"))],
            id="one agent is far off the team",
        ),
        pytest.param(
            team("a", BAD, BAD, BAD) | team("b", GOOD, GOOD, GOOD, GOOD, GOOD, GOOD),
            [("team", ("a",))],
            id="a team is off the tenant, its agents are alike",
        ),
        pytest.param(
            team("a", BAD, BAD, BAD, (20, 200)) | team("b", GOOD, GOOD, GOOD, GOOD, GOOD, GOOD),
            [("team", ("a",)), ("individual", ("a", "a3"))],
            id="a team is off the tenant, and one of its agents off the team",
        ),
        pytest.param(
            team("a", BAD, BAD, BAD) | team("b", BAD, BAD, BAD),
            [("common", ())],
            id="everybody misses the target alike",
        ),
        pytest.param(
            {("a", "alone"): calls(*BAD), **team("b", GOOD, GOOD, GOOD, GOOD)},
            [("individual", ("a", "alone"))],
            id="who is alone in a team is held against the tenant",
        ),
        pytest.param(team("a", GOOD, GOOD, (5, 29)) | team("b", GOOD, GOOD, GOOD), [], id="too few calls say nothing"),
        pytest.param(
            {(None, "free1"): calls(*BAD), (None, "free2"): calls(*GOOD), **team("b", GOOD, GOOD, GOOD)},
            [("individual", (None, "free1"))],
            id="agents without a team are held against the tenant",
        ),
        pytest.param(
            team("a", (158, 200), (158, 200)) | team("b", (158, 200), (158, 200)),
            [],
            id="missed by less than chance explains",
        ),
    ],
)
def test_a_problem_is_of_everybody_of_a_team_or_of_an_agent(
    agents: dict[Key, Sums], expected: list[tuple[str, Key]]
) -> None:
    found = problems(SHARE, agents)
    assert [(each.scope, each.key) for each in found.found] == expected


def test_the_end_of_the_scale_is_missed_by_any_amount() -> None:
    kpi = a_kpi(target=1)
    found = problems(kpi, team("a", (199, 200), (199, 200)) | team("b", (199, 200)))
    assert [each.scope for each in found.found] == ["common"]
    assert found.found[0].missing_share == 1


def test_where_no_agent_has_enough_calls_the_tenant_speaks_for_all() -> None:
    (found,) = problems(SHARE, team("a", (10, 25), (12, 25), (9, 25))).found
    assert (found.scope, found.missing_share) == ("common", None)


def test_a_target_that_few_miss_is_no_common_problem() -> None:
    kpi = a_kpi(target=1)
    found = problems(kpi, team("a", (200, 200), (200, 200), (180, 200)))
    assert [each.scope for each in found.found] == ["individual"]


def test_what_is_better_than_all_is_no_problem() -> None:
    assert problems(SHARE, team("a", GOOD, (200, 200), GOOD, (150, 200))).found[0].key == ("a", "a3")


def test_a_problem_says_what_it_was_held_against() -> None:
    (found,) = problems(SHARE, team("a", GOOD, BAD, GOOD, GOOD) | team("b", GOOD, GOOD, GOOD, GOOD)).found
    assert found.found.value == 0.55
    assert found.benchmark == pytest.approx(680 / 800)
    assert found.low is not None
    assert 0.55 < found.low < 0.85
    assert found.distance > 3


def test_comparisons_are_counted_because_some_find_something_by_chance() -> None:
    found = problems(SHARE, team("a", GOOD, GOOD) | team("b", GOOD, GOOD, (3, 3)))
    assert found.comparisons == 6
    assert found.by_chance == pytest.approx(0.006)


@pytest.mark.parametrize(
    "kpi", [a_kpi(direction="neutral", target=None), RANKS], ids=["neither good nor bad", "a correlation"]
)
def test_some_kpis_have_no_problems(kpi: Kpi) -> None:
    assert problems(kpi, team("a", GOOD, BAD, GOOD, GOOD)) == problems(kpi, {})


def test_more_of_what_is_bad_is_the_problem() -> None:
    agents: dict[Key, Sums] = {
        ("a", f"a{number}"): Sums.of([(1, 1)] * events + [(0, 1)] * (200 - events))
        for number, events in enumerate((2, 2, 30, 2, 2))
    }
    found = problems(EVENTS, agents)
    assert [(each.scope, each.key) for each in found.found] == [("common", ()), ("individual", ("a", "a2"))]


def test_while_many_calls_are_pending_nobody_is_a_problem() -> None:
    agents: dict[Key, Sums] = {
        ("red", str(number)): replace(Sums.of([(float(call < kept), 1.0) for call in range(200)]), pending=pending)
        for number, (kept, pending) in enumerate([(190, 0), (190, 0), (190, 0), (60, 23)])
    }
    assert problems(a_kpi(target=None), agents).found == ()
    decided = {key: replace(sums, pending=0) for key, sums in agents.items()}
    assert [problem.key for problem in problems(a_kpi(target=None), decided).found] == [("red", "3")]
