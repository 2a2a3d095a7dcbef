"""Durations that are added up give the baselines that the calls themselves give: whatever comes twice, late, in any
order, is judged again, blocked, or made by two workers at once.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.time_buckets import DAY, SPANS_OF_A_DAY, start_of_day
from processors.judging.baselines import Group, baseline_of, group_of, moment_of
from processors.judging.call_context import DurationBaseline
from schemas.messages.call_analysis import CallAnalysis
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.duration_buckets import ClickHouseDurationBuckets
from streams.adapters.clickhouse.history import read_baselines
from streams.stages.rollup import Durations
from tests.support.judged_calls import ClickHouseCalls, an_event, judged

pytestmark = pytest.mark.embedded

WINDOW = 6 * DAY
GROUPS = [(tenant, queue, kind) for tenant in ("a", "b") for queue in ("q", None) for kind in ("k", None)]


@dataclass
class Centre:
    """Calls that are stored, and a worker that adds them up."""

    url: str
    client: Client
    calls: ClickHouseCalls
    now: datetime
    known: dict[str, CallAnalysis] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)

    def durations(self) -> Durations:
        """A worker that has just been started."""
        return Durations(ClickHouseDurationBuckets(self.url), WINDOW)

    def deliver(self, *analyses: CallAnalysis) -> None:
        for each in analyses:
            before = self.known.get(each.call_id)
            if before is None or before.analysis_version <= each.analysis_version:
                self.known[each.call_id] = each
        self.calls.add(*analyses)

    def block(self, call_id: str) -> None:
        self.blocked.add(call_id)
        call = self.known[call_id]
        state = {"tenant_id": call.tenant_id, "call_id": call_id}
        more = {"state": "blocked", "reason": "erasure", "policy_version": "", "purge_id": "", "version": 1}
        self.calls.sink.write({"blocked_calls": [state]})
        self.calls.sink.write(
            {"purge_versions": [{**state, **more, "ended_at": call.call.ended_at, "at": datetime.now(UTC)}]}
        )

    def found(self, moment: datetime) -> dict[Group, DurationBaseline]:
        return dict(read_baselines(self.client, moment - WINDOW, moment))

    def expected(self, moment: datetime) -> dict[Group, DurationBaseline]:
        of_groups: dict[Group, list[int]] = defaultdict(list)
        for analysis in self.known.values():
            counts = analysis.outcome == "analyzed" and analysis.call_id not in self.blocked
            if counts and moment - WINDOW <= analysis.call.ended_at < moment:
                of_groups[group_of(analysis.call)].append(int(analysis.measures["duration_ms"] or 0))
        return {group: baseline_of(durations_ms) for group, durations_ms in of_groups.items()}

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.client.query(query).result_rows]


@pytest.fixture
def centre(new_database: Callable[[], str]) -> Iterator[Centre]:
    url = new_database()
    calls = ClickHouseCalls(connect(url))
    client = connect(url)
    yield Centre(url, client, calls, datetime.now(UTC))
    client.close()
    calls.close()


def a_call(centre: Centre, number: int, chance: random.Random, version: int = 1) -> CallAnalysis:
    """A call of the last eight days; its length differs with each judgement, and it may be no call to learn from."""
    of_call = random.Random(number)
    tenant, queue, kind = of_call.choice(GROUPS)
    ended_at = centre.now - timedelta(minutes=20) - of_call.random() * 8 * DAY
    event = an_event(f"c-{number}", ended_at, tenant_id=tenant, queue=queue, inquiry_type=kind)
    outcome = chance.choice(["analyzed"] * 5 + ["no_audio"])
    return judged(event, round(chance.lognormvariate(12, 0.8)) + 1, outcome=outcome, version=version)  # type: ignore[arg-type]


def test_they_are_those_of_the_calls_in_any_order_with_repeats(centre: Centre) -> None:
    chance = random.Random(0)
    deliveries = [a_call(centre, n, chance, v) for n in range(150) for v in range(1, chance.choice([2, 2, 4]))]
    deliveries += chance.sample(deliveries, len(deliveries) // 2)
    chance.shuffle(deliveries)
    workers = [centre.durations(), centre.durations()]
    while deliveries:
        size = chance.randrange(20, 120)
        centre.deliver(*deliveries[:size])
        deliveries = deliveries[size:]
        chance.choice(workers).step()
    for call_id in chance.sample(sorted(centre.known), 10):
        centre.block(call_id)
    for worker in chance.sample([*workers, centre.durations()], 3):
        worker.step()
    moments = [moment_of(centre.now), start_of_day(centre.now), moment_of(centre.now - 1.3 * DAY)]
    for moment in moments:
        assert centre.found(moment) == centre.expected(moment) != {}

    # They were read from what was added up: without the calls they are the same.
    centre.client.command("TRUNCATE TABLE call_versions")
    for moment in moments[:2]:
        assert centre.found(moment) == centre.expected(moment)


def test_a_tenant_whose_calls_count_no_longer_is_gone_from_its_ten_minutes(centre: Centre) -> None:
    event = an_event("c", centre.now - DAY, queue="q")
    centre.deliver(judged(event, 60_000), judged(an_event("other", event.ended_at, tenant_id="other"), 60_000))
    durations = centre.durations()
    durations.step()
    moment = moment_of(centre.now)
    assert {group[0] for group in centre.found(moment)} == {"acme", "other"}
    centre.deliver(judged(event, 60_000, outcome="no_audio", version=2))
    durations.step()
    centre.client.command("TRUNCATE TABLE call_versions")
    assert {group[0] for group in centre.found(moment)} == {"other"}


def test_a_call_that_comes_while_its_ten_minutes_are_known_is_in_the_next_making(centre: Centre) -> None:
    durations = centre.durations()
    centre.deliver(judged(an_event("c-1", centre.now - DAY), 60_000))
    durations.step()
    centre.deliver(judged(an_event("c-2", centre.now - DAY), 90_000))
    durations.step()
    moment = moment_of(centre.now)
    assert centre.found(moment) == centre.expected(moment)


def test_a_worker_that_is_started_again_finds_what_it_missed_also_where_baselines_reach_no_more(centre: Centre) -> None:
    old = centre.now - 5 * DAY
    centre.deliver(judged(an_event("c-1", old), 60_000))
    centre.durations().step()
    centre.deliver(judged(an_event("c-2", old), 90_000))
    Durations(ClickHouseDurationBuckets(centre.url), 2 * DAY).step()
    moment = moment_of(old + DAY)
    centre.client.command("TRUNCATE TABLE call_versions")
    assert [each.calls for each in centre.found(moment).values()] == [2]


def test_each_day_is_a_row_and_the_newest_is_made_first(centre: Centre) -> None:
    centre.deliver(*(judged(an_event(f"c-{n}", centre.now - n * DAY), 60_000) for n in range(1, 6)))
    made = centre.durations().step()
    days = list(dict.fromkeys(start_of_day(start) for start in made))
    assert days == [start_of_day(centre.now - n * DAY) for n in range(1, 6)]
    spans = centre.rows("SELECT count() FROM duration_buckets FINAL WHERE tenant_id = '' AND span_s = 600")
    assert spans == [(5 * SPANS_OF_A_DAY,)]
    query = "SELECT start, steps.calls FROM duration_buckets FINAL WHERE tenant_id = 'acme' AND span_s = 86400"
    assert sorted(centre.rows(query)) == [(day, [1]) for day in reversed(days)]


def test_calls_without_a_length_count_for_nothing_and_those_of_years_to_come_make_nothing(centre: Centre) -> None:
    late = judged(an_event("to-come", centre.now - DAY), 60_000)
    in_years = late.call.model_copy(update={"ended_at": centre.now.replace(year=2105)})
    centre.calls.add(late.model_copy(update={"call": in_years}))
    assert centre.durations().step() == []
    centre.deliver(judged(an_event("none", centre.now - DAY), None), judged(an_event("zero", centre.now - DAY), 0))
    centre.durations().step()
    assert centre.found(moment_of(centre.now)) == {}
