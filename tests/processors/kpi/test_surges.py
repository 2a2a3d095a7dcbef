"""Windows, same hours, and what makes a surge: by reference values that were worked out apart from the code."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from processors.kpi.surges import (
    MAX_CHANCE,
    QUIET,
    STEP,
    WINDOW,
    BucketCount,
    RaisedSurges,
    SurgeAssessment,
    SurgeSettings,
    SurgeStatus,
    TopicWindow,
    alert_of,
    assess,
    assess_all,
    dispersion,
    last_step,
    same_hours,
    topic_windows,
)
from schemas.config.tenants import TenantDays
from schemas.messages.alert import MAX_CALLS_OF_SURGE, Alert

SHANGHAI = SurgeSettings(TenantDays("Asia/Shanghai"))
ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 3, 23, 2, 0, tzinfo=UTC)
"""Monday, ten o'clock in Shanghai."""


def a_window(
    count: int, past: Sequence[int], start: datetime = START, topic_id: str = "logistics_delay"
) -> TopicWindow:
    return TopicWindow("acme", topic_id, "物流延迟", start, count, tuple(past))


@pytest.mark.parametrize(
    ("count", "past", "verdict", "expected"),
    [
        pytest.param(90, (20, 21, 19, 20), "surge", 20.0, id="物流延迟 jumps from 20 to 90"),
        pytest.param(20, (20, 21, 19, 20), "usual", 20.0, id="as always"),
        pytest.param(39, (20, 20, 20, 20), "usual", 20.0, id="nearly twice: unlikely, but below the ratio"),
        pytest.param(40, (20, 20, 20, 20), "usual", 20.0, id="twice, but four weeks do not tell so well what is usual"),
        pytest.param(45, (20, 20, 20, 20), "surge", 20.0, id="more than twice"),
        pytest.param(80, (20, 21, 95, 20), "surge", 20.5, id="a surge in one past week hides nothing"),
        pytest.param(80, (80, 82, 20, 79), "usual", 79.5, id="every Monday is like this"),
        pytest.param(10, (0, 0, 0, 0), "surge", 1.0, id="a new topic, with the least number of calls"),
        pytest.param(9, (0, 0, 0, 0), "too_few_calls", 1.0, id="one call less"),
        pytest.param(16, (5, 5, 5, 5), "usual", 5.0, id="three times, but chance does that one time in 900"),
        pytest.param(20, (5, 5, 5, 5), "surge", 5.0, id="chance does that one time in 22,000"),
        pytest.param(90, (20, 20), "surge", 20.0, id="two past weeks are enough"),
        pytest.param(90, (20,), "history_unknown", None, id="one is not"),
        pytest.param(90, (), "history_unknown", None, id="a tenant of this week"),
    ],
)
def test_a_surge_is_many_and_far_more_than_usual_and_no_chance(
    count: int, past: tuple[int, ...], verdict: SurgeStatus, expected: float | None
) -> None:
    found = assess(a_window(count, past), SHANGHAI)
    assert (found.verdict, found.expected) == (verdict, expected)
    assert (found.chance is None) == (expected is None)


def test_of_very_many_topics_a_surge_must_be_less_likely_still() -> None:
    """Chance does 20 calls where 5 are usual one time in 22,000: among 1,200 topics that is one in eighteen."""
    unlikely = a_window(20, (5, 5, 5, 5))
    others = [a_window(5, (5, 5, 5, 5), topic_id=f"topic{number}") for number in range(1_199)]
    (alone,) = assess_all([unlikely], SHANGHAI)
    among_few = assess_all([unlikely, *others[:99]], SHANGHAI)
    among_many = assess_all([unlikely, *others], SHANGHAI)
    assert [each[0].verdict for each in ([alone], among_few, among_many)] == ["surge", "surge", "usual"]
    assert alone.q_value == alone.chance
    assert (among_many[0].comparisons, among_few[0].comparisons) == (1_200, 100)
    assert among_many[0].q_value == pytest.approx(1_200 * (alone.chance or 0))
    # Another tenant, or another hour, is looked at for itself.
    elsewhere = [replace(each, tenant_id="bolt") for each in others]
    later = [replace(each, start=START + STEP) for each in others]
    assert assess_all([unlikely, *elsewhere, *later], SHANGHAI)[0] == alone


def test_the_least_number_and_the_ratio_are_settings() -> None:
    strict = SurgeSettings(SHANGHAI.days, min_count=100, ratio=5)
    assert assess(a_window(99, (1, 1)), strict).verdict == "too_few_calls"
    assert assess(a_window(100, (21, 21)), strict).verdict == "usual"
    assert assess(a_window(105, (21, 21)), strict).verdict == "surge"


@pytest.mark.parametrize(
    ("of_topics", "expected"),
    [
        pytest.param([], 1.0, id="no topic"),
        pytest.param([(20, 20, 20, 20)] * 3, 1.0, id="less than chance has it"),
        pytest.param([(0, 0, 1, 0), (1, 0, 0, 0)], 1.0, id="topics too small to tell"),
        pytest.param([(10, 30, 10, 30)] * 3, 400 / 60 / (1 - 2 / 27) ** 3, id="far more than chance has it"),
        pytest.param([(20, 20, 20, 20)] * 3 + [(20, 95, 20, 20)], 1.0, id="a past surge of one topic does not count"),
    ],
)
def test_how_much_counts_vary_is_told_by_all_topics(of_topics: list[tuple[int, ...]], expected: float) -> None:
    assert dispersion(of_topics) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("times_poisson", "mean"),
    [pytest.param(1.001, 12, id="Poisson"), pytest.param(2, 12, id="twice"), pytest.param(3, 30, id="three times")],
)
def test_false_alarms_are_about_as_rare_as_promised_however_much_counts_vary(times_poisson: float, mean: float) -> None:
    """Of 60,000 hours in which nothing happened; by the tail of Poisson there were 37 to 2,300 of them."""
    numbers = np.random.default_rng(5)
    size = mean / (times_poisson - 1)
    alarms = 0
    for _ in range(1_500):
        weeks = numbers.negative_binomial(size, size / (size + mean), (40, 5)).tolist()
        varies = dispersion([past for _, *past in weeks])
        windows = (replace(a_window(now, past), dispersion=varies) for now, *past in weeks)
        alarms += sum(assess(window, SHANGHAI).verdict == "surge" for window in windows)
    assert alarms <= 3 * MAX_CHANCE * 60_000


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        pytest.param("2026-03-23T02:09:59.999+00:00", "2026-03-23T02:00:00+00:00", id="a step must be over"),
        pytest.param("2026-03-23T02:10:00+00:00", "2026-03-23T02:10:00+00:00", id="it is over at its end"),
        pytest.param("2026-03-23T10:19:00+08:00", "2026-03-23T02:10:00+00:00", id="in UTC whatever the zone"),
    ],
)
def test_windows_end_at_whole_steps(moment: str, end: str) -> None:
    assert last_step(datetime.fromisoformat(moment)).isoformat() == end


class TestSameHours:
    def test_without_summer_time_they_are_whole_weeks_apart(self) -> None:
        assert same_hours(START, SHANGHAI, ZONE) == tuple(START - timedelta(weeks=week) for week in (1, 2, 3, 4))

    def test_where_the_clock_was_changed_they_are_at_the_same_time_of_day(self) -> None:
        # Berlin put the clock forward on 29 March 2026: ten o'clock there was nine in UTC before, and is eight since.
        berlin = SurgeSettings(TenantDays(), weeks=2)
        monday = datetime(2026, 4, 6, 8, 0, tzinfo=UTC)
        assert same_hours(monday, berlin, ZoneInfo("Europe/Berlin")) == (
            datetime(2026, 3, 30, 8, 0, tzinfo=UTC),
            datetime(2026, 3, 23, 9, 0, tzinfo=UTC),
        )

    def test_every_tenant_has_the_hours_of_its_own_clock(self) -> None:
        """In Berlin, not in Shanghai, the clock was changed in between."""
        settings = SurgeSettings(TenantDays("Asia/Shanghai", {"berliner": "Europe/Berlin"}), weeks=2)
        monday = datetime(2026, 4, 6, 8, 0, tzinfo=UTC)
        weeks = [
            each
            for tenant in ("acme", "berliner")
            for start in (monday, monday - timedelta(weeks=1), datetime(2026, 3, 23, 9, 0, tzinfo=UTC))
            for each in buckets(tenant, start, [3], [2])
        ]
        past = {window.tenant_id: window.past for window in topic_windows(weeks, [monday], settings)}
        assert past == {"acme": (2,), "berliner": (2, 2)}

    def test_the_number_of_weeks_is_a_setting(self) -> None:
        assert len(same_hours(START, SurgeSettings(SHANGHAI.days, weeks=7), ZONE)) == 7


def buckets(tenant_id: str, start: datetime, calls: Sequence[int], about: Sequence[int]) -> list[BucketCount]:
    """One bucket a step from `start`: calls, and those of them about late deliveries."""
    return [
        BucketCount(
            tenant_id,
            start + step * STEP,
            all_calls,
            {"logistics_delay": late} if late else {},
            {"logistics_delay": "物流延迟"} if late else {},
        )
        for step, (all_calls, late) in enumerate(zip(calls, about, strict=True))
        if all_calls
    ]


class TestTopicWindows:
    def test_a_window_is_the_sum_of_its_six_steps(self) -> None:
        found = topic_windows(
            buckets("acme", START, [9] * 8, [1, 2, 3, 4, 5, 6, 7, 8]), [START, START + STEP], SHANGHAI
        )
        assert [(window.start, window.count) for window in found] == [(START, 21), (START + STEP, 27)]

    def test_a_past_hour_without_any_call_of_the_tenant_is_unknown_and_one_without_the_topic_is_zero(self) -> None:
        past = same_hours(START, SHANGHAI, ZONE)
        known = [
            *buckets("acme", START, [9] * 6, [5] * 6),
            *buckets("acme", past[0], [9] * 6, [0, 0, 2, 0, 0, 1]),
            *buckets("acme", past[2], [0, 0, 1, 0, 0, 0], [0] * 6),
            *buckets("other", past[1], [9] * 6, [9] * 6),
        ]
        (window,) = topic_windows(known, [START], SHANGHAI)
        assert (window.tenant_id, window.topic_id, window.name) == ("acme", "logistics_delay", "物流延迟")
        assert (window.count, window.past) == (30, (3, 0))
        assert window.end == START + WINDOW

    def test_a_topic_that_nobody_mentions_now_has_no_window(self) -> None:
        past = buckets("acme", same_hours(START, SHANGHAI, ZONE)[0], [9] * 6, [9] * 6)
        assert list(topic_windows([*past, *buckets("acme", START, [9] * 6, [0] * 6)], [START], SHANGHAI)) == []

    def test_tenants_are_apart(self) -> None:
        known = [*buckets("b", START, [9] * 6, [2] * 6), *buckets("a", START, [9] * 6, [1] * 6)]
        found = topic_windows(known, [START], SHANGHAI)
        assert [(window.tenant_id, window.count) for window in found] == [("a", 6), ("b", 12)]


class TestNews:
    def tell(self, counts: Sequence[tuple[timedelta, int]]) -> list[bool]:
        """For each window after `START`, with its count, whether it was told; what is told is remembered."""
        raised, told = RaisedSurges(ratio=2), []
        for after, count in counts:
            window = a_window(count, (), START + after)
            told.append(raised.is_news(window))
            if told[-1]:
                raised.remember(window)
        return told

    @pytest.mark.parametrize(
        ("counts", "told"),
        [
            pytest.param([(timedelta(), 40), (STEP, 90), (5 * STEP, 400)], [True, False, False], id="once an hour"),
            pytest.param([(timedelta(), 40), (WINDOW, 79)], [True, False], id="it goes on: no news"),
            pytest.param([(timedelta(), 40), (WINDOW, 80)], [True, True], id="it has grown by the ratio: news"),
            pytest.param(
                [(timedelta(), 40), (WINDOW, 80), (2 * WINDOW, 100), (3 * WINDOW, 160)],
                [True, True, False, True],
                id="growth counts from the largest that was told",
            ),
            pytest.param(
                [(timedelta(), 40), (QUIET - WINDOW, 40), (QUIET, 40)], [True, False, True], id="told again after long"
            ),
            pytest.param(
                [(WINDOW, 40), (timedelta(), 45)], [True, False], id="an earlier hour that was judged late: no news"
            ),
        ],
    )
    def test_a_surge_that_goes_on_is_told_again_only_when_it_grew(
        self, counts: list[tuple[timedelta, int]], told: list[bool]
    ) -> None:
        assert self.tell(counts) == told

    def test_topics_and_tenants_do_not_silence_each_other(self) -> None:
        raised = RaisedSurges(ratio=2)
        raised.remember(a_window(40, ()))
        assert raised.is_news(a_window(40, (), topic_id="refund"))
        assert raised.is_news(TopicWindow("other", "logistics_delay", "物流延迟", START, 40, ()))

    def test_what_was_told_days_ago_is_forgotten(self) -> None:
        raised = RaisedSurges(ratio=2)
        windows = [a_window(40, (), START + timedelta(days=day)) for day in range(30)]
        for window in windows:
            raised.remember(window)
        assert [raised.is_news(window) for window in windows] == [True] * 28 + [False] * 2


class TestAlert:
    SURGE = SurgeAssessment(a_window(90, (20, 20)), "surge", 20.0, 1e-30)
    NOW = START + timedelta(minutes=61)

    def test_it_says_how_many_and_how_many_were_to_be_expected(self) -> None:
        alert = alert_of(self.SURGE, ["c-2", "c-1"], self.NOW)
        assert alert.title == "物流延迟：一小时内 90 通，往周同一时段约 20 通"
        assert (alert.kind, alert.rule_id, alert.category, alert.severity) == (
            "surge",
            "topic_surge",
            "topic_surge",
            "high",
        )
        assert (alert.tenant_id, alert.topic_id, alert.call_id) == ("acme", "logistics_delay", None)
        assert (alert.calls, alert.calls_count, alert.expected_count) == (("c-2", "c-1"), 90, 20.0)
        assert (alert.happened_at, alert.raised_at) == (START + WINDOW, self.NOW)
        assert Alert.decode(alert.encode()) == alert

    def test_its_id_is_that_of_the_topic_and_the_hour(self) -> None:
        def id_of(window: TopicWindow) -> str:
            return alert_of(SurgeAssessment(window, "surge", 20.0, 0.0), [], self.NOW).alert_id

        first = id_of(a_window(90, ()))
        assert id_of(a_window(95, (20,), START + 5 * STEP)) == first
        others = [
            a_window(90, (), START + WINDOW),
            a_window(90, (), topic_id="refund"),
            TopicWindow("other", "logistics_delay", "物流延迟", START, 90, ()),
        ]
        assert len({first, *map(id_of, others)}) == 4

    def test_it_names_no_more_calls_than_an_alert_may(self) -> None:
        alert = alert_of(self.SURGE, [f"c-{number}" for number in range(90)], self.NOW)
        assert len(alert.calls) == MAX_CALLS_OF_SURGE
        assert alert.calls_count == 90

    def test_a_name_without_end_does_not_break_it(self) -> None:
        window = TopicWindow("acme", "t", "长" * 1_000, START, 90, ())
        assert len(alert_of(SurgeAssessment(window, "surge", 1.0, 0.0), [], self.NOW).title) < 500
