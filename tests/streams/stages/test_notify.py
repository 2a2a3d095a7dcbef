"""`notify`: lanes that do not wait for each other, restarts that lose nothing, a file that may change."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.alerts.delivery_queue import Answer, RetrySchedule
from processors.alerts.rendering import Notice
from schemas.config.subscription import Subscription, SubscriptionsError
from schemas.errors import RetryableError
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import ALERTS_DELIVERED, ALERTS_RAISED
from streams.adapters.channels import channel_of
from streams.adapters.channels.channel import Channel
from streams.adapters.channels.http_sender import HttpLimits
from streams.adapters.memory.broker import MemoryAlertSource, MemoryBroker
from streams.ports import PartitionCommits, SystemClock
from streams.stages.notify import Notify, Outside
from tests.support.alerts import QUOTE, SECRET, an_alert
from tests.support.processes import eventually
from tests.support.receiver import DRIP, DROP, HANG, Receiver, Reply, Request, running_receiver

pytestmark = pytest.mark.loopback

SOON = HttpLimits(connect_s=0.5, read_s=0.3, total_s=0.8)
QUICK = RetrySchedule(first_s=0.02, longest_s=0.1, give_up_s=3_600)


def thread_of(name: str) -> threading.Thread:
    """That which serves the subscription of that name now."""
    (thread,) = (thread for thread in threading.enumerate() if thread.name == f"notify {name}")
    return thread


def fresh(number: int, **changes: Any) -> Alert:
    """An alert that was raised just now."""
    return an_alert(number, **{"raised_at": SystemClock().now()} | changes)


def webhook(name: str, url: str, **more: Any) -> dict[str, Any]:
    channel = {"webhook": {"url": url, "secrets": [SECRET], "allow_private": True}}
    return {"name": name, "tenant": "*", "channel": channel} | more


class Desk:
    """A broker in memory, a subscription file, and `notify` on both."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.file = folder / "subscriptions.yaml"
        self.schedule = QUICK
        self.sources: list[MemoryAlertSource] = []
        self.publish_failures = 0
        self.commit_failures = 0
        self.commits_are_lost = False
        self.retry_max_wait_s = 0.05
        self._lock = threading.Lock()
        self.subscribe()

    def subscribe(self, *subscriptions: dict[str, Any]) -> None:
        part = self.file.with_suffix(".part")
        part.write_text(yaml.safe_dump({"subscriptions": list(subscriptions)}), encoding="utf-8")
        part.replace(self.file)

    def raise_alerts(self, *alerts: Alert) -> None:
        self.broker.publish([ALERTS_RAISED.record(alert) for alert in alerts])

    @contextmanager
    def running(self) -> Iterator[Notify]:
        """Lanes have joined when this begins: what is raised from now on is theirs."""
        notify = Notify(self.file, self.outside())
        notify.start()
        try:
            assert eventually(lambda: all(self.joined(name) for name in notify.names), 10)
            yield notify
        finally:
            notify.stop()

    def joined(self, name: str) -> bool:
        return (f"notify.{name}", ALERTS_RAISED.name) in self.broker.committed

    def outside(self) -> Outside:
        def open_source(
            name: str,
            assigned: Callable[[Mapping[int, tuple[int, str]]], None],
            revoked: Callable[[Collection[int]], None],
            begun_again: Callable[[], None],
        ) -> MemoryAlertSource:
            source = MemoryAlertSource(
                self.broker,
                f"notify.{name}",
                ALERTS_RAISED.name,
                assigned=assigned,
                revoked=revoked,
                begun_again=begun_again,
            )
            commit = source.commit
            source.commit = lambda commits: self._commit(commit, commits)  # type: ignore[method-assign]
            if self.commits_are_lost:
                source.commit = lambda commits: None  # type: ignore[method-assign]  # noqa: ARG005
            return source

        def open_channel(subscription: Subscription) -> Channel:
            return channel_of(subscription, "", lambda: self.broker, SystemClock(), SOON)

        return Outside(
            open_source,
            open_channel,
            self,
            lambda: list(self.broker.records[ALERTS_DELIVERED.name]),
            SystemClock(),
            self.schedule,
            self.retry_max_wait_s,
        )

    def _commit(self, commit: Callable[[PartitionCommits], None], commits: PartitionCommits) -> None:
        if self.commit_failures:
            self.commit_failures -= 1
            raise RetryableError("Kafka did not take the offsets")
        commit(commits)

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        """The publisher of the record of deliveries."""
        with self._lock:
            if self.publish_failures:
                self.publish_failures -= 1
                raise RetryableError("no acknowledgement in time")
            self.broker.publish(outputs)

    def record(self, subscriber: str) -> list[AlertDelivery]:
        lines = [ALERTS_DELIVERED.decode(raw.value) for raw in list(self.broker.records[ALERTS_DELIVERED.name])]
        return [line for line in lines if line.subscriber == subscriber]

    def outcomes(self, subscriber: str) -> Counter[str]:
        return Counter(line.outcome for line in self.record(subscriber))

    def is_done(self, subscriber: str) -> bool:
        place = (f"notify.{subscriber}", ALERTS_RAISED.name)
        everything = (len(self.broker.records[ALERTS_RAISED.name]), "")
        return (self.broker.committed.get(place), self.broker.metadata.get(place, "")) == everything


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def ids(alerts: Iterable[Alert]) -> list[str]:
    return [alert.alert_id for alert in alerts]


class TestDelivery:
    def test_every_alert_arrives_once_and_is_recorded(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        alerts = [fresh(number) for number in range(30)]
        with desk.running():
            desk.raise_alerts(*alerts)
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert sorted(receiver.ids) == sorted(ids(alerts))
        assert desk.outcomes("desk") == {"delivered": 30}
        line = desk.record("desk")[0]
        assert (line.channel, line.attempt, line.status_code, line.error_class) == ("webhook", 1, 200, None)
        assert line.latency_ms is not None

    def test_who_asks_for_alerts_hears_of_no_selected_call_and_the_other_way_round(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        desk.subscribe(
            webhook("desk", receiver.url("/desk"), min_severity="info"),
            webhook("reviewers", receiver.url("/reviewers"), on="selected"),
        )
        alert, selected = fresh(1), fresh(1, rule_id="selected", severity="info", triggers=["duration_anomaly"])
        with desk.running():
            desk.raise_alerts(alert, selected)
            assert eventually(lambda: desk.is_done("desk") and desk.is_done("reviewers"), 10)
        assert {request.path: request.headers["webhook-id"] for request in receiver.requests} == {
            "/desk": alert.alert_id,
            "/reviewers": selected.alert_id,
        }
        assert len(receiver.requests) == 2

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param([Reply(500)], id="fails"),
            pytest.param([HANG], id="hangs"),
            pytest.param([DRIP], id="answers a byte at a time"),
            pytest.param([DROP], id="hangs up"),
            pytest.param([Reply(302, {"Location": "http://127.0.0.1:1/"})], id="redirects"),
            pytest.param([Reply(429, {"Retry-After": "0"})], id="has enough for now"),
            pytest.param([Reply(503), HANG, DROP, Reply(429, {"Retry-After": "0"})], id="everything in turn"),
        ],
    )
    def test_a_receiver_that_misbehaves_gets_it_when_it_has_come_to_its_senses(
        self, desk: Desk, receiver: Receiver, bad: list[Reply]
    ) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        receiver.script(*bad, Reply())
        with desk.running():
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.is_done("desk"), 20)
        assert desk.outcomes("desk") == {"failed": len(bad), "delivered": 1}
        assert set(receiver.ids) == {an_alert(1).alert_id}
        assert [line.attempt for line in desk.record("desk")] == list(range(1, len(bad) + 2))

    def test_what_is_refused_is_recorded_and_the_next_goes_on(self, desk: Desk, receiver: Receiver) -> None:
        poison = fresh(0)
        desk.subscribe(webhook("desk", receiver.url()))

        def choose(request: Request) -> Reply:
            return Reply(400 if request.headers["webhook-id"] == poison.alert_id else 200)

        receiver.choose = choose
        with desk.running():
            desk.raise_alerts(poison, *(fresh(number) for number in range(1, 6)))
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert desk.outcomes("desk") == {"gave_up": 1, "delivered": 5}
        assert Counter(receiver.ids)[poison.alert_id] == 1

    def test_one_that_always_fails_delays_none_of_the_others(self, desk: Desk, receiver: Receiver) -> None:
        poison = fresh(0)
        desk.subscribe(webhook("desk", receiver.url()))

        def choose(request: Request) -> Reply:
            return Reply(500 if request.headers["webhook-id"] == poison.alert_id else 200)

        receiver.choose = choose
        with desk.running():
            desk.raise_alerts(poison, *(fresh(number) for number in range(1, 21)))
            assert eventually(lambda: desk.outcomes("desk")["delivered"] == 20, 20)
            assert not desk.is_done("desk")

    def test_after_410_nothing_more_is_sent_and_everything_is_recorded(
        self, desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        receiver.script(Reply(410))
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running():
            desk.raise_alerts(*(fresh(number) for number in range(5)))
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert len(receiver.requests) == 1
        assert Counter(line.reason for line in desk.record("desk")) == {"gone": 1, "subscriber_gone": 4}
        assert "wants no more alerts" in caplog.text

    def test_what_cannot_be_read_holds_nothing_up(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running():
            no_id = fresh(9).model_copy(update={"alert_id": "x" * 99 + "\r\nwebhook-id: 1"})
            for value in (b"\xff", no_id.encode()):
                desk.broker.publish([ProducerRecord(ALERTS_RAISED.name, b"acme/c-9", value)])
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert desk.outcomes("desk") == {"delivered": 1}

    def test_a_storm_is_one_message_with_every_id(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url(), grouping={"more_than": 2, "within_s": 1}))
        with desk.running():
            desk.raise_alerts(*(fresh(number) for number in range(12)))
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert desk.outcomes("desk") == {"delivered": 2, "grouped": 10}
        assert len(receiver.requests) == 3
        body = yaml.safe_load(receiver.requests[2].body)
        assert (body["type"], body["data"]["count"]) == ("alert.grouped", 10)
        assert sorted(body["data"]["alert_ids"]) == sorted(an_alert(number).alert_id for number in range(2, 12))


class TestIsolation:
    @pytest.mark.parametrize("reply", [Reply(500), HANG, DRIP, DROP], ids=["fails", "hangs", "drips", "hangs up"])
    def test_a_dead_subscriber_delays_nobody(self, desk: Desk, receiver: Receiver, reply: Reply) -> None:
        with running_receiver(reply) as dead:
            desk.subscribe(webhook("dead", dead.url()), webhook("alive", receiver.url()))
            alerts = [fresh(number) for number in range(40)]
            with desk.running():
                for alert in alerts:
                    desk.raise_alerts(alert)
                assert eventually(lambda: desk.is_done("alive"), 20)
                assert eventually(lambda: len(dead.requests) > 0, 20)
            assert sorted(receiver.ids) == sorted(ids(alerts))
            assert desk.outcomes("dead")["delivered"] == 0
            assert not desk.is_done("dead"), "what it has not taken is not committed"

    def test_a_bug_in_one_lane_stops_no_other(
        self, desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.subscribe(webhook("buggy", receiver.url("/buggy")), webhook("alive", receiver.url()))
        outside = desk.outside()

        def open_channel(subscription: Subscription) -> Channel:
            if subscription.name == "buggy":
                raise ZeroDivisionError(QUOTE)
            return outside.open_channel(subscription)

        notify = Notify(desk.file, replace(outside, open_channel=open_channel))
        notify.start()
        try:
            assert eventually(lambda: desk.joined("alive"), 10)
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.is_done("alive"), 10)
        finally:
            notify.stop()
        assert "notify buggy begins again after a bug: builtins.ZeroDivisionError" in caplog.text
        assert QUOTE not in caplog.text

    def test_a_bug_that_one_alert_brings_out_is_a_failed_attempt_and_the_others_pass(
        self, desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        poison = fresh(0)
        desk.subscribe(webhook("desk", receiver.url()))
        outside = desk.outside()

        class Buggy:
            def __init__(self, channel: Channel) -> None:
                self._channel = channel
                self.per_minute = channel.per_minute

            def send(self, notice: Notice) -> Answer:
                if notice.notice_id == poison.alert_id:
                    raise ZeroDivisionError(notice.first.quote)
                return self._channel.send(notice)

            def close(self) -> None:
                self._channel.close()

        with_bug = replace(outside, open_channel=lambda subscription: Buggy(outside.open_channel(subscription)))
        notify = Notify(desk.file, with_bug)
        notify.start()
        try:
            assert eventually(lambda: desk.joined("desk"), 10)
            desk.raise_alerts(poison, *(fresh(number) for number in range(1, 11)))
            assert eventually(lambda: desk.outcomes("desk")["delivered"] == 10, 10)
            assert eventually(lambda: desk.outcomes("desk")["failed"] > 1, 10)
        finally:
            notify.stop()
        failed = [line for line in desk.record("desk") if line.outcome == "failed"]
        assert {(line.alert_id, line.error_class) for line in failed} == {(poison.alert_id, "ZeroDivisionError")}
        assert QUOTE[:6] not in caplog.text


class TestRestart:
    def test_killed_between_delivery_and_commit_it_delivers_again_under_the_same_id(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        desk.commits_are_lost = True
        with desk.running():
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.outcomes("desk")["delivered"] == 1, 10)
        desk.commits_are_lost = False
        with desk.running():
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert receiver.ids == [an_alert(1).alert_id] * 2
        first, second = receiver.requests
        assert first.body == second.body

    def test_what_waits_for_the_morning_is_kept_and_what_was_sent_meanwhile_is_not_sent_again(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        now = SystemClock().now()
        quiet = {"from": f"{(now.hour - 2) % 24:02}:00", "to": f"{(now.hour + 2) % 24:02}:00", "timezone": "UTC"}
        desk.subscribe(webhook("desk", receiver.url(), quiet_hours=quiet))
        waiting, urgent = fresh(1), [fresh(number, severity="critical") for number in range(2, 12)]
        with desk.running():
            desk.raise_alerts(waiting, *urgent)
            assert eventually(lambda: desk.outcomes("desk")["delivered"] == 10, 10)
        assert not desk.is_done("desk")
        later = fresh(20, severity="critical")
        desk.raise_alerts(later)
        with desk.running():
            assert eventually(lambda: desk.outcomes("desk")["delivered"] == 11, 10)
        assert Counter(receiver.ids) == dict.fromkeys(ids([*urgent, later]), 1)
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running():
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert Counter(receiver.ids) == dict.fromkeys(ids([*urgent, later, waiting]), 1)

    def test_a_subscriber_that_was_down_gets_after_the_restart_what_it_missed(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        receiver.script(Reply(503))
        desk.subscribe(webhook("desk", receiver.url()))
        alerts = [fresh(number) for number in range(10)]
        with desk.running():
            desk.raise_alerts(*alerts)
            assert eventually(lambda: desk.outcomes("desk")["failed"] >= 3, 10)
        receiver.script(Reply())
        receiver.requests.clear()
        with desk.running():
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert sorted(receiver.ids) == sorted(ids(alerts))

    def test_a_record_that_cannot_be_written_is_written_later(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running():
            desk.publish_failures = 3
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert receiver.ids == [an_alert(1).alert_id]
        assert desk.outcomes("desk") == {"delivered": 1}

    def test_while_nothing_can_be_recorded_each_alert_is_sent_once_and_each_line_is_written_in_the_end(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        refused, failing = fresh(0), fresh(1)
        first_tries = iter([Reply(500)])

        def choose(request: Request) -> Reply:
            if request.headers["webhook-id"] == refused.alert_id:
                return Reply(400)
            return next(first_tries, Reply()) if request.headers["webhook-id"] == failing.alert_id else Reply()

        receiver.choose = choose
        desk.subscribe(webhook("desk", receiver.url()))
        alerts = [refused, failing, *(fresh(number) for number in range(2, 30))]
        with desk.running():
            desk.publish_failures = 30
            desk.raise_alerts(*alerts)
            assert eventually(lambda: desk.is_done("desk"), 20)
        assert Counter(receiver.ids) == dict.fromkeys(ids(alerts), 1) | {failing.alert_id: 2}
        assert desk.outcomes("desk") == {"delivered": 29, "gave_up": 1, "failed": 1}

    def test_the_pauses_grow_until_something_is_recorded(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        desk.retry_max_wait_s = 4
        with desk.running():
            desk.publish_failures = 1_000_000
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: len(receiver.requests) == 1, 10)
            time.sleep(5)
            tries = 1_000_000 - desk.publish_failures
            desk.publish_failures = 0
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert 2 <= tries <= 5, "after half a second, one, two and four"
        assert receiver.ids == [an_alert(1).alert_id]

    def test_offsets_that_cannot_be_committed_send_nothing_twice_and_call_nothing_a_repeat(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        alerts = [fresh(number) for number in range(30)]
        with desk.running():
            desk.commit_failures = 5
            desk.raise_alerts(*alerts)
            assert eventually(lambda: desk.is_done("desk"), 20)
        assert Counter(receiver.ids) == dict.fromkeys(ids(alerts), 1)
        assert desk.outcomes("desk") == {"delivered": 30}

    def test_a_subscription_that_is_changed_meanwhile_sends_nothing_again(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running() as notify:
            desk.publish_failures = 1_000_000
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: len(receiver.requests) == 1, 10)
            desk.subscribe(webhook("desk", receiver.url(), min_interval_s=1))
            notify.look_again()
            desk.publish_failures = 0
            assert eventually(lambda: desk.is_done("desk"), 10)
        assert receiver.ids == [an_alert(1).alert_id]
        assert desk.outcomes("desk") == {"delivered": 1}

    def test_where_the_log_ends_before_what_was_committed_only_what_has_not_ended_is_sent(
        self, desk: Desk, receiver: Receiver
    ) -> None:
        desk.subscribe(webhook("desk", receiver.url()), webhook("other", receiver.url("/other")))
        before = [fresh(number) for number in range(5)]
        with desk.running():
            desk.raise_alerts(*before)
            assert eventually(lambda: desk.is_done("desk") and desk.is_done("other"), 10)
        receiver.requests.clear()
        after = [fresh(number) for number in range(5, 8)]
        desk.raise_alerts(*after)
        desk.broker.committed["notify.desk", ALERTS_RAISED.name] = 1_000
        with desk.running():
            assert eventually(lambda: desk.is_done("desk") and desk.is_done("other"), 10)
        assert Counter(receiver.ids) == dict.fromkeys(ids(after), 2), "each to both, and nothing of before"

    def test_a_new_subscriber_hears_of_what_happens_from_now_on(self, desk: Desk, receiver: Receiver) -> None:
        desk.raise_alerts(fresh(1))
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running():
            desk.raise_alerts(fresh(2))
            assert eventually(lambda: desk.outcomes("desk")["delivered"] == 1, 10)
        assert receiver.ids == [an_alert(2).alert_id]


class TestChangingTheFile:
    def test_a_subscription_that_is_added_or_changed_or_taken_away(self, desk: Desk, receiver: Receiver) -> None:
        with running_receiver() as other, desk.running() as notify:
            desk.subscribe(webhook("desk", receiver.url()))
            notify.look_again()
            assert eventually(lambda: desk.joined("desk"), 10)
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.is_done("desk"), 10)
            desk.subscribe(webhook("desk", other.url()))
            notify.look_again()
            desk.raise_alerts(fresh(2))
            assert eventually(lambda: desk.is_done("desk"), 10)
            desk.subscribe()
            notify.look_again()
            assert notify.names == ()
        assert (receiver.ids, other.ids) == ([an_alert(1).alert_id], [an_alert(2).alert_id])

    def test_one_that_stays_as_it_is_goes_on_undisturbed(self, desk: Desk, receiver: Receiver) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running() as notify:
            thread = thread_of("desk")
            desk.subscribe(webhook("other", receiver.url("/other")), webhook("desk", receiver.url()))
            notify.look_again()
            assert thread_of("desk") is thread
            assert set(notify.names) == {"desk", "other"}

    def test_a_wrong_file_changes_nothing_and_is_said_once(
        self, desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.subscribe(webhook("desk", receiver.url()))
        with desk.running() as notify:
            desk.subscribe(webhook("desk", receiver.url(), tenant="hush hush"))
            for _ in range(3):
                notify.look_again()
            assert notify.names == ("desk",)
            desk.raise_alerts(fresh(1))
            assert eventually(lambda: desk.is_done("desk"), 10)
        said = [record.message for record in caplog.records if "stay as they were" in record.message]
        assert len(said) == 1
        assert "subscription desk, field tenant" in said[0]
        assert "hush" not in caplog.text

    def test_a_wrong_file_at_the_start_stops_it(self, desk: Desk) -> None:
        desk.file.write_text("nonsense: [", encoding="utf-8")
        with pytest.raises(SubscriptionsError):
            Notify(desk.file, desk.outside()).start()

    def test_without_a_file_there_is_nothing_to_do(self, desk: Desk) -> None:
        threads = threading.active_count()
        notify = Notify(None, desk.outside())
        notify.start()
        notify.look_again()
        assert (notify.names, threading.active_count()) == ((), threads)
        notify.stop()


def test_no_log_holds_what_was_said_or_who_is_told(
    desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script(Reply(500), DROP, Reply(400, body=QUOTE.encode()), Reply())
    address = f"{receiver.url()}?key=hush-hush"
    desk.subscribe(webhook("desk", address))
    with caplog.at_level(logging.DEBUG), desk.running():
        desk.raise_alerts(*(fresh(number) for number in range(4)))
        assert eventually(lambda: desk.is_done("desk"), 10)
    secrets = (QUOTE[:6], "hush-hush", SECRET, "华东一组")
    everything = [caplog.text, *(line.model_dump_json() for line in desk.record("desk"))]
    assert [secret for secret in secrets if secret in "".join(everything)] == []
    assert an_alert(1).alert_id in caplog.text
