"""Which days are rolled up when."""

from datetime import UTC, date, datetime, timedelta

import pytest

from processors.kpi.rollups import MadeDay, Pace, RollupDefinition, due_days, rollup_query, runs_of
from schemas.config.kpis.kpi import read_kpis
from schemas.config.tenants import TenantDays

DEFINITION = RollupDefinition(read_kpis(), TenantDays(), 7)
DIGEST = DEFINITION.digest
DAY = date(2026, 3, 2)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
"""Long after the window of the day has passed."""
STORED = NOW - timedelta(days=30)


def made(hours_ago: float, digest: str = DIGEST) -> MadeDay:
    return MadeDay(NOW - timedelta(hours=hours_ago), digest)


@pytest.mark.parametrize(
    ("touched", "last", "due"),
    [
        pytest.param({DAY: STORED}, None, True, id="never made"),
        pytest.param({DAY: STORED}, made(2), False, id="made, and nothing was stored since"),
        pytest.param({DAY: STORED}, made(2, "other"), True, id="made by another definition"),
        pytest.param({DAY: NOW - timedelta(hours=1)}, made(2), True, id="touched since"),
        pytest.param(
            {DAY: NOW - timedelta(hours=2, seconds=30)},
            made(2),
            True,
            id="touched just before it was made",
        ),
        pytest.param(
            {DAY: STORED, DAY + timedelta(days=3): NOW - timedelta(hours=1)}, made(2), True, id="a repeat may have come"
        ),
        pytest.param(
            {DAY: STORED, DAY + timedelta(days=3): NOW - timedelta(minutes=10)},
            made(0.5),
            False,
            id="a repeat may have come, but the day was made within the hour",
        ),
        pytest.param(
            {DAY: STORED, DAY + timedelta(days=9): NOW - timedelta(hours=1)},
            made(2),
            False,
            id="touched later",
        ),
        pytest.param(
            {DAY: STORED, DAY - timedelta(days=1): NOW - timedelta(hours=1)},
            made(2),
            True,
            id="a call of it may turn out to be a repeat",
        ),
        pytest.param(
            {DAY: STORED, DAY - timedelta(days=9): NOW - timedelta(hours=1)},
            made(2),
            False,
            id="touched before",
        ),
    ],
)
def test_a_day_is_due(touched: dict[date, datetime], last: MadeDay | None, due: bool) -> None:
    every = {day: made(2) for day in touched} | ({DAY: last} if last else {})
    if last is None:
        del every[DAY]
    assert (DAY in due_days(touched, every, DEFINITION, NOW)) == due


@pytest.mark.parametrize(
    ("stored", "age_minutes", "took_minutes", "due"),
    [
        pytest.param(NOW, 99, {DAY: 10}, False, id="touched, and ten times what it took have not passed"),
        pytest.param(NOW, 100, {DAY: 10}, True, id="touched, and they have"),
        pytest.param(NOW, 1, {DAY: 0.1}, True, id="a small day is made every minute"),
        pytest.param(
            NOW, 99, {DAY + timedelta(days=40): 10}, False, id="what nobody knows of is as dear as the dearest"
        ),
        pytest.param(NOW, 15, {DAY: 1, DAY + timedelta(days=40): 10}, True, id="what is known of it counts"),
        pytest.param(STORED, 990, {DAY: 10}, False, id="a repeat may have come to a dear day, made not long ago"),
        pytest.param(STORED, 1000, {DAY: 10}, True, id="a hundred times what it took have passed"),
        pytest.param(STORED, 59, {DAY: 0.01}, False, id="a repeat in a small day: once in an hour"),
        pytest.param(STORED, 60, {DAY: 0.01}, True, id="an hour has passed"),
    ],
)
def test_a_dear_day_rests(stored: datetime, age_minutes: float, took_minutes: dict[date, float], due: bool) -> None:
    touched = {DAY: stored, DAY + timedelta(days=1): NOW}
    as_of = MadeDay(NOW - timedelta(minutes=age_minutes), DIGEST)
    took = {day: timedelta(minutes=minutes) for day, minutes in took_minutes.items()}
    found = due_days(touched, {DAY: as_of, DAY + timedelta(days=1): as_of}, DEFINITION, NOW, took=took)
    assert (DAY in found) == due


@pytest.mark.parametrize("last", [None, MadeDay(NOW, "other")])
def test_a_day_that_shows_nothing_or_something_else_is_made_whatever_it_takes(last: MadeDay | None) -> None:
    every = {DAY: last} if last else {}
    assert due_days({DAY: NOW}, every, DEFINITION, NOW, took={DAY: timedelta(hours=1)}) == [DAY]


def test_without_rests_a_day_is_due_whenever_it_was_touched() -> None:
    every = {DAY: MadeDay(NOW, DIGEST)}
    assert due_days({DAY: NOW}, every, DEFINITION, NOW, took={DAY: timedelta(hours=1)}, pace=Pace(rests=0)) == [DAY]


def test_a_day_in_years_to_come_is_never_due() -> None:
    tomorrow = NOW.date() + timedelta(days=1)
    touched = {tomorrow: STORED, tomorrow + timedelta(days=1): STORED, date(2106, 1, 1): STORED}
    assert due_days(touched, {}, DEFINITION, NOW) == [tomorrow]


@pytest.mark.parametrize(
    ("days_later", "due"),
    [pytest.param(3, True, id="its calls are pending"), pytest.param(9, False, id="all its calls are decided")],
)
def test_a_day_is_made_again_once_an_hour_until_its_window_has_passed(days_later: int, due: bool) -> None:
    as_of = DEFINITION.days.last_start(DAY) + timedelta(days=days_later)
    touched = {DAY: as_of - timedelta(hours=5)}
    found = due_days(touched, {DAY: MadeDay(as_of, DIGEST)}, DEFINITION, as_of + timedelta(hours=1))
    assert found == ([DAY] if due else [])


@pytest.mark.parametrize(
    ("others", "due"),
    [
        pytest.param({}, False, id="decided in Shanghai"),
        pytest.param({"acme": "America/New_York"}, True, id="pending in New York for half a day more"),
    ],
)
def test_a_window_has_passed_when_it_has_for_every_tenant(others: dict[str, str], due: bool) -> None:
    definition = RollupDefinition(read_kpis(), TenantDays(others=others), 7)
    as_of = datetime(2026, 3, 9, 20, tzinfo=UTC)  # four o'clock on 10 March in Shanghai: eight days after 2 March
    touched = {DAY: as_of - timedelta(hours=5)}
    found = due_days(touched, {DAY: MadeDay(as_of, definition.digest)}, definition, as_of + timedelta(hours=1))
    assert found == ([DAY] if due else [])


def test_tomorrow_is_that_of_the_tenant_where_it_comes_first() -> None:
    definition = RollupDefinition(read_kpis(), TenantDays("UTC", {"acme": "Pacific/Kiritimati"}), 7)
    late = NOW.replace(hour=12)
    touched = {late.date() + timedelta(days=days): STORED for days in (1, 2, 3)}
    assert due_days(touched, {}, definition, late) == sorted(touched, reverse=True)[1:]


def test_the_newest_days_come_first() -> None:
    days = [DAY + timedelta(days=n) for n in range(5)]
    assert due_days(dict.fromkeys(days, STORED), {}, DEFINITION, NOW) == days[::-1]


def test_a_digest_is_that_of_formulas_zone_and_window() -> None:
    others = [
        RollupDefinition(read_kpis(), TenantDays("UTC"), 7),
        RollupDefinition(read_kpis(), TenantDays(others={"acme": "UTC"}), 7),
        RollupDefinition(read_kpis(), TenantDays(), 14),
    ]
    assert len({DIGEST, *(other.digest for other in others)}) == 4
    assert RollupDefinition(read_kpis(), TenantDays(), 7).digest == DIGEST


def test_a_day_begins_in_its_time_zone() -> None:
    assert DEFINITION.days.last_start(DAY).astimezone(UTC) == datetime(2026, 3, 1, 16, tzinfo=UTC)


def test_days_that_follow_each_other_are_one_stretch_up_to_a_length() -> None:
    days = [DAY - timedelta(days=n) for n in (0, 1, 2, 3, 7, 9, 10)]
    assert runs_of(days, 3) == [
        (DAY - timedelta(days=2), DAY),
        (DAY - timedelta(days=3), DAY - timedelta(days=3)),
        (DAY - timedelta(days=7), DAY - timedelta(days=7)),
        (DAY - timedelta(days=10), DAY - timedelta(days=9)),
    ]


def test_the_query_has_every_ratio_of_the_registry() -> None:
    query = rollup_query(read_kpis(), TenantDays())
    for kpi in read_kpis().ratios:
        assert f"'{kpi.id}'" in query
