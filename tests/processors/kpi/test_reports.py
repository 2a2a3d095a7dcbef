"""Lines of KPIs: groups against targets and the time before, and before against after a training."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from processors.kpi.problems import Key
from processors.kpi.reports import AgentsOf, Period, SumsOf, agents_of, kpi_lines, problem_report, training_lines
from processors.kpi.statistics import Sums
from tests.processors.kpi.test_statistics import EVENTS, SHARE, a_kpi, calls

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 31, 22, 37, tzinfo=UTC)
"""In Shanghai it is the first of April, half past six."""

OTHER = a_kpi(id="other", target=None)


def test_the_last_days_end_with_today_by_the_clock_of_the_zone() -> None:
    period = Period.last(30, "day", NOW, SHANGHAI)
    assert period.start == datetime(2026, 3, 3, tzinfo=SHANGHAI)
    assert period.end == datetime(2026, 4, 2, tzinfo=SHANGHAI)
    assert period.last_day == date(2026, 4, 1)
    assert period.before == Period(datetime(2026, 2, 1, tzinfo=SHANGHAI), period.start)


def test_the_last_hours_end_with_this_one() -> None:
    period = Period.last(24, "hour", NOW, SHANGHAI)
    assert (period.start, period.end) == (
        datetime(2026, 3, 30, 23, tzinfo=UTC),
        datetime(2026, 3, 31, 23, tzinfo=UTC),
    )
    assert period.grain == period.before.grain == "hour"


def test_days_before_are_whole_days_also_where_the_clock_was_put_forward() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    period = Period.days(date(2026, 3, 29), date(2026, 3, 29), berlin)
    assert period.end.astimezone(UTC) - period.start.astimezone(UTC) == timedelta(hours=23)
    assert period.before == Period.days(date(2026, 3, 28), date(2026, 3, 28), berlin)


def test_lines_stand_in_the_order_of_tenants_groups_and_registry() -> None:
    sums: SumsOf = {
        ("bolt", ("north",), "kept"): calls(90, 100),
        ("acme", ("south",), "other"): calls(90, 100),
        ("acme", ("south",), "kept"): calls(90, 100),
        ("acme", (None,), "kept"): calls(70, 100),
    }
    before: SumsOf = {("acme", ("south",), "kept"): calls(60, 100)}
    lines = kpi_lines([SHARE, OTHER], sums, before, {})
    assert [(line.tenant_id, line.key, line.kpi.id, line.target_status, line.trend) for line in lines] == [
        ("acme", (None,), "kept", "missed", "unknown"),
        ("acme", ("south",), "kept", "reached", "better"),
        ("acme", ("south",), "other", "no_target", "unknown"),
        ("bolt", ("north",), "kept", "reached", "unknown"),
    ]
    assert lines[1].before.value == 0.6
    assert lines[1].change is not None
    assert lines[1].change.value == pytest.approx(0.3)


def test_a_line_has_the_target_of_the_tenants_industry() -> None:
    kpi = a_kpi(targets_by_industry={"finance": 0.95})
    sums: SumsOf = {(tenant, (), "kept"): calls(90, 100) for tenant in ("acme", "bolt")}
    lines = kpi_lines([kpi], sums, {}, {"bolt": "finance"})
    assert [(line.target, line.target_status) for line in lines] == [(0.8, "reached"), (0.95, "missed")]


def test_agents_of_a_team_tell_how_sure_its_value_and_its_trend_are() -> None:
    """An agent with calls for two teams is one of each; of the tenant it is one, too."""
    now: SumsOf = {
        ("acme", ("north", f"n{number}"), "kept"): calls(good, 100) for number, good in enumerate((95, 95, 60, 60, 90))
    }
    moved: SumsOf = {("acme", ("south", "n0"), "kept"): calls(90, 100)}
    of_teams = agents_of({**now, **moved}, "team")
    assert set(of_teams["acme", ("north",), "kept"]) == {"n0", "n1", "n2", "n3", "n4"}
    assert agents_of({**now, **moved}, "tenant")["acme", (), "kept"]["n0"].n == 200
    total = sum(now.values(), start=Sums())
    groups: SumsOf = {("acme", ("north",), "kept"): total, ("acme", ("south",), "kept"): calls(90, 100)}
    before: SumsOf = {("acme", ("north",), "kept"): calls(355, 500)}
    agents_before: AgentsOf = {("acme", ("north",), "kept"): {f"n{number}": calls(71, 100) for number in range(5)}}
    by_calls = kpi_lines([SHARE], groups, before, {})
    by_agents = kpi_lines([SHARE], groups, before, {}, of_teams, agents_before)
    assert (by_calls[0].trend, by_agents[0].trend) == ("better", "no_clear_change")
    assert by_calls[0].found.low is not None
    assert by_agents[0].found.low is not None
    assert by_agents[0].found.low < by_calls[0].found.low - 0.05
    assert by_agents[1].found.too_few_agents


def test_trends_of_one_tenant_are_told_for_all_that_is_asked_for_together() -> None:
    """Of forty teams that stay the same, two would change by chance alone."""
    numbers = np.random.default_rng(2)
    names: list[tuple[str, Key, str]] = [("acme", (f"team{number}",), "kept") for number in range(40)]
    now, before = ({name: calls(int(numbers.binomial(200, 0.8)), 200) for name in names} for _ in range(2))
    lines = kpi_lines([SHARE], now, before, {})
    assert sum(line.change is not None and line.change.is_clear for line in lines) >= 2
    assert {line.trend for line in lines} == {"no_clear_change"}
    alone = {name: kpi_lines([SHARE], {name: now[name]}, before, {})[0].q_value for name in names}
    assert all((line.q_value or 0) >= (alone["acme", line.key, "kept"] or 0) for line in lines)


def test_problems_of_everybody_come_before_those_of_teams_and_agents() -> None:
    def agents(kpi: str, *goods: int) -> dict[tuple[str, Key, str], Sums]:
        return {("acme", ("a", f"a{number}", "orders"), kpi): calls(good, 200) for number, good in enumerate(goods)}

    others, kept = [190, 190, 190, 190, 190, 100], [100, 100, 100, 100, 100, 40]
    report = problem_report([OTHER, SHARE], agents("other", *others) | agents("kept", *kept), {})
    assert [(each.kpi.id, each.problem.scope) for each in report.found] == [
        ("kept", "common"),
        ("other", "individual"),
        ("kept", "individual"),
    ]
    assert report.comparisons == 12


# --- trainings


def in_tenant(tenant: str, goods: Mapping[str, int], team: str = "a") -> dict[tuple[str, Key, str], Sums]:
    """Agents with 100 calls each, of which so many are good."""
    return {(tenant, (team, agent), "kept"): calls(good, 100) for agent, good in goods.items()}


TRAINED = ["t0", "t1", "t2", "t3"]


def test_the_trained_are_compared_with_themselves_and_with_all_others() -> None:
    before = in_tenant("acme", {"t0": 38, "t1": 40, "t2": 42, "t3": 40} | {f"o{number}": 70 for number in range(6)})
    after = in_tenant("acme", {"t0": 90, "t1": 91, "t2": 89, "t3": 90} | {f"o{number}": 80 for number in range(6)})
    elsewhere = in_tenant("bolt", {"o9": 40})
    (line,) = training_lines([SHARE, OTHER], before | elsewhere, after | elsewhere, [*TRAINED, "a9"], {})
    assert (line.tenant_id, line.before.value, line.after.value) == ("acme", 0.4, 0.9)
    assert (line.others_before.value, line.others_after.value) == (0.7, 0.8)
    assert line.change is not None
    assert line.beyond_others is not None
    assert line.change.value == pytest.approx(0.5)
    assert line.beyond_others.value == pytest.approx(0.4)
    assert line.beyond_others.low < line.change.low - 0.1
    assert (line.effect, line.target_status) == ("better", "reached")
    assert line.q_value == line.beyond_others.chance


def test_what_changed_for_everybody_is_not_the_trainings() -> None:
    before, after = (dict.fromkeys([*TRAINED, "o0", "o1", "o2", "o3"], good) for good in (60, 90))
    (line,) = training_lines([SHARE], in_tenant("acme", before), in_tenant("acme", after), TRAINED, {})
    assert line.change is not None
    assert line.change.is_clear
    assert line.effect == "no_clear_change"


def test_an_agent_who_changed_teams_is_the_same_agent() -> None:
    before = in_tenant("acme", {"t0": 40})
    after: SumsOf = {("acme", ("a", "t0"), "kept"): calls(45, 50), ("acme", ("b", "t0"), "kept"): calls(50, 50)}
    (line,) = training_lines([SHARE], before, after, ["t0"], {})
    assert (line.after.value, line.after.n, line.beyond_others) == (0.95, 100, None)


def test_the_effect_of_a_training_of_two_agents_cannot_be_told() -> None:
    others = {f"o{number}": 70 for number in range(6)}
    before, after = in_tenant("acme", {"t0": 10, "t1": 12} | others), in_tenant("acme", {"t0": 97, "t1": 99} | others)
    (line,) = training_lines([SHARE], before, after, ["t0", "t1"], {})
    assert (line.after.value, line.effect, line.beyond_others) == (0.98, "too_few_agents", None)


def test_sensitive_words_that_are_gone_say_how_sure_that_is() -> None:
    others = {f"o{number}": 20 for number in range(6)}
    before, after = (
        in_tenant("acme", dict.fromkeys(TRAINED, 20) | others),
        in_tenant("acme", dict.fromkeys(TRAINED, 0) | others),
    )
    (line,) = training_lines([EVENTS], before, after, TRAINED, {})
    assert (line.after.value, line.effect, line.target_status) == (0, "better", "reached")
    assert line.after.high == pytest.approx(0.92, abs=0.01)


def test_few_calls_tell_nothing_of_a_training() -> None:
    others = {f"o{number}": 70 for number in range(6)}
    before: SumsOf = in_tenant("acme", others) | {("acme", ("a", name), "kept"): calls(0, 7) for name in TRAINED}
    after = in_tenant("acme", others | dict.fromkeys(TRAINED, 100))
    (line,) = training_lines([SHARE], before, after, TRAINED, {})
    assert line.effect == "unknown"
