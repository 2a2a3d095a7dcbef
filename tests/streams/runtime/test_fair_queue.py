"""Who is next: by weight, work conserving, and nobody saves up or waits for ever."""

from collections import Counter
from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.fair_queue import FairQueue, Queued

LANES = {"live": 8.0, "backfill": 1.0, "redo": 1.0}


def queue_of(
    waiting: Iterable[tuple[str, str, float]], weights: Mapping[str, float] | None = None, long_from: float = 900
) -> FairQueue[int]:
    """Lane, tenant and cost of each, in the order of arrival, which is what they are."""
    queue = FairQueue[int](LANES, lambda tenant: (weights or {}).get(tenant, 1.0), long_from)
    for number, (lane, tenant, cost) in enumerate(waiting):
        queue.push(Queued(lane, tenant, cost, number))
    return queue


def served(queue: FairQueue[int], count: int, *, without: tuple[str, ...] = ()) -> list[Queued[int]]:
    taken = [queue.pop(without=without) for _ in range(count)]
    return [each for each in taken if each is not None]


def test_a_tenant_with_a_thousand_calls_does_not_come_before_one_that_arrives_last() -> None:
    queue = queue_of([("live", "flood", 60)] * 1_000 + [("live", "small", 60)])

    assert [each.tenant for each in served(queue, 2)] == ["flood", "small"]


def test_of_a_tenant_the_oldest_is_next() -> None:
    queue = queue_of([("live", "acme", 60)] * 5)

    assert [each.item for each in served(queue, 5)] == [0, 1, 2, 3, 4]


def test_tenants_share_the_audio_and_not_the_calls() -> None:
    queue = queue_of([("live", "long", 600)] * 100 + [("live", "short", 60)] * 1_000)

    counts = Counter(each.tenant for each in served(queue, 220))

    assert counts == {"long": 20, "short": 200}


def test_a_tenant_of_twice_the_weight_has_twice_as_much() -> None:
    queue = queue_of([("live", "one", 60), ("live", "two", 60)] * 300, {"two": 2})

    counts = Counter(each.tenant for each in served(queue, 300))

    assert counts == {"one": 100, "two": 200}


def test_lanes_share_by_weight_and_the_slow_ones_come_all_the_same() -> None:
    queue = queue_of([(lane, "acme", 60) for lane in LANES] * 500)

    counts = Counter(each.lane for each in served(queue, 500))

    assert counts == {"live": 400, "backfill": 50, "redo": 50}


def test_whoever_waits_alone_has_everything() -> None:
    queue = queue_of([("redo", "acme", 60)] * 10)

    assert len(served(queue, 10)) == 10


def test_who_had_nothing_to_do_saved_up_nothing() -> None:
    queue = queue_of([("live", "steady", 60)] * 2_000)
    served(queue, 1_000)
    for number in range(1_000):
        queue.push(Queued("live", "late", 60, number))
        queue.push(Queued("backfill", "late", 60, number))

    counts = Counter((each.lane, each.tenant) for each in served(queue, 90))

    assert counts == {("live", "steady"): 40, ("live", "late"): 40, ("backfill", "late"): 10}


def test_a_paused_tenant_waits_and_saves_up_nothing() -> None:
    queue = queue_of([("live", "paused", 60), ("live", "other", 60)] * 200)

    assert {each.tenant for each in served(queue, 100, without=("paused",))} == {"other"}
    counts = Counter(each.tenant for each in served(queue, 100))
    assert abs(counts["paused"] - counts["other"]) <= 2


def test_where_all_are_paused_nobody_is_next_and_nobody_is_lost() -> None:
    queue = queue_of([("live", "paused", 60)] * 3)

    assert queue.pop(without=("paused",)) is None
    assert len(queue) == 3


def test_a_long_call_waits_where_only_short_ones_may_and_keeps_its_turn() -> None:
    queue = queue_of([("live", "acme", 7_200), ("live", "acme", 60), ("live", "acme", 60)])

    first = queue.pop(short_only=True)
    assert first is not None
    assert first.item == 1
    assert [each.item for each in served(queue, 2)] == [0, 2]


def test_what_is_put_back_is_next_of_its_tenant() -> None:
    queue = queue_of([("live", "acme", 60)] * 3)
    (first,) = served(queue, 1)

    queue.push_front(first)

    assert [each.item for each in served(queue, 3)] == [0, 1, 2]


def test_what_is_dropped_comes_no_more() -> None:
    queue = queue_of([("live", "acme", 60), ("redo", "acme", 60), ("live", "acme", 7_200)])

    assert {each.item for each in queue.drop(lambda item: item > 0)} == {1, 2}
    assert [each.item for each in queue.waiting()] == [0]
    assert len(queue) == 1


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.tuples(st.sampled_from([*LANES]), st.sampled_from("abc"), st.floats(1, 10_000)),
        ),
        max_size=200,
    )
)
def test_every_call_comes_once_whatever_arrives_when(steps: list[tuple[str, str, float] | None]) -> None:
    queue = queue_of([])
    taken: list[int] = []
    for number, step in enumerate(steps):
        if step is not None:
            queue.push(Queued(*step, number))
        elif (found := queue.pop(short_only=number % 3 == 0)) is not None:
            taken.append(found.item)
    while (found := queue.pop()) is not None:
        taken.append(found.item)

    assert sorted(taken) == [number for number, step in enumerate(steps) if step is not None]
    assert len(queue) == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(1, 600)), min_size=40, max_size=200))
def test_while_two_tenants_wait_neither_is_ahead_by_more_than_its_longest_call_and_that_of_the_other(
    calls: list[tuple[str, float]],
) -> None:
    queue = queue_of([("live", tenant, cost) for tenant, cost in calls])
    longest = max(cost for _, cost in calls)
    had: Counter[str] = Counter()
    while (found := queue.pop()) is not None:
        had[found.tenant] += found.cost  # type: ignore[assignment] # seconds
        waiting = {each.tenant for each in queue.waiting()}
        assert all(had[one] - had[other] <= 2 * longest for one in waiting for other in waiting)
