"""The `notify` stage: every alert to every subscriber that asks for it.

Each subscription has a thread, a consumer group and a delivery queue of its own, so that a subscriber that hangs delays
nobody else. What has not been finished for it is not committed; a worker that is killed goes on with exactly that, and
what had been delivered but not committed is delivered once more, under the same id.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from processors.alerts.delivery_queue import Answer, Delivery, DeliveryQueue, RetrySchedule
from schemas.config.subscription import Subscription, SubscriptionsError, content_digest, load_subscriptions
from schemas.errors import InvalidMessageError, RetryableError
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.topics import ALERTS_DELIVERED, ALERTS_RAISED
from streams.adapters.channels import Channel
from streams.adapters.channels.http_sender import allows_host
from streams.ports import Clock
from streams.runtime.logs import describe
from streams.runtime.offsets import PartitionProgress
from streams.runtime.record import ConsumerRecord
from streams.runtime.runner import BackOff, PublisherPort, StoppedError
from streams.runtime.stage import Output

log = logging.getLogger(__name__)

MAX_WAITING = 5_000
"""A lane in which so many alerts wait reads no more until some are finished."""

READ_MOST = 100
BURST_DELIVERIES = 20
BURST_S = 0.5
"""So many messages, or those of so long, are sent before they are recorded; a crash repeats no more than these."""

IDLE_S = 0.5
"""A lane looks up at least this often: whether it is to stop, whether something is due."""

END_WITHIN_S = 30.0
"""Of a lane that another one takes the place of: longer than most attempts take."""

STOP_WITHIN_S = 5.0
"""Of all lanes when the worker stops: an attempt that is under way then is repeated at the next start."""

Commits = Mapping[int, tuple[int, str]]


class AlertSource(Protocol):
    """Where a lane reads alerts; offsets move only by `commit`."""

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]: ...

    def hold(self, held: bool) -> None: ...

    def commit(self, commits: Commits) -> None: ...

    def close(self) -> None: ...


OpenSource = Callable[[str, Callable[[Commits], None], Callable[[Collection[int]], None]], AlertSource]
"""Subscriber's name, what to call with partitions that were assigned, and with those that were taken away."""


@dataclass(frozen=True)
class Outside:
    """What lanes need of the outside."""

    open_source: OpenSource
    open_channel: Callable[[Subscription], Channel]
    publisher: PublisherPort
    clock: Clock
    schedule: RetrySchedule
    retry_max_wait_s: float


class DeliveryThread:
    """One subscriber, from the topic to its channel. `run` is the whole life of its thread."""

    def __init__(self, subscription: Subscription, outside: Outside) -> None:
        self.subscription = subscription
        self._outside = outside
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name=f"notify.{subscription.name}", daemon=True)

    def start(self) -> None:
        """Run it."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """It ends after the attempt that is under way."""
        self._stop.set()

    def join(self, within_s: float) -> None:
        """Wait until it has ended, or so long."""
        self._thread.join(within_s)

    def run(self) -> None:
        """Until asked to stop. After an error it begins again where it has committed, after a pause."""
        back_off = BackOff(self._outside.retry_max_wait_s, self._stop)
        while not self._stop.is_set():
            try:
                with closing(_GroupMembership(self.subscription, self._outside)) as visit:
                    visit.run(self._stop, back_off)
            except RetryableError as error:
                log.warning("notify %s waits: %s", self.subscription.name, str(error))
            except Exception as error:
                # A bug, in this lane alone: the others must not stop with it.
                log.critical("notify %s begins again after a bug: %s", self.subscription.name, describe(error))
            with suppress(StoppedError):
                back_off.wait()


class _GroupMembership:
    """One membership of a lane in its consumer group."""

    def __init__(self, subscription: Subscription, outside: Outside) -> None:
        self._name = subscription.name
        self._outside = outside
        self._channel = outside.open_channel(subscription)
        self._queue = DeliveryQueue(subscription, outside.schedule, self._channel.per_minute)
        self._progress: dict[int, PartitionProgress] = {}
        self._changed: set[int] = set()
        self._source: AlertSource | None = None

    def run(self, stop: threading.Event, back_off: BackOff) -> None:
        """Raises `RetryableError` when Kafka does not answer."""
        source = self._source = self._outside.open_source(self._name, self._assigned, self._revoked)
        while not stop.is_set():
            source.hold(len(self._queue) >= MAX_WAITING or any(each.is_full for each in self._progress.values()))
            self._take(source.read(READ_MOST, self._pause_s()))
            self._send_due(stop)
            self._commit(source)
            back_off.reset()

    def close(self) -> None:
        """Leave the group. What is not committed is done again."""
        self._channel.close()
        if self._source is not None:
            with suppress(RetryableError):
                self._source.close()

    def _pause_s(self) -> float:
        """How long to wait for new alerts: not at all while something is due."""
        wake_at = self._queue.wake_at()
        if wake_at is None:
            return IDLE_S
        return min(max((wake_at - self._outside.clock.now()).total_seconds(), 0), IDLE_S)

    def _take(self, records: Sequence[ConsumerRecord]) -> None:
        lines: list[AlertDelivery] = []
        for raw in records:
            progress = self._progress.setdefault(raw.partition, PartitionProgress())
            self._changed.add(raw.partition)
            if not progress.take(raw.offset):
                continue
            place = (raw.partition, raw.offset)
            try:
                alert = ALERTS_RAISED.decode(raw.value)
            except InvalidMessageError:
                # `store` reads the same topic and writes the dead letter.
                log.warning("notify %s: %s cannot be read", self._name, raw.place)
                self._queue.skip(place)
            else:
                lines += self._queue.arrive(alert, place, self._outside.clock.now())
        self._record(lines)

    def _send_due(self, stop: threading.Event) -> None:
        """A burst of what is due, recorded together: the record costs as much as a message."""
        lines: list[AlertDelivery] = []
        ends_at_s = time.monotonic() + BURST_S
        for _ in range(BURST_DELIVERIES):
            delivery, decided = self._queue.next_delivery(self._outside.clock.now())
            lines += decided
            if delivery is None:
                break
            settled = self._queue.settle(delivery, self._sent(delivery), self._outside.clock.now())
            _log_attempt(settled[0])
            lines += settled
            if stop.is_set() or time.monotonic() >= ends_at_s:
                break
        self._record(lines)

    def _sent(self, delivery: Delivery) -> Answer:
        """How the attempt ended. A bug that one alert brings out is a failed attempt, so that it holds up no other."""
        began_s = time.monotonic()
        try:
            answer = self._channel.send(delivery.notice(self._name))
        except Exception as error:
            log.critical("notify %s failed by a bug: %s", self._name, describe(error))
            answer = Answer("later", error_class=type(error).__name__)
        return replace(answer, latency_ms=round((time.monotonic() - began_s) * 1000))

    def _record(self, lines: Sequence[AlertDelivery]) -> None:
        """Durable when it returns. Raises `RetryableError`."""
        if lines:
            outputs = [Output(ALERTS_DELIVERED.name, line.alert_id.encode(), line.encode()) for line in lines]
            self._outside.publisher.publish(outputs)

    def _commit(self, source: AlertSource) -> None:
        for partition, offset in self._queue.take_finished():
            if partition in self._progress:
                self._progress[partition].finish(offset)
                self._changed.add(partition)
        if self._changed:
            source.commit({partition: self._progress[partition].commit() for partition in self._changed})
            self._changed.clear()

    def _assigned(self, commits: Commits) -> None:
        for partition, (offset, metadata) in commits.items():
            self._progress[partition] = PartitionProgress.resumed(offset, metadata)
        log.info("notify %s reads %d partition(s)", self._name, len(commits))

    def _revoked(self, partitions: Collection[int]) -> None:
        """What was not finished there is read again by whoever has the partition now."""
        self._queue.drop(partitions)
        for partition in partitions:
            self._progress.pop(partition, None)
            self._changed.discard(partition)


def _log_attempt(line: AlertDelivery) -> None:
    level = logging.INFO if line.outcome in ("delivered", "grouped") else logging.WARNING
    answer = line.status_code if line.status_code is not None else line.error_class
    log.log(level, "notify %s: alert %s %s, answer %s", line.subscriber, line.alert_id, line.outcome, answer)
    if line.reason == "gone":
        log.error("notify %s: the subscriber wants no more alerts (410); nothing more is sent to it", line.subscriber)


class Notify:
    """The lanes of a subscription file, which is read again when it changes. One that is wrong changes nothing."""

    def __init__(self, file: Path | None, outside: Outside) -> None:
        self._file = file
        self._outside = outside
        self._lanes: dict[str, DeliveryThread] = {}
        self._digest = ""

    def start(self) -> None:
        """Raises `SubscriptionsError`."""
        self._digest = content_digest(self._file) if self._file else ""
        self._bring_to(load_subscriptions(self._file, allows=allows_host))

    def look_again(self) -> None:
        """Take over what has changed in the file since the last time."""
        if self._file is None:
            return
        digest = content_digest(self._file)
        if digest == self._digest:
            return
        self._digest = digest
        try:
            wanted = load_subscriptions(self._file, allows=allows_host)
        except SubscriptionsError as error:
            for problem in error.problems:
                log.error("notify: the subscriptions stay as they were: %s", problem)
            return
        self._bring_to(wanted)

    def stop(self) -> None:
        """Every lane ends after the attempt that it is at, if that ends in time."""
        ends_at_s = time.monotonic() + STOP_WITHIN_S
        for lane in self._lanes.values():
            lane.ask_to_stop()
        for lane in self._lanes.values():
            lane.join(max(ends_at_s - time.monotonic(), 0))
        self._lanes.clear()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the subscriptions that are served."""
        return tuple(self._lanes)

    def _bring_to(self, wanted: Sequence[Subscription]) -> None:
        new = {subscription.name: subscription for subscription in wanted}
        ended = [lane for name, lane in self._lanes.items() if new.get(name) != lane.subscription]
        for lane in ended:
            lane.ask_to_stop()
        for lane in ended:
            lane.join(END_WITHIN_S)
            del self._lanes[lane.subscription.name]
        for name, subscription in new.items():
            if name not in self._lanes:
                self._lanes[name] = DeliveryThread(subscription, self._outside)
                self._lanes[name].start()
        log.info("notify serves %d subscription(s)", len(self._lanes))
