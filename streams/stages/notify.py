"""The `notify` stage: every alert to every subscriber that asks for it.

Each subscription has a thread, a consumer group and a delivery queue of its own, so that a subscriber that hangs delays
nobody else. What has not been finished for it is not committed; a worker that is killed goes on with exactly that, and
what had been delivered but not committed is delivered once more, under the same id.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from processors.alerts.delivery_queue import Answer, Delivery, DeliveryQueue, RetrySchedule
from processors.custody.ports import CallPurgedError, Tombstones
from schemas.config.subscription import Subscription, SubscriptionsError, content_digest
from schemas.errors import InvalidMessageError, RetryableError
from schemas.messages.alert_delivery import FINAL_OUTCOMES, AlertDelivery, DeliveryOutcome
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import ALERTS_DELIVERED, ALERTS_RAISED, key_of_alert
from streams.adapters.channels import channel_of, read_subscriptions
from streams.adapters.channels.channel import Channel
from streams.adapters.kafka.alert_source import KafkaAlertSource
from streams.adapters.kafka.client import TopicReader
from streams.adapters.register.register import Register
from streams.ports import AlertSource, Clock, PartitionCommits, PublisherPort
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.heartbeat import LONGEST_STEP_S, Pulse
from streams.runtime.logs import describe
from streams.runtime.loop import Loop, in_own_thread
from streams.runtime.offsets import PartitionProgress
from streams.runtime.tracing import Trace, ended, trace_of
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.topology import group_of_subscription
from streams.wiring import buried_calls, require_register, require_topics

log = logging.getLogger(__name__)

MAX_WAITING = 5_000
"""A subscription for which so many alerts wait reads no more until some are finished."""

READ_MOST = 100
BURST_DELIVERIES = 20
BURST_S = 0.5
"""So many messages, or those of so long, are sent before they are recorded; a crash repeats no more than these."""

IDLE_S = 0.5
"""A subscription looks up at least this often: whether it is to stop, whether something is due."""

END_WITHIN_S = 30.0
"""For the thread of a subscription that has changed: longer than most attempts take."""

STOP_WITHIN_S = 5.0
"""For all threads when the worker stops: an attempt that is under way then is repeated at the next start."""

LOOK_AGAIN_S = 2.0
"""So often is looked whether the subscriptions have changed."""

OpenSource = Callable[
    [str, Callable[[PartitionCommits], None], Callable[[Collection[int]], None], Callable[[], None]], AlertSource
]
"""Subscription's name; what to call with partitions that were assigned, with those that were taken away, and where old
alerts come once more."""


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka; raises `SubscriptionsError`."""
    settings = worker.settings

    def open_source(
        name: str,
        assigned: Callable[[PartitionCommits], None],
        revoked: Callable[[Collection[int]], None],
        begun_again: Callable[[], None],
    ) -> AlertSource:
        group = group_of_subscription("notify", name)
        return KafkaAlertSource(
            settings, group, ALERTS_RAISED.name, assigned=assigned, revoked=revoked, begun_again=begun_again
        )

    outside = Outside(
        open_source=open_source,
        open_channel=lambda subscription: channel_of(
            subscription, settings.console_url, worker.publisher, worker.clock
        ),
        publisher=worker.publisher(),
        delivery_lines=lambda: delivery_lines(settings),
        clock=worker.clock,
        schedule=RetrySchedule(),
        retry_max_wait_s=settings.retry_max_wait_s,
        pulse=worker.pulse,
        ended=worker.metrics.alerts,
        tombstones=buried_calls(settings),
    )
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_register(Register.of(settings)))
    notify = Notify(settings.subscriptions_file, outside)
    notify.start()
    return worker.loop(notify.look_again, every_s=LOOK_AGAIN_S, close=notify.stop)


@dataclass(frozen=True)
class Outside:
    """What deliveries need of the outside."""

    open_source: OpenSource
    open_channel: Callable[[Subscription], Channel]
    publisher: PublisherPort
    delivery_lines: Callable[[], Iterable[ConsumerRecord]]
    """The whole record of deliveries, all subscribers'; needed only where positions are lost."""
    clock: Clock
    schedule: RetrySchedule
    retry_max_wait_s: float
    pulse: Pulse = field(default_factory=Pulse)
    ended: Callable[[DeliveryOutcome], None] = lambda _outcome: None
    """Told how each attempt ended whose line is durable."""
    tombstones: Tombstones = NO_TOMBSTONES


def delivery_lines(settings: Settings) -> Iterator[ConsumerRecord]:
    """Everything that stands in the record of deliveries. Raises `RetryableError`."""
    reader = TopicReader(settings, ALERTS_DELIVERED.name)
    try:
        while not reader.is_at_end:
            yield from reader.read(1_000, 0.2)
    finally:
        reader.close()


class DeliveryThread:
    """One subscription, from the topic to its channel, in a thread of its own.

    After an error, a bug included, it begins again where it has committed: the others must not stop with it. What it
    has sent meanwhile it knows, and sends nothing more before all of that is recorded.
    """

    def __init__(
        self, subscription: Subscription, outside: Outside, predecessor: "DeliveryThread | None" = None
    ) -> None:
        """`predecessor` is the thread, ended by now, of the subscription as it was before it changed."""
        self.subscription = subscription
        self._outside = outside
        self._queue = DeliveryQueue(subscription, outside.schedule)
        self._record = _Record(outside)
        if predecessor is not None:
            self._queue.settled = predecessor._queue.settled
            self._record = predecessor._record
        self._stop = threading.Event()
        self._membership: _GroupMembership | None = None
        name = f"notify {subscription.name}"
        self._pulse = outside.pulse.of_loop(name, 2 * outside.retry_max_wait_s + LONGEST_STEP_S)
        self._loop = Loop(
            name,
            self._step,
            self._stop,
            outside.retry_max_wait_s,
            recover=self._leave,
            close=self._end,
            survives_bugs=True,
            beat=lambda: outside.pulse.beat(self._pulse),
        )
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run it."""
        self._thread = in_own_thread(self._loop)

    def ask_to_stop(self) -> None:
        """It ends after the attempt that is under way."""
        self._stop.set()

    def join(self, within_s: float) -> None:
        """Wait until it has ended, or so long."""
        if self._thread is not None:
            self._thread.join(within_s)

    @property
    def is_running(self) -> bool:
        """Whether it is still at something."""
        return self._thread is not None and self._thread.is_alive()

    def _step(self) -> None:
        # First of all: a step that goes well ends the growing of the pauses, and none may while nothing is recorded.
        self._record.write()
        if self._membership is None:
            self._membership = _GroupMembership(self.subscription, self._outside, self._queue, self._record)
        self._membership.step(self._stop)

    def _leave(self) -> None:
        membership, self._membership = self._membership, None
        if membership is not None:
            membership.close()

    def _end(self) -> None:
        """A thread that ends unasked keeps its pulse, which is missed."""
        if self._stop.is_set():
            self._outside.pulse.forget(self._pulse)
        self._leave()


class _Record:
    """Writes down what became of alerts, and keeps what could not be written."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._lines: list[AlertDelivery] = []

    def write(self, lines: Sequence[AlertDelivery] = ()) -> None:
        """These and all lines before them are durable when it returns. Raises `RetryableError`."""
        self._lines += lines
        if self._lines:
            self._outside.publisher.publish([ALERTS_DELIVERED.record(line) for line in self._lines])
            for line in self._lines:
                self._outside.ended(line.outcome)
            self._lines.clear()


class _GroupMembership:
    """One membership of a subscription in its consumer group. Queue and record outlive it."""

    def __init__(self, subscription: Subscription, outside: Outside, queue: DeliveryQueue, record: _Record) -> None:
        self._name = subscription.name
        self._outside = outside
        self._queue = queue
        self._record = record
        self._channel = outside.open_channel(subscription)
        self._queue.per_minute = self._channel.per_minute
        self._progress: dict[int, PartitionProgress] = {}
        self._changed: set[int] = set()
        self._traces: dict[tuple[int, int], Trace] = {}
        """Of alerts that wait, by their place: after which span of its trace each comes."""
        self._source: AlertSource | None = None
        self._begins_again = False

    def step(self, stop: threading.Event) -> None:
        """Read, send what is due, commit. Raises `RetryableError` when Kafka does not answer."""
        if self._source is None:
            self._source = self._outside.open_source(self._name, self._assigned, self._revoked, self._begin_again)
        source = self._source
        source.hold(len(self._queue) >= MAX_WAITING or any(each.is_full for each in self._progress.values()))
        records = source.read(READ_MOST, self._pause_s())
        if self._begins_again:
            self._queue.ended_before = self._ended_before()
            self._begins_again = False
        self._take(records)
        self._send_due(stop)
        self._commit(source)

    def close(self) -> None:
        """Leave the group. What is not committed is done again."""
        self._channel.close()
        if self._source is not None:
            with suppress(RetryableError):
                self._source.close()
        self._revoked(tuple(self._progress))

    def _begin_again(self) -> None:
        """Where the group stood is not known any more: what has ended is learnt from the record."""
        self._begins_again = True

    def _ended_before(self) -> frozenset[str]:
        """Ids of alerts of which the record says that they have ended for this subscriber. Raises `RetryableError`."""
        ended: set[str] = set()
        for raw in self._outside.delivery_lines():
            with suppress(InvalidMessageError):  # `store` writes its dead letter
                line = ALERTS_DELIVERED.decode(raw.value)
                if line.subscriber == self._name and line.outcome in FINAL_OUTCOMES:
                    ended.add(line.alert_id)
        log.warning("notify %s: %d alerts are known to have ended, all others are sent", self._name, len(ended))
        return frozenset(ended)

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
                alert = ALERTS_RAISED.read(raw)
            except InvalidMessageError:
                # `store` reads the same topic and writes the dead letter.
                log.warning("notify %s: %s cannot be read", self._name, raw.position)
                self._queue.skip(place)
            else:
                if (trace := trace_of(raw.key, raw.headers)) is not None:
                    self._traces[place] = trace
                lines += self._queue.arrive(alert, place, self._outside.clock.now())
        self._record.write(lines)

    def _send_due(self, stop: threading.Event) -> None:
        """A burst of what is due, recorded together: the record costs as much as a message."""
        lines: list[AlertDelivery] = []
        ends_at_s = time.monotonic() + BURST_S
        for _ in range(BURST_DELIVERIES):
            delivery, decided = self._queue.next_delivery(self._outside.clock.now())
            lines += decided
            if delivery is None:
                break
            began_ns = time.time_ns()
            answer = self._sent(delivery)
            for alert, place in delivery.entries:
                about = {"callstream.alert_id": alert.alert_id, "callstream.verdict": answer.verdict}
                ended("notify", key_of_alert(alert), self._traces.get(place), began_ns, about)
            settled = self._queue.settle(delivery, answer, self._outside.clock.now())
            _log_attempt(settled[0])
            lines += settled
            if stop.is_set() or time.monotonic() >= ends_at_s:
                break
        self._record.write(lines)

    def _sent(self, delivery: Delivery) -> Answer:
        """How the attempt ended. A bug that one alert brings out is a failed attempt, so that it holds up no other."""
        began_s = time.monotonic()
        try:
            kept = self._of_kept_calls(delivery)
            if kept is None:
                return Answer("refused", error_class=CallPurgedError.__name__)
            answer = self._channel.send(kept.notice(self._name))
        except RetryableError as error:
            log.warning("notify %s waits: %s", self._name, str(error))
            answer = Answer("later", error_class=type(error).__name__)
        except Exception as error:
            log.critical("notify %s failed by a bug: %s", self._name, describe(error))
            answer = Answer("later", error_class=type(error).__name__)
        return replace(answer, latency_ms=round((time.monotonic() - began_s) * 1000))

    def _of_kept_calls(self, delivery: Delivery) -> Delivery | None:
        """The delivery without alerts of calls that were destroyed while it waited; None where no other is left."""
        calls = {(alert.tenant_id, alert.call_id) for alert, _ in delivery.entries if alert.call_id is not None}
        buried = self._outside.tombstones.among([(tenant, call) for tenant, call in calls if call is not None])
        if not buried:
            return delivery
        kept = [entry for entry in delivery.entries if (entry[0].tenant_id, entry[0].call_id) not in buried]
        return replace(delivery, entries=kept) if kept else None

    def _commit(self, source: AlertSource) -> None:
        for partition, offset in self._queue.take_finished():
            self._traces.pop((partition, offset), None)
            if partition in self._progress:
                self._progress[partition].finish(offset)
                self._changed.add(partition)
        if self._changed:
            source.commit({partition: self._progress[partition].commit() for partition in self._changed})
            self._changed.clear()

    def _assigned(self, commits: PartitionCommits) -> None:
        for partition, (offset, metadata) in commits.items():
            self._progress[partition] = PartitionProgress.resumed(offset, metadata)
        log.info("notify %s reads %d partition(s)", self._name, len(commits))

    def _revoked(self, partitions: Collection[int]) -> None:
        """What was not finished there is read again by whoever has the partition now."""
        self._queue.drop(partitions)
        self._traces = {place: trace for place, trace in self._traces.items() if place[0] not in partitions}
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
    """The threads of a subscription file, which is read again when it changes. One that is wrong changes nothing."""

    def __init__(self, file: Path | None, outside: Outside) -> None:
        self._file = file
        self._outside = outside
        self._threads: dict[str, DeliveryThread] = {}
        self._former: dict[str, DeliveryThread] = {}
        """Those that have ended: a subscription that comes back knows what was sent and is not recorded yet."""
        self._digest = ""

    def start(self) -> None:
        """Raises `SubscriptionsError`."""
        self._digest = content_digest(self._file) if self._file else ""
        self._bring_to(read_subscriptions(self._file))

    def look_again(self) -> None:
        """Take over what has changed in the file since the last time."""
        if self._file is None:
            return
        digest = content_digest(self._file)
        if digest == self._digest:
            return
        self._digest = digest
        try:
            wanted = read_subscriptions(self._file)
        except SubscriptionsError as error:
            for problem in error.problems:
                log.error("notify: the subscriptions stay as they were: %s", problem)
            return
        self._bring_to(wanted)

    def stop(self) -> None:
        """Every thread ends after the attempt that it is at, if that ends in time."""
        ends_at_s = time.monotonic() + STOP_WITHIN_S
        for thread in self._threads.values():
            thread.ask_to_stop()
        for thread in self._threads.values():
            thread.join(max(ends_at_s - time.monotonic(), 0))
        self._threads.clear()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the subscriptions that are served."""
        return tuple(self._threads)

    def _bring_to(self, wanted: Sequence[Subscription]) -> None:
        new = {subscription.name: subscription for subscription in wanted}
        ended = [thread for name, thread in self._threads.items() if new.get(name) != thread.subscription]
        for thread in ended:
            thread.ask_to_stop()
        for thread in ended:
            thread.join(END_WITHIN_S)
            del self._threads[thread.subscription.name]
        self._former |= {thread.subscription.name: thread for thread in ended if not thread.is_running}
        for name, subscription in new.items():
            if name not in self._threads:
                self._threads[name] = DeliveryThread(subscription, self._outside, self._former.pop(name, None))
                self._threads[name].start()
        log.info("notify serves %d subscription(s)", len(self._threads))
