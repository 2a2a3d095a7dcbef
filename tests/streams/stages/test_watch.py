"""`watch` and `callstream surges`: from judged calls to alerts, in memory and on ClickHouse."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from processors.kpi.surges import SurgeSettings, last_step
from schemas.config.tenants import TenantDays
from schemas.errors import RetryableError
from schemas.messages.alert import Alert
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import ALERTS_RAISED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.topic_counts import ClickHouseTopicCounts
from streams.adapters.kafka.client import BatchConsumer, apply_topics
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.memory.calls import MemoryCalls
from streams.embedded.stack import worker_spec
from streams.ports import TopicCounts
from streams.runtime.loop import Loop
from streams.settings import Settings
from streams.stages.watch import Surges, Watch, build_surges
from streams.topology import operations
from tests.streams.cli.terminal import Terminal
from tests.support.brokers import running_broker
from tests.support.judged_calls import ClickHouseCalls, FixedClock, an_event, judged
from tests.support.processes import eventually

WEEK = timedelta(weeks=1)
MINUTE = timedelta(minutes=1)
TEN = datetime(2026, 3, 23, 2, 0, tzinfo=UTC)
"""Monday, ten o'clock in Shanghai."""


def an_hour(start: datetime, about: int, *, others: int = 5, topic: str = "logistics_delay", **facts: Any) -> list[Any]:
    """The calls of an hour from `start`, evenly spread: about a topic, and others."""
    name = f"{start:%m%d%H%M}"
    late = [(f"late-{name}-{n}", n / about, (topic,)) for n in range(about)]
    rest = [(f"rest-{name}-{n}", n / others, ()) for n in range(others)]
    return [
        judged(an_event(call_id, start + share * timedelta(hours=1), **facts), topics=topics)
        for call_id, share, topics in [*late, *rest]
    ]


def usual(about: int = 20, around: datetime = TEN) -> list[Any]:
    """Calls about late deliveries in all hours around one in four past weeks, and in those before it of this week."""
    past = [hour - week * 168 for week in (1, 2, 3, 4) for hour in range(-7, 5)]
    return [call for hour in [*past, *range(-7, 0)] for call in an_hour(around + timedelta(hours=hour), about)]


class World:
    """Judged calls in memory, and a watch that looks at them."""

    def __init__(self, counts: TopicCounts | None = None) -> None:
        self.calls = MemoryCalls()
        self.broker = MemoryBroker()
        self.clock = FixedClock(TEN + timedelta(minutes=61))
        settings = SurgeSettings(TenantDays("Asia/Shanghai"))
        self.surges = Surges(counts or self.calls, settings)
        self.watch = self.new_watch()

    def new_watch(self) -> Watch:
        return Watch(self.surges, self.broker, self.clock)

    @property
    def alerts(self) -> list[Alert]:
        return [Alert.decode(record.value) for record in self.broker.records[ALERTS_RAISED.name]]


@pytest.fixture
def world() -> World:
    return World()


class TestWatch:
    def test_a_surge_becomes_an_alert_with_the_calls_behind_it(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 60))
        (alert,) = world.watch.look()
        assert world.alerts == [alert]
        assert (alert.kind, alert.tenant_id, alert.topic_id) == ("surge", "acme", "logistics_delay")
        assert alert.title == "物流延迟：一小时内 46 通，往周同一时段约 20 通"
        # It showed as soon as chance was out of the question: six calls of the hour before, and 40 of this hour's.
        assert (alert.calls_count, alert.expected_count) == (46, 20)
        assert alert.happened_at == TEN + 40 * MINUTE
        assert alert.raised_at == world.clock.now()
        this_hour = [f"late-03230200-{number}" for number in reversed(range(40))]
        assert alert.calls == (*this_hour, *(f"late-03230100-{number}" for number in reversed(range(14, 20))))

    def test_from_20_to_100_is_told_early_and_again_when_it_has_doubled(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 100))
        early, grown = world.watch.look()
        assert (early.calls_count, early.happened_at) == (47, TEN + 20 * MINUTE)
        assert (grown.calls_count, grown.happened_at) == (100, TEN + 60 * MINUTE)
        assert (early.expected_count, grown.expected_count) == (20, 20)
        assert len(grown.calls) == 50
        assert early.alert_id != grown.alert_id

    def test_its_key_is_one_that_the_contract_knows(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 60))
        (alert,) = world.watch.look()
        (record,) = world.broker.records[ALERTS_RAISED.name]
        assert record.key == f"acme/{alert.alert_id}".encode()

    def test_looking_again_raises_nothing_more(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 60))
        assert len(world.watch.look()) == 1
        for minute in range(30):
            world.clock.moment = TEN + timedelta(minutes=62 + minute)
            assert world.watch.look() == []

    def test_a_watch_that_was_started_again_raises_the_same_alert(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 60))
        (first,) = world.watch.look()
        world.clock.moment += 10 * MINUTE
        (again,) = world.new_watch().look()
        assert again.alert_id == first.alert_id
        assert again.calls == first.calls

    def test_usual_hours_raise_nothing(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 25))
        assert world.watch.look() == []

    def test_a_tenant_without_a_past_raises_nothing(self, world: World) -> None:
        world.calls.add(*an_hour(TEN, 60))
        assert world.watch.look() == []

    def test_a_surge_that_goes_on_is_one_alert_until_it_has_doubled(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 60))
        (first,) = world.watch.look()
        world.calls.add(*an_hour(TEN + timedelta(hours=1), 60))
        world.clock.moment += timedelta(hours=1)
        assert world.watch.look() == []
        world.calls.add(*an_hour(TEN + timedelta(hours=2), 120))
        world.clock.moment += timedelta(hours=1)
        (second,) = world.watch.look()
        assert (first.calls_count, second.calls_count) == (46, 100)
        assert second.alert_id != first.alert_id

    def test_calls_that_are_judged_late_still_raise_it(self, world: World) -> None:
        world.calls.add(*usual())
        world.clock.moment = TEN + timedelta(hours=5)
        assert world.watch.look() == []
        world.calls.add(*an_hour(TEN, 60))
        (alert,) = world.watch.look()
        assert alert.happened_at == TEN + 40 * MINUTE

    def test_a_call_that_is_judged_again_counts_once(self, world: World) -> None:
        calls = an_hour(TEN, 30)
        world.calls.add(*usual(), *calls, *calls)
        assert world.watch.look() == []

    def test_tenants_have_surges_of_their_own(self, world: World) -> None:
        world.calls.add(*usual(), *an_hour(TEN, 60))
        other = [
            call.model_copy(update={"tenant_id": "other", "call": call.call.model_copy(update={"tenant_id": "other"})})
            for call in [*usual(60), *an_hour(TEN, 60)]
        ]
        world.calls.add(*other)
        assert [alert.tenant_id for alert in world.watch.look()] == ["acme"]

    def test_what_could_not_be_published_is_raised_by_the_next_look(self, world: World) -> None:
        class RefusingOnce:
            refused = 0

            def publish(self, outputs: Iterable[ProducerRecord]) -> None:
                if not self.refused:
                    self.refused += 1
                    raise RetryableError(f"{len(list(outputs))} message(s) not taken")
                world.broker.publish(outputs)

        world.calls.add(*usual(), *an_hour(TEN, 60))
        watch = Watch(world.surges, RefusingOnce(), world.clock)
        with pytest.raises(RetryableError):
            watch.look()
        assert len(watch.look()) == 1

    def test_it_goes_on_when_the_database_did_not_answer_and_stops_when_asked(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        stop = threading.Event()

        class AwayAtFirst(MemoryCalls):
            asked = 0

            def buckets(self, start: datetime, end: datetime) -> Sequence[Any]:
                self.asked += 1
                if self.asked == 1:
                    raise RetryableError("ClickHouse did not answer counts of topics")
                if self.asked > 20:
                    stop.set()
                return super().buckets(start, end)

        calls = AwayAtFirst()
        calls.add(*usual(), *an_hour(TEN, 60))
        world.surges = Surges(calls, world.surges.settings)
        Loop("watch", world.new_watch().look, stop, 0.01, every_s=0.01).run()
        assert len(world.alerts) == 1
        assert "watch waits: ClickHouse did not answer" in caplog.text
        assert "物流" not in caplog.text

    def test_the_contract_says_that_it_raises_alerts(self) -> None:
        assert [(o.action, o.topic.name) for o in operations() if o.stage == "watch"] == [("send", ALERTS_RAISED.name)]


class TestSameHours:
    """A bank whose customers call at nine in the morning, by the clock of the wall."""

    @pytest.mark.parametrize(
        ("zone", "is_surge"),
        [
            pytest.param(
                "Europe/Berlin", False, id="at nine there, which is an hour earlier in UTC since it is summer"
            ),
            pytest.param("Asia/Shanghai", True, id="by a clock that was not changed, the hour is an unusual one"),
        ],
    )
    def test_are_those_of_the_zone_of_the_tenant(self, zone: str, is_surge: bool) -> None:
        nine = datetime(2026, 3, 30, 7, 0, tzinfo=UTC)
        world = World()
        world.clock.moment = nine + timedelta(minutes=60)
        for week in (1, 2, 3, 4):
            world.calls.add(*an_hour(nine - week * WEEK, 5), *an_hour(nine + timedelta(hours=1) - week * WEEK, 60))
        world.calls.add(*an_hour(nine, 60))
        surges = Surges(world.calls, SurgeSettings(TenantDays(zone)))
        (found,) = surges.assessments(nine + timedelta(hours=1), nine + timedelta(hours=1))
        assert (found.verdict == "surge") == is_surge
        assert found.expected == (5 if is_surge else 60)


@pytest.mark.embedded
def test_on_clickhouse_it_is_the_same_as_in_memory_and_the_command_line_shows_it(
    new_database: Callable[[], str],
    terminal: Terminal,
) -> None:
    url = new_database()
    store = ClickHouseCalls(connect(url))
    calls = [*usual(), *an_hour(TEN, 60)]
    for _ in range(2):
        for start in range(0, len(calls), 1_000):
            store.add(*calls[start : start + 1_000])
    store.close()
    counts = ClickHouseTopicCounts(url)
    on_clickhouse, in_memory = World(counts), World()
    in_memory.calls.add(*calls)
    found = on_clickhouse.watch.look()
    assert [alert.calls_count for alert in found] == [46]
    assert found == in_memory.watch.look()
    counts.close()

    terminal.set(clickhouse_url=url)
    shown = terminal.run("surges", "--at", "2026-03-23T11:03:00+08:00", "--json")
    assert shown.code == 1, "there is a problem to see"
    assert json.loads(shown.out) == [
        {
            "tenant_id": "acme",
            "topic_id": "logistics_delay",
            "name": "物流延迟",
            "window_start": "2026-03-23T02:00:00+00:00",
            "window_end": "2026-03-23T03:00:00+00:00",
            "calls": 60,
            "past_weeks": [20, 20, 20, 20],
            "expected": 20.0,
            "chance": pytest.approx(5.8649e-9, rel=1e-4, abs=0),
            "q_value": pytest.approx(5.8649e-9, rel=1e-4, abs=0),
            "comparisons": 1,
            "verdict": "surge",
        }
    ]
    table = terminal.run("surges", "--at", "2026-03-23T11:03:00+08:00")
    assert table.code == 1
    for expected in ("logistics_delay", "物流延迟", "60", "20 20 20 20", "surge", "2026-03-23 03:00 UTC"):
        assert expected in table.out
    # An hour earlier was as usual, and today there is nothing.
    assert terminal.run("surges", "--at", "2026-03-23T10:00:00+08:00").code == 0
    assert terminal.run("surges", "--json").json == []


@pytest.mark.embedded
def test_the_worker_raises_it_on_a_broker_and_ends_when_told_to(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    url = new_database()
    this_hour = last_step(datetime.now(UTC)) - timedelta(hours=1)
    with running_broker("tansu", tmp_path / "broker") as broker:
        settings = broker.model_copy(update={"clickhouse_url": SecretStr(url), "data_dir": tmp_path})
        apply_topics(settings)
        store = ClickHouseCalls(connect(url))
        store.add(*usual(around=this_hour), *an_hour(this_hour, 60))
        store.close()
        spec = worker_spec("watch", 0, settings, restart=False)
        consumer = BatchConsumer(settings, "test", [ALERTS_RAISED.name])
        records: list[ConsumerRecord] = []

        def received() -> bool:
            records.extend(consumer.poll(1, 1))
            return bool(records)

        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(spec.argv, env=os.environ | dict(spec.env), stdout=log, stderr=log) as worker,
        ):
            assert eventually(received), f"no alert; the worker ended with {worker.poll()}"
            worker.terminate()
            assert worker.wait(timeout=60) == 0
        consumer.close()
    (alert,) = (Alert.decode(record.value) for record in records)
    assert (alert.kind, alert.topic_id, alert.calls_count) == ("surge", "logistics_delay", 46)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "watch is ready" in said
    assert "surge of acme/logistics_delay, 46 calls" in said
    assert "物流" not in said


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        pytest.param("2026-03-23T11:03:00", "has no time zone", id="no zone"),
        pytest.param("yesterday", "yesterday is not a time", id="no time"),
        pytest.param("0001-01-01T00:00:00+08:00", "the year must be from 1971 to 2105", id="no year of calls"),
    ],
)
def test_a_moment_that_cannot_be_used_is_refused(terminal: Terminal, moment: str, reason: str) -> None:
    refused = terminal.run("surges", "--at", moment)
    assert refused.code == 2
    assert reason in refused.err


@pytest.mark.loopback
def test_surges_without_clickhouse_say_so(terminal: Terminal) -> None:
    terminal.set(clickhouse_url="http://callstream:hush-hush@127.0.0.1:9/callstream")
    refused = terminal.run("surges")
    assert refused.code == 4
    assert "did not answer" in refused.err
    assert "hush-hush" not in refused.err


def test_weeks_numbers_and_zone_are_settings() -> None:
    settings = Settings.model_validate(
        {"timezone": "Europe/Berlin", "surge_weeks": 6, "surge_min_count": 30, "surge_ratio": 3}
    )
    assert build_surges(settings).settings == SurgeSettings(TenantDays("Europe/Berlin"), 6, 30, 3)
