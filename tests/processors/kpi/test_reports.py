"""Lines of KPIs: groups against targets and the time before, and before against after a training."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from processors.kpi.funnel import Key
from processors.kpi.reports import Period, SumsOf, kpi_lines, problem_report, training_lines
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


def test_problems_of_everybody_come_before_those_of_teams_and_agents() -> None:
    def agents(kpi: str, *goods: int) -> dict[tuple[str, Key, str], Sums]:
        return {("acme", ("a", f"a{number}"), kpi): calls(good, 200) for number, good in enumerate(goods)}

    report = problem_report([OTHER, SHARE], agents("other", 190, 190, 190, 100) | agents("kept", 100, 100, 100, 60), {})
    assert [(each.kpi.id, each.problem.scope) for each in report.found] == [
        ("kept", "common"),
        ("other", "individual"),
        ("kept", "individual"),
    ]
    assert report.comparisons == 8


def test_the_trained_are_compared_with_themselves_and_with_all_others() -> None:
    before: SumsOf = {
        ("acme", ("a", "a0"), "kept"): calls(40, 100),
        ("acme", ("a", "a1"), "kept"): calls(70, 100),
        ("bolt", ("a", "a2"), "kept"): calls(40, 100),
    }
    after: SumsOf = {
        ("acme", ("a", "a0"), "kept"): calls(90, 100),
        ("acme", ("a", "a1"), "kept"): calls(80, 100),
        ("bolt", ("a", "a2"), "kept"): calls(90, 100),
    }
    (line,) = training_lines([SHARE, OTHER], before, after, ["a0", "a9"], {})
    assert (line.tenant_id, line.before.value, line.after.value) == ("acme", 0.4, 0.9)
    assert (line.others_before.value, line.others_after.value) == (0.7, 0.8)
    assert line.change is not None
    assert line.beyond_others is not None
    assert line.change.value == pytest.approx(0.5)
    assert line.beyond_others.value == pytest.approx(0.4)
    assert line.beyond_others.low < line.change.low - 0.1
    assert (line.effect, line.target_status) == ("better", "reached")


def test_an_agent_who_changed_teams_is_the_same_agent() -> None:
    before: SumsOf = {("acme", ("a", "a0"), "kept"): calls(40, 100)}
    after: SumsOf = {("acme", ("a", "a0"), "kept"): calls(45, 50), ("acme", ("b", "a0"), "kept"): calls(50, 50)}
    (line,) = training_lines([SHARE], before, after, ["a0"], {})
    assert (line.after.value, line.after.n, line.beyond_others) == (0.95, 100, None)


def test_sensitive_words_that_are_gone_say_how_sure_that_is() -> None:
    before: SumsOf = {("acme", ("a", "a0"), "kept"): Sums.of([(1, 1)] * 20 + [(0, 1)] * 80)}
    after: SumsOf = {("acme", ("a", "a0"), "kept"): Sums.of([(0, 1)] * 100)}
    (line,) = training_lines([EVENTS], before, after, ["a0"], {})
    assert (line.after.value, line.effect, line.target_status) == (0, "better", "reached")
    assert line.after.high == pytest.approx(3.69, abs=0.01)


def test_few_calls_tell_nothing_of_a_training() -> None:
    before: SumsOf = {("acme", ("a", "a0"), "kept"): calls(0, 29)}
    after: SumsOf = {("acme", ("a", "a0"), "kept"): calls(100, 100)}
    (line,) = training_lines([SHARE], before, after, ["a0"], {})
    assert line.effect == "unknown"
