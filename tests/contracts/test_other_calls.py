"""One contract for what is known of other calls, in memory and in ClickHouse: `History` and `TopicCounts`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp, log
from typing import Protocol

import numpy as np
import pytest

from processors.judging.baselines import STEPS_PER_UNIT, Group, baseline_of, group_of, moment_of
from processors.judging.call_context import DurationBaseline
from processors.judging.earlier_contacts import EarlierContact
from processors.kpi.surges import STEP, BucketCount
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.history import BaselineReader, ClickHouseHistory, ContactReader
from streams.adapters.clickhouse.topic_counts import ClickHouseTopicCounts
from streams.adapters.memory.calls import MemoryCalls
from streams.ports import History, TopicCounts
from tests.support.judged_calls import CUSTOMER, NAMES, NOW, ClickHouseCalls, an_event, judged

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LONG_ENOUGH_S = 60
STEP_OF_LOG = 1 / STEPS_PER_UNIT
"""So far from the exact figure a median, or a deviation, may be."""


class Deliveries(Protocol):
    def add(self, *analyses: CallAnalysis) -> None: ...


@dataclass
class World:
    """Where judged calls are delivered, and what is known of them. `history` is asked once for each moment."""

    calls: Deliveries
    history: Callable[[], History]
    counts: TopicCounts


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.embedded)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        memory = MemoryCalls()
        yield World(memory, lambda: memory, memory)
        return
    url = request.getfixturevalue("new_database")()
    with ExitStack() as cleanup:
        calls = ClickHouseCalls(connect(url))
        cleanup.callback(calls.close)
        counts = ClickHouseTopicCounts(url)
        cleanup.callback(counts.close)

        def history() -> History:
            baselines = BaselineReader(url, window=28 * DAY, refresh_s=LONG_ENOUGH_S, timeout_s=LONG_ENOUGH_S)
            contacts = ContactReader(url, timeout_s=LONG_ENOUGH_S)
            return cleanup.enter_context(ClickHouseHistory(baselines, contacts))

        yield World(calls, history, counts)


def baseline(world: World, call: CallEnded) -> DurationBaseline | None:
    return world.history().background(call).baseline


def contacts(world: World, call: CallEnded) -> tuple[EarlierContact, ...] | None:
    return world.history().background(call).contacts


THIS = an_event("this", NOW, queue="refunds", inquiry_type="退货退款", customer=CUSTOMER)


def like_this(call_id: str, before: timedelta, duration_ms: int = 240_000, **facts: object) -> CallEnded:
    """A call of the same group, and of the same customer."""
    same = {"queue": "refunds", "inquiry_type": "退货退款", "customer": CUSTOMER}
    return an_event(call_id, NOW - before, duration_ms, **(same | facts))


class TestBaseline:
    def test_there_is_none_without_calls(self, world: World) -> None:
        assert baseline(world, THIS) is None

    def test_it_is_median_and_mad_of_the_logarithms(self, world: World) -> None:
        durations_ms = [round(exp(value)) for value in (10, 11, 12, 13, 20)]
        for number, duration_ms in enumerate(durations_ms):
            world.calls.add(judged(like_this(f"c-{number}", DAY, duration_ms), duration_ms))
        found = baseline(world, THIS)
        assert found is not None
        assert found.calls == 5
        assert [found.median, found.mad] == pytest.approx([12, 1], abs=STEP_OF_LOG)

    def test_between_two_calls_in_the_middle_is_their_mean(self, world: World) -> None:
        for number, duration_ms in enumerate((100_000, 200_000)):
            world.calls.add(judged(like_this(f"c-{number}", DAY), duration_ms))
        found = baseline(world, THIS)
        assert found is not None
        assert found.median == pytest.approx((log(100_000) + log(200_000)) / 2, abs=STEP_OF_LOG)
        assert found.mad == pytest.approx(log(2) / 2, abs=STEP_OF_LOG)

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(judged(like_this("c", DAY, tenant_id="other")), id="another tenant"),
            pytest.param(judged(like_this("c", DAY, queue="orders")), id="another queue"),
            pytest.param(judged(like_this("c", DAY, queue=None)), id="no queue"),
            pytest.param(judged(like_this("c", DAY, inquiry_type="物流查询")), id="another inquiry type"),
            pytest.param(judged(like_this("c", DAY, inquiry_type=None)), id="no inquiry type"),
            pytest.param(judged(like_this("c", DAY), 2_000, outcome="too_short"), id="a misdial"),
            pytest.param(judged(like_this("c", DAY), None), id="a length that is not known"),
            pytest.param(judged(like_this("c", DAY), 0), id="no length"),
            pytest.param(judged(like_this("c", 29 * DAY)), id="before the window"),
            pytest.param(judged(THIS), id="the call itself"),
            pytest.param(judged(like_this("c", timedelta(seconds=1))), id="after the moment, though before the call"),
            pytest.param(judged(like_this("c", -DAY)), id="a later call"),
        ],
    )
    def test_only_earlier_calls_of_the_group_count(self, world: World, other: CallAnalysis) -> None:
        world.calls.add(other)
        assert baseline(world, THIS) is None
        world.calls.add(judged(like_this("counts", moment_distance() + MINUTE)))
        found = baseline(world, THIS)
        assert found is not None
        assert found.calls == 1

    def test_calls_without_queue_and_inquiry_type_are_a_group(self, world: World) -> None:
        world.calls.add(judged(an_event("c-1", NOW - DAY)), judged(an_event("c-2", NOW - DAY)))
        found = baseline(world, an_event("this", NOW))
        assert found is not None
        assert found.calls == 2

    def test_a_call_of_last_year_is_held_against_its_own_time(self, world: World) -> None:
        """History that is judged again."""
        world.calls.add(judged(like_this("then", 366 * DAY), 60_000), judged(like_this("now", DAY), 600_000))
        found = baseline(world, like_this("this", 365 * DAY))
        assert found is not None
        assert found.calls == 1
        assert found.median == pytest.approx(log(60_000), abs=STEP_OF_LOG)

    @pytest.mark.parametrize("seed", range(3))
    def test_it_is_that_of_the_reference_whatever_is_delivered_twice_or_judged_again(
        self, world: World, seed: int
    ) -> None:
        random = np.random.default_rng(seed)
        groups = [(tenant, queue, kind) for tenant in ("a", "b") for queue in ("q", None) for kind in ("k", None)]
        newest: list[CallAnalysis] = []
        deliveries: list[CallAnalysis] = []
        for number in range(400):
            tenant, queue, kind = groups[random.integers(len(groups))]
            ended_at = NOW - float(random.uniform(0.1, 30)) * DAY
            event = an_event(f"c-{number}", ended_at, tenant_id=tenant, queue=queue, inquiry_type=kind)
            # A re-analysis may find another length, and an older one may come after a newer one.
            versions = [
                judged(event, int(random.lognormal(12, 0.7)) + 1, version=version)
                for version in range(1, int(random.integers(2, 4)))
            ]
            newest.append(versions[-1])
            deliveries += [version for version in versions for _ in range(2)]
        random.shuffle(deliveries)
        for start in range(0, len(deliveries), 100):
            world.calls.add(*deliveries[start : start + 100])
        until = moment_of(NOW)
        known: dict[Group, list[int]] = {}
        for analysis in newest:
            if until - 28 * DAY <= analysis.call.ended_at < until:
                known.setdefault(group_of(analysis.call), []).append(int(analysis.measures["duration_ms"] or 0))
        assert len(known) == len(groups)
        history = world.history()
        for tenant, queue, kind in groups:
            this = an_event("this", NOW, tenant_id=tenant, queue=queue, inquiry_type=kind)
            found = history.background(this).baseline
            reference = baseline_of(known[tenant, queue, kind])
            assert found is not None
            assert found == reference


def moment_distance() -> timedelta:
    """How long before `NOW` its moment lies."""
    return NOW - moment_of(NOW)


class TestContacts:
    def test_there_are_none_without_earlier_calls(self, world: World) -> None:
        assert contacts(world, THIS) == ()

    def test_nothing_is_known_of_a_customer_without_a_key(self, world: World) -> None:
        world.calls.add(judged(an_event("c", NOW - DAY)))
        assert contacts(world, an_event("this", NOW)) is None

    def test_they_come_with_what_they_were_about_newest_first(self, world: World) -> None:
        world.calls.add(
            judged(like_this("c-1", 2 * DAY), topics=("refund", "logistics_delay", "refund")),
            judged(like_this("c-2", DAY, direction="outbound")),
        )
        assert contacts(world, THIS) == (
            EarlierContact("c-2", NOW - DAY, (), "outbound"),
            EarlierContact("c-1", NOW - 2 * DAY, ("logistics_delay", "refund"), "inbound"),
        )

    def test_of_a_call_that_was_judged_again_the_newest_analysis_counts_once(self, world: World) -> None:
        event = like_this("c", DAY)
        newer = judged(event, topics=("refund",), version=2)
        for analysis in (judged(event, topics=("logistics_delay",)), newer, newer, judged(event)):
            world.calls.add(analysis)
        assert contacts(world, THIS) == (EarlierContact("c", NOW - DAY, ("refund",), "inbound"),)

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(judged(like_this("c", DAY, customer="d" * 64)), id="another customer"),
            pytest.param(judged(like_this("c", DAY, customer=None)), id="a customer who is not known"),
            pytest.param(judged(like_this("c", DAY, tenant_id="other")), id="another tenant"),
            pytest.param(judged(like_this("c", 7 * DAY + MINUTE)), id="longer ago than the window"),
            pytest.param(judged(like_this("c", timedelta(0))), id="at the same moment"),
            pytest.param(judged(like_this("c", -MINUTE)), id="after it"),
            pytest.param(judged(like_this("c", DAY), 2_000, outcome="too_short"), id="a misdial"),
            pytest.param(judged(THIS), id="the call itself"),
        ],
    )
    def test_no_other_call_is_one(self, world: World, other: CallAnalysis) -> None:
        world.calls.add(other, judged(like_this("counts", 7 * DAY)))
        found = contacts(world, THIS)
        assert found is not None
        assert [contact.call_id for contact in found] == ["counts"]

    @pytest.mark.parametrize("outcome", ["no_audio", "bad_audio", "unsupported"])
    def test_a_call_that_could_not_be_heard_is_one(self, world: World, outcome: str) -> None:
        world.calls.add(judged(like_this("c", MINUTE), None).model_copy(update={"outcome": outcome}))
        found = contacts(world, THIS)
        assert found is not None
        assert [contact.call_id for contact in found] == ["c"]


HOUR = datetime(2026, 3, 31, 23, 0, tzinfo=UTC)


def by_place(buckets: Sequence[BucketCount]) -> dict[tuple[str, datetime], BucketCount]:
    assert len({(bucket.tenant_id, bucket.start) for bucket in buckets}) == len(buckets)
    return {(bucket.tenant_id, bucket.start): bucket for bucket in buckets}


class TestTopicCounts:
    def test_there_are_no_buckets_without_calls(self, world: World) -> None:
        assert list(world.counts.buckets(HOUR, HOUR + 6 * STEP)) == []

    def test_calls_are_counted_by_tenant_step_and_topic(self, world: World) -> None:
        world.calls.add(
            judged(an_event("c-1", HOUR), topics=("refund", "refund", "logistics_delay")),
            judged(an_event("c-2", HOUR + STEP - timedelta(milliseconds=1)), topics=("refund",)),
            judged(an_event("c-3", HOUR + STEP)),
            judged(an_event("c-4", HOUR, tenant_id="other"), topics=("refund",)),
        )
        found = by_place(world.counts.buckets(HOUR, HOUR + 2 * STEP))
        assert found == {
            ("acme", HOUR): BucketCount("acme", HOUR, 2, {"refund": 2, "logistics_delay": 1}, NAMES),
            ("acme", HOUR + STEP): BucketCount("acme", HOUR + STEP, 1, {}, {}),
            ("other", HOUR): BucketCount("other", HOUR, 1, {"refund": 1}, {"refund": NAMES["refund"]}),
        }

    def test_the_start_belongs_to_the_stretch_and_the_end_does_not(self, world: World) -> None:
        just_before = HOUR - timedelta(milliseconds=1)
        moments = (just_before, HOUR, HOUR + STEP)
        world.calls.add(*(judged(an_event(f"c-{number}", at)) for number, at in enumerate(moments)))
        assert list(by_place(world.counts.buckets(HOUR, HOUR + STEP))) == [("acme", HOUR)]

    def test_deliveries_and_re_analyses_change_no_count(self, world: World) -> None:
        event = an_event("c", HOUR)
        newer = judged(event, topics=("refund",), version=2)
        for analysis in (newer, judged(event, topics=("logistics_delay",)), newer):
            world.calls.add(analysis)
        (bucket,) = world.counts.buckets(HOUR, HOUR + STEP)
        assert (bucket.calls, dict(bucket.topics)) == (1, {"refund": 1})

    def test_calls_that_were_not_analysed_are_not_counted(self, world: World) -> None:
        world.calls.add(judged(an_event("c", HOUR), 2_000, outcome="too_short"))
        assert list(world.counts.buckets(HOUR, HOUR + STEP)) == []

    def test_the_calls_about_a_topic_come_newest_first_and_no_more_than_asked_for(self, world: World) -> None:
        world.calls.add(
            *(judged(an_event(f"c-{n}", HOUR + n * MINUTE), topics=("refund", "refund")) for n in range(5)),
            judged(an_event("c-8", HOUR), topics=("logistics_delay",)),
            judged(an_event("c-9", HOUR, tenant_id="other"), topics=("refund",)),
        )
        end = HOUR + 4 * MINUTE
        assert world.counts.calls_about("acme", "refund", HOUR, end, 10) == ("c-3", "c-2", "c-1", "c-0")
        assert world.counts.calls_about("acme", "refund", HOUR, end, 2) == ("c-3", "c-2")
        assert world.counts.calls_about("acme", "nothing", HOUR, end, 2) == ()
