"""Which ten minutes and days are made, and of what a stretch of time is put together."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from processors.clickhouse.time_buckets import (
    DAY,
    SPAN,
    SPANS_OF_A_DAY,
    MadeBuckets,
    due_days_of_buckets,
    due_spans,
    sources,
    start_of_day,
    start_of_span,
)

NOW = datetime(2026, 3, 31, 22, 37, 11, tzinfo=UTC)
TODAY = datetime(2026, 3, 31, tzinfo=UTC)
SETTLING = timedelta(seconds=60)
NOTHING = MadeBuckets({}, {})


def spans_of(day: datetime) -> list[datetime]:
    return [day + n * SPAN for n in range(SPANS_OF_A_DAY)]


class TestSources:
    def test_without_anything_made_the_calls_are_read(self) -> None:
        found = sources(TODAY - DAY, TODAY, (), ())
        assert (found.days, found.spans, found.calls) == ((), (), ((TODAY - DAY, TODAY),))

    def test_each_moment_is_in_one_part_and_none_is_left_out(self) -> None:
        chance = random.Random(3)
        for _ in range(200):
            first = TODAY - chance.randrange(5 * SPANS_OF_A_DAY) * SPAN
            end = first + chance.randrange(1, 4 * SPANS_OF_A_DAY) * SPAN
            days = [day for n in range(8) if chance.random() < 0.5 for day in (start_of_day(TODAY) - n * DAY,)]
            spans = [each for n in range(8) for each in spans_of(TODAY - n * DAY) if chance.random() < 0.7]
            found = sources(first, end, days, spans)
            parts = [(day, day + DAY) for day in found.days] + [(each, each + SPAN) for each in found.spans]
            parts = sorted([*parts, *found.calls])
            assert parts[0][0] == first
            assert parts[-1][1] == end
            assert all(one[1] == other[0] for one, other in pairwise(parts))
            assert set(found.days) <= set(days)
            assert set(found.spans) <= set(spans)

    def test_what_reaches_over_an_end_is_read_from_the_calls(self) -> None:
        start, end = TODAY + timedelta(minutes=5), TODAY + timedelta(minutes=25)
        found = sources(start, end, [TODAY], spans_of(TODAY))
        assert found.days == ()
        assert found.spans == (TODAY + SPAN,)
        assert found.calls == ((start, TODAY + SPAN), (TODAY + 2 * SPAN, end))


class TestWhatIsDue:
    def due(self, touched: dict[datetime, datetime], made: MadeBuckets = NOTHING) -> list[datetime]:
        found = due_spans(touched, made, TODAY - 28 * DAY, NOW, SETTLING)
        return [start for starts in found.values() for start in starts]

    def test_ten_minutes_that_are_not_over_are_not_due(self) -> None:
        running = start_of_span(NOW)
        assert self.due({running: NOW}) == []
        assert running - SPAN in self.due({running - SPAN: NOW})

    def test_the_whole_of_a_day_with_calls_is_made_as_far_as_it_is_over(self) -> None:
        yesterday, today = TODAY - DAY, TODAY + SPAN
        assert self.due({yesterday: NOW}) == spans_of(yesterday)
        assert self.due({today: NOW}) == [each for each in spans_of(TODAY) if each + SPAN <= NOW]

    def test_the_newest_day_comes_first(self) -> None:
        assert list(due_spans({TODAY: NOW, TODAY - 3 * DAY: NOW}, NOTHING, TODAY - 28 * DAY, NOW, SETTLING)) == [
            TODAY,
            TODAY - 3 * DAY,
        ]

    def test_what_was_stored_since_is_made_again_for_a_minute_longer(self) -> None:
        yesterday = TODAY - DAY
        made = MadeBuckets(dict.fromkeys(spans_of(yesterday), NOW), {})
        assert self.due({yesterday: NOW}, made) == [yesterday]
        assert self.due({yesterday: NOW - SETTLING}, made) == [yesterday]
        assert self.due({yesterday: NOW - SETTLING - timedelta(milliseconds=1)}, made) == []

    def test_what_baselines_no_longer_reach_is_made_again_and_not_for_the_first_time(self) -> None:
        old = TODAY - 40 * DAY
        assert self.due({old: NOW}) == []
        assert self.due({old: NOW}, MadeBuckets({old: NOW - DAY}, {})) == [old]

    def test_a_day_is_made_when_all_of_it_was_and_again_when_a_part_was(self) -> None:
        every = dict.fromkeys(spans_of(TODAY), NOW)
        assert due_days_of_buckets(MadeBuckets(every, {})) == [TODAY]
        assert due_days_of_buckets(MadeBuckets(every, {TODAY: NOW})) == []
        assert due_days_of_buckets(MadeBuckets({**every, TODAY + SPAN: NOW + SPAN}, {TODAY: NOW})) == [TODAY]
        del every[TODAY]
        assert due_days_of_buckets(MadeBuckets(every, {})) == []
