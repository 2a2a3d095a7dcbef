"""How long something waits, by how far a partition had reached and when."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.kafka.ages import MOST_LOOKS, Look, UnfinishedAges, age_s, remembered
from streams.adapters.kafka.client import Lag
from streams.settings import Settings

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def lag(end: int, *unread: int, group: str = "listen") -> Lag:
    return Lag(
        group, "calls.ended.v1", sum(end - each for each in unread), tuple((0, one) for one in unread), ((0, end),)
    )


def test_a_message_waits_since_it_was_first_seen_and_what_is_done_does_not_count() -> None:
    ages = UnfinishedAges(Settings(kafka_flavour="tansu"))
    place = ("listen", "calls.ended.v1")
    assert ages.ask([lag(0)], at(0)) == {place: 0}
    assert ages.ask([lag(3, 0)], at(15)) == {place: 0}, "it has come just now"
    assert ages.ask([lag(3, 0)], at(30)) == {place: 15}
    assert ages.ask([lag(8, 0)], at(45)) == {place: 30}, "younger ones do not make it younger"
    assert ages.ask([lag(8, 4)], at(60)) == {place: 15}, "now the oldest is one of those"
    assert ages.ask([lag(8)], at(75)) == {place: 0}


def test_each_group_has_its_own_and_the_slowest_forgets_nothing_for_the_others() -> None:
    ages = UnfinishedAges(Settings(kafka_flavour="tansu"))
    for seconds in range(0, 600, 15):
        ages.ask([lag(seconds, 0), lag(seconds, group="store")], at(seconds))
    found = ages.ask([lag(600, 0), lag(600, 590, group="store")], at(600))
    assert found == {("listen", "calls.ended.v1"): 585, ("store", "calls.ended.v1"): 0}


def test_a_topic_that_was_made_anew_begins_anew() -> None:
    ages = UnfinishedAges(Settings(kafka_flavour="tansu"))
    ages.ask([lag(100, 0)], at(0))
    assert ages.ask([lag(1, 0)], at(600)) == {("listen", "calls.ended.v1"): 0}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=1_000), st.integers(0, 3_000))
def test_what_is_forgotten_never_makes_anything_older_nor_much_younger(steps: list[int], offset: int) -> None:
    looks: list[Look] = []
    kept: list[Look] = []
    for number, step in enumerate(steps):
        look = (at(number), (looks[-1][1] if looks else 0) + step)
        looks.append(look)
        kept = remembered([*kept, look], offset)
    now = at(len(steps))
    whole, part = age_s(looks, offset, now), age_s(kept, offset, now)
    assert len(kept) <= MOST_LOOKS
    assert part <= whole
    assert part >= whole / 4
