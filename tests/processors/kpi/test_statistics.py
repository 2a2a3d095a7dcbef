"""Values, intervals, verdicts and trends of KPIs, against published and hand-made numbers."""

from math import inf, sqrt
from statistics import stdev
from typing import Any

import pytest

from processors.kpi.statistics import (
    CallGroup,
    Estimate,
    Sums,
    TargetStatus,
    Trend,
    change,
    correlation_interval,
    difference,
    difference_of_differences,
    estimate,
    estimate_group,
    q_values,
    target_status,
    trend,
    wilson,
)
from schemas.config.kpis.kpi import Bilingual, CallRatio, Kpi


def a_kpi(**fields: Any) -> Kpi:
    """A share of calls with the target 80 %, or as the fields say."""
    common = {
        "id": "kept",
        "name": Bilingual(zh="达成率", en="Kept"),
        "definition": Bilingual(zh="占比。", en="Share."),
        "kind": "share",
        "ratio": CallRatio(numerator="measures['kept']"),
        "unit": "share",
        "direction": "higher",
        "target": 0.8,
        "minimum_n": 30,
        "null_rule": "none",
        "does_not_tell": "anything",
        "source": "nothing",
    }
    return Kpi.model_validate(common | fields)


SHARE = a_kpi()
MEAN = a_kpi(kind="mean", unit="score", target=None)
EVENTS = a_kpi(
    kind="events", unit="per_100_calls", direction="lower", target=0, ratio=CallRatio(numerator="x", scale=100)
)
PARTS = a_kpi(kind="events", target=1, ratio=CallRatio(numerator="x", denominator="y"))
RANKS = a_kpi(kind="correlation", unit="correlation", target=None)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [
        pytest.param(81, 263, (0.2553, 0.3662), id="81 of 263 (Newcombe 1998, table I)"),
        pytest.param(15, 148, (0.0624, 0.1605), id="15 of 148 (Newcombe 1998, table I)"),
        pytest.param(0, 20, (0.0, 0.1611), id="none of 20 (Newcombe 1998, table I)"),
        pytest.param(1, 29, (0.0061, 0.1718), id="1 of 29 (Newcombe 1998, table I)"),
        pytest.param(29, 29, (0.8830, 1.0), id="all of 29: the mirror of none"),
    ],
)
def test_wilson_gives_published_limits(successes: int, n: int, expected: tuple[float, float]) -> None:
    assert wilson(successes, n) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param((56, 70), (48, 80), (0.0524, 0.3339), id="56 of 70 and 48 of 80 (Newcombe 1998, table II)"),
        pytest.param((9, 10), (3, 10), (0.1705, 0.8090), id="9 of 10 and 3 of 10 (Newcombe 1998, table II)"),
        pytest.param((5, 56), (0, 29), (-0.0381, 0.1926), id="5 of 56 and none of 29 (Newcombe 1998, table II)"),
        pytest.param((10, 10), (0, 10), (0.6075, 1.0), id="all and none (Newcombe 1998, table II)"),
    ],
)
def test_differences_of_shares_have_published_limits(
    one: tuple[int, int], other: tuple[int, int], expected: tuple[float, float]
) -> None:
    after, before = (estimate(SHARE, calls(successes, n)) for successes, n in (one, other))
    found = difference(after, before)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(expected, abs=5e-5)


def calls(successes: int, n: int) -> Sums:
    return Sums.of((float(number < successes), 1) for number in range(n))


@pytest.mark.parametrize(
    ("kpi", "pairs", "expected"),
    [
        pytest.param(MEAN, [(1, 1), (2, 1), (3, 1), (4, 1)], (2.5, 1.23485, 3.76515), id="a mean: s ÷ √n"),
        pytest.param(PARTS, [(1, 2), (3, 4), (2, 6)], (0.5, 0.2538, 0.7462), id="6 of 12 parts, as even as by chance"),
        pytest.param(EVENTS, [(3, 1), (0, 1)], (150.0, 1.9608, 834.5633), id="3 events of one call are as sure as 1"),
        pytest.param(PARTS, [(1, 1), (0, 2), (3, 3)], (0.6667, 0.1507, 0.9575), id="parts of a call are alike"),
        pytest.param(EVENTS, [(1, 1)] + [(0, 1)] * 99, (1.0, 0.0131, 5.5638), id="1 event in 100 calls"),
        pytest.param(EVENTS, [(0, 1)] * 100, (0.0, 0.0, 3.6889), id="no event in 100 calls: at most 3.7 expected"),
        pytest.param(PARTS, [(4, 4)] * 25, (1.0, 0.9630, 1.0), id="every part of 100: at least 96.3 %"),
        pytest.param(MEAN, [(7, 1)] * 3, (7.0, 7.0, 7.0), id="a mean without spread"),
        pytest.param(MEAN, [(0, 1)] * 3, (0.0, 0.0, 0.0), id="a mean of 0 is no count of events"),
        pytest.param(MEAN, [(7, 1)], (7.0, None, None), id="one call has no spread"),
        pytest.param(EVENTS, [(0, 1)], (0.0, None, None), id="one call without an event"),
        pytest.param(MEAN, [], (None, None, None), id="no call"),
        pytest.param(RANKS, [(1, 1), (2, 2)], (1.0, None, None), id="two pairs have no interval"),
        pytest.param(RANKS, [(1, 2), (2, 2), (3, 2)], (None, None, None), id="one side does not vary"),
    ],
)
def test_a_value_has_the_interval_of_its_kind(
    kpi: Kpi, pairs: list[tuple[float, float]], expected: tuple[float | None, ...]
) -> None:
    found = estimate(kpi, Sums.of(pairs))
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=5e-5)
    assert found.n == len(pairs)


def test_ranks_give_the_correlation_of_spearman() -> None:
    """1, 2, 3, 4, 5 and 5, 6, 7, 8, 7: the example of scipy.stats.spearmanr, whose sevens share a rank."""
    found = estimate(RANKS, Sums.of(zip((1, 2, 3, 4, 5), (1, 2, 3.5, 5, 3.5), strict=True)))
    assert found.value == pytest.approx(0.8207826816681233)
    assert (found.low, found.high) == pytest.approx((-0.41629, 0.99205), abs=5e-5)
    assert correlation_interval(1.0, 10) == (1.0, 1.0)


def test_sums_can_be_added_and_taken_apart() -> None:
    one, other = Sums.of([(1, 2), (3, 4)]), Sums.of([(5, 6)])
    assert one + other == Sums.of([(1, 2), (3, 4), (5, 6)])
    assert one + other - other == one


def test_how_much_more_one_changed_than_the_other_has_both_widths() -> None:
    one = difference(Estimate(50, 5, 4, 7), Estimate(50, 2, 1, 3))
    other = difference(Estimate(50, 1, 0, 2), Estimate(50, 1, 0, 2))
    assert one is not None
    assert other is not None
    found = difference_of_differences(one, other)
    assert found.value == 3
    assert found.low == pytest.approx(3 - (1 + 1 + 1 + 1) ** 0.5)
    assert found.high == pytest.approx(3 + (4 + 1 + 1 + 1) ** 0.5)


@pytest.mark.parametrize(
    ("kpi", "found", "expected"),
    [
        pytest.param(SHARE, Estimate(30, 0.8, 0.6, 0.9), "reached", id="at the target"),
        pytest.param(SHARE, Estimate(30, 0.79, 0.6, 0.9), "missed", id="below it, though the interval holds it"),
        pytest.param(SHARE, Estimate(29, 0.79, 0.6, 0.9), "too_few", id="fewer calls than the minimum"),
        pytest.param(SHARE, Estimate(0), "too_few", id="no calls"),
        pytest.param(EVENTS, Estimate(30, 0, 0, 10), "reached", id="nothing where nothing may be"),
        pytest.param(EVENTS, Estimate(30, 0.1, 0, 10), "missed", id="more than nothing"),
        pytest.param(MEAN, Estimate(30, 50, 40, 60), "no_target", id="no number is set"),
    ],
)
def test_the_verdict_goes_by_value_and_minimum(kpi: Kpi, found: Estimate, expected: TargetStatus) -> None:
    assert target_status(kpi, found) == expected


@pytest.mark.parametrize(
    ("pending", "value", "status", "expected"),
    [
        pytest.param(0, 0.9, "reached", "better", id="all are decided"),
        pytest.param(11, 0.9, "reached", "better", id="nine tenths are decided"),
        pytest.param(12, None, "pending", "unknown", id="less than nine tenths are decided"),
    ],
)
def test_nothing_is_said_while_more_than_a_tenth_of_the_calls_are_pending(
    pending: int, value: float | None, status: TargetStatus, expected: Trend
) -> None:
    sums = Sums(100, 90, 100, 90, 90, 100, pending)
    found = estimate(SHARE, sums)
    assert (found.n, found.value, found.pending) == (100, value, pending)
    assert (found.low is None) == (found.high is None) == (value is None)
    assert target_status(SHARE, found) == status
    before = CallGroup(Sums(100, 70, 100, 70, 70, 100))
    assert trend(SHARE, found, estimate_group(SHARE, before), change(SHARE, CallGroup(sums), before)) == expected


def test_pending_calls_alone_are_shown_and_give_no_value() -> None:
    found = estimate(SHARE, Sums(pending=3))
    assert (found, target_status(SHARE, found)) == (Estimate(0, pending=3), "pending")


def test_a_tenant_has_the_target_of_its_industry() -> None:
    kpi = a_kpi(targets_by_industry={"finance": 0.95})
    found = Estimate(100, 0.9, 0.8, 0.96)
    assert [target_status(kpi, found, industry) for industry in ("finance", "education", None)] == [
        "missed",
        "reached",
        "reached",
    ]


@pytest.mark.parametrize(
    ("kpi", "now", "before", "expected"),
    [
        pytest.param(SHARE, (90, 100), (70, 100), "better", id="clearly more of what is good"),
        pytest.param(SHARE, (70, 100), (90, 100), "worse", id="clearly less of it"),
        pytest.param(SHARE, (80, 100), (75, 100), "no_clear_change", id="as chance has it"),
        pytest.param(SHARE, (29, 29), (10, 100), "unknown", id="too few now"),
        pytest.param(SHARE, (90, 100), (5, 29), "unknown", id="too few before"),
        pytest.param(SHARE, (90, 100), (0, 0), "unknown", id="nothing before"),
        pytest.param(a_kpi(direction="lower"), (90, 100), (70, 100), "worse", id="clearly more of what is bad"),
        pytest.param(a_kpi(direction="neutral", target=None), (90, 100), (70, 100), "up", id="neither good nor bad"),
        pytest.param(a_kpi(direction="neutral", target=None), (70, 100), (90, 100), "down", id="nor is this"),
    ],
)
def test_only_a_clear_difference_is_a_trend(
    kpi: Kpi, now: tuple[int, int], before: tuple[int, int], expected: Trend
) -> None:
    groups = [CallGroup(calls(*each)) for each in (now, before)]
    after, earlier = (estimate_group(kpi, each) for each in groups)
    assert trend(kpi, after, earlier, change(kpi, *groups)) == expected


def test_among_many_changes_the_q_value_decides() -> None:
    now, before = (CallGroup(calls(good, 100)) for good in (90, 78))
    after, earlier = estimate_group(SHARE, now), estimate_group(SHARE, before)
    changed = change(SHARE, now, before)
    assert changed is not None
    assert changed.is_clear
    assert trend(SHARE, after, earlier, changed) == trend(SHARE, after, earlier, changed, 0.05) == "better"
    assert trend(SHARE, after, earlier, changed, 0.051) == "no_clear_change"


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    """The fifteen chances of their example, of which four are found at 5 %."""
    chances = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262]
    chances += [0.5719, 0.6528, 0.7590, 1.0]
    found = q_values(chances)
    assert sum(each <= 0.05 for each in found) == 4
    assert found[3] == pytest.approx(0.0095 * 15 / 4)
    assert q_values(chances[::-1]) == found[::-1]
    assert q_values([]) == []


# --- agents as clusters


def of_agents(*shares: tuple[int, int]) -> CallGroup:
    """Agents, each by how many of its calls are good."""
    agents = {f"a{number}": calls(*share) for number, share in enumerate(shares)}
    return CallGroup(sum(agents.values(), start=Sums()), agents)


@pytest.mark.parametrize("kpi", [SHARE, MEAN, EVENTS, PARTS], ids=["share", "mean", "events", "parts"])
def test_a_group_whose_agents_differ_has_a_wider_interval(kpi: Kpi) -> None:
    alike, differ = of_agents(*[(120, 200)] * 6), of_agents(*[(60, 200)] * 3, *[(180, 200)] * 3)
    one, other, calls_alone = estimate_group(kpi, alike), estimate_group(kpi, differ), estimate(kpi, differ.calls)
    assert one.value == other.value
    assert (one.low, one.high) == pytest.approx((calls_alone.low, calls_alone.high))
    assert None not in (other.low, other.high, one.low, one.high)
    assert (other.high or 0) - (other.low or 0) > 5 * ((one.high or 0) - (one.low or 0)) - 1e-9


def test_the_interval_of_a_mean_of_agents_is_that_of_their_means() -> None:
    """Five agents with as many calls each: the t interval of five numbers, 2.776 s ÷ √5."""
    means = (60, 65, 72, 78, 80)
    agents = {f"a{mean}": Sums.of([(mean - 1, 1), (mean + 1, 1)] * 50) for mean in means}
    found = estimate_group(MEAN, CallGroup(sum(agents.values(), start=Sums()), agents))
    half = 2.776445 * stdev(means) / sqrt(5)
    assert (found.low, found.high) == pytest.approx((71 - half, 71 + half), rel=2e-3)


def test_of_too_few_agents_nobody_can_tell_how_they_vary() -> None:
    for group in (of_agents((90, 100), (80, 100)), of_agents((800, 1_000), (9, 10), (8, 10), (9, 10))):
        found = estimate_group(SHARE, group)
        assert found.value is not None
        assert (found.low, found.high, found.too_few_agents) == (None, None, True)
        changed = change(SHARE, group, of_agents((50, 100), (50, 100)))
        assert changed is None
        assert trend(SHARE, found, found, changed) == "too_few_agents"


def test_what_is_the_same_of_each_agent_falls_out_of_a_change() -> None:
    """Agents differ much, and all are five points better: that is clearer than the values themselves are."""
    before = of_agents(*((40 + 20 * number, 200) for number in range(8)))
    after = of_agents(*((50 + 20 * number, 200) for number in range(8)))
    changed = change(SHARE, after, before)
    assert changed is not None
    assert changed.is_clear
    now, was = estimate_group(SHARE, after), estimate_group(SHARE, before)
    assert now.low is not None
    assert was.high is not None
    assert now.low < was.high


def test_agents_who_were_replaced_do_not_count_twice() -> None:
    """Two before and two others after are not four; nor is one who has taken most calls since as many as all before."""

    def named(name: str, *shares: tuple[int, int]) -> CallGroup:
        group = of_agents(*shares)
        return CallGroup(group.calls, {f"{name}{agent}": sums for agent, sums in (group.agents or {}).items()})

    assert change(SHARE, named("new", (190, 200), (188, 200)), named("old", (150, 200), (152, 200))) is None
    assert change(SHARE, of_agents((1_900, 2_000), *[(85, 100)] * 8), of_agents(*[(85, 100)] * 9)) is None
    fours = change(SHARE, named("new", *[(150, 200), (190, 200)] * 2), named("old", *[(140, 200), (180, 200)] * 2))
    assert fours is not None
    assert fours.degrees == pytest.approx(3)


def test_agents_without_an_occasion_are_no_agents() -> None:
    """Three have parts of what is counted, and two have calls without any: the interval is that of three."""
    three = {f"a{number}": Sums.of([(5.0 + number, 10.0)] * 40) for number in range(3)}
    none = {f"b{number}": Sums.of([(0.0, 0.0)] * 40) for number in range(2)}
    alone, both = (
        estimate_group(PARTS, CallGroup(sum(agents.values(), start=Sums()), agents)) for agents in (three, three | none)
    )
    assert alone.low is not None
    assert (both.value, both.low, both.high) == (alone.value, alone.low, alone.high)
    two = dict(list(three.items())[:2]) | none
    assert estimate_group(PARTS, CallGroup(sum(two.values(), start=Sums()), two)).too_few_agents


def test_agents_who_are_wholly_good_or_wholly_bad_are_as_many_as_they_are() -> None:
    """However many calls they have: three coins, and not three hundred."""
    few, many = (of_agents((0, n), (n, n), (0, n)) for n in (10, 100))
    found, same = estimate_group(SHARE, few), estimate_group(SHARE, many)
    assert (found.low, found.high) == pytest.approx((same.low, same.high))
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.02
    assert found.high > 0.95


def test_a_change_of_a_few_agents_is_no_change_of_all() -> None:
    before = of_agents(*[(100, 200)] * 8)
    after = of_agents((190, 200), (190, 200), *[(95, 200)] * 6)
    by_calls = change(SHARE, CallGroup(after.calls), CallGroup(before.calls))
    by_agents = change(SHARE, after, before)
    assert by_calls is not None
    assert by_agents is not None
    assert by_calls.value == by_agents.value
    assert by_calls.is_clear
    assert not by_agents.is_clear
    assert by_agents.chance > 0.05


def test_limits_are_as_wide_as_several_events_of_one_call_make_them() -> None:
    """50 events in 100 calls: ten events each in five calls say far less than one each in fifty."""
    apart = estimate(EVENTS, Sums.of([(1, 1)] * 50 + [(0, 1)] * 50))
    together = estimate(EVENTS, Sums.of([(10, 1)] * 5 + [(0, 1)] * 95))
    assert apart.value == together.value == 50
    widths = [(found.high or inf) - (found.low or 0) for found in (apart, together)]
    assert widths[1] > 3 * widths[0]


@pytest.mark.parametrize("kpi", [EVENTS, PARTS], ids=["events", "parts"])
@pytest.mark.parametrize("of_one_call", [1, 2, 4])
def test_more_events_never_have_lower_limits(kpi: Kpi, of_one_call: int) -> None:
    """0 of 100 used to have a higher upper limit than 1 of 100."""
    found = []
    for number in range(25):
        events = [float(of_one_call)] * number + [0.0] * (25 - number)
        found.append(estimate(kpi, Sums.of((each, 4.0) for each in events)))
    for limits in ([each.low for each in found], [each.high for each in found]):
        assert limits == sorted(limits, key=lambda limit: limit or 0)
