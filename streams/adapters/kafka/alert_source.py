"""Reading alerts for one subscriber: a consumer group of its own, commits with what is done out of order."""

import logging
from collections.abc import Callable, Collection

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord
from streams.adapters.kafka.client import (
    ASK_WITHIN_S,
    KafkaAccessError,
    Told,
    beyond_the_end,
    consumer_config,
    consumer_record,
    failure,
)
from streams.ports import PartitionCommits
from streams.runtime.offsets import done_until
from streams.settings import Settings

log = logging.getLogger(__name__)


class KafkaAlertSource:
    """One member of the consumer group of one subscriber. For one thread.

    A group that has never committed begins at the end of the topic, and commits that at once: a new subscriber hears
    of what happens from now on, and loses nothing of it when the worker ends before the first delivery.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topic: str,
        *,
        assigned: Callable[[PartitionCommits], None],
        revoked: Callable[[Collection[int]], None],
        begun_again: Callable[[], None] = lambda: None,
    ) -> None:
        """`begun_again` is called where what was committed stands for nothing, and old alerts come once more."""
        self._topic = topic
        self._group = group
        self._begun_again = begun_again
        self._assigned = assigned
        self._revoked = revoked
        self._held = False
        self._failure: KafkaException | None = None
        self._consumer = Consumer(
            consumer_config(settings, group) | {"queued.max.messages.kbytes": 16_384, "error_cb": Told()}
        )
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """What is there, at most so much; the first of it is not waited for longer than `wait_s`.

        Must be called every few minutes, also while reading is held. Raises `RetryableError`.
        """
        try:
            first = self._consumer.poll(wait_s)
            messages = [] if first is None else [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        except KafkaException as error:
            raise failure("Kafka cannot be read", error) from None
        if self._failure is not None:
            untold, self._failure = self._failure, None
            raise failure("Kafka does not tell its offsets", untold)
        records = []
        for message in messages:
            problem = message.error()
            if problem is None:
                records.append(consumer_record(message))
            elif problem.fatal():
                raise RetryableError(f"Kafka consumer failed: {problem.name()}")
            elif isinstance(refused := failure("Kafka cannot be read", problem), KafkaAccessError):
                raise refused
            else:
                log.warning("Kafka consumer: %s", problem.name())
        return records

    def hold(self, held: bool) -> None:
        """Read nothing more, or go on; what was fetched before may still come."""
        if held == self._held:
            return
        self._held = held
        self._apply_hold()

    def commit(self, commits: PartitionCommits) -> None:
        """Raises `RetryableError`, also where the partition has gone to another member, who will read it again."""
        try:
            self._consumer.commit(
                offsets=[TopicPartition(self._topic, p, offset, metadata) for p, (offset, metadata) in commits.items()],
                asynchronous=False,
            )
        except KafkaException as error:
            raise failure("Kafka did not take the offsets", error) from None

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _apply_hold(self) -> None:
        try:
            partitions = self._consumer.assignment()
            (self._consumer.pause if self._held else self._consumer.resume)(partitions)
        except KafkaException as error:
            raise failure("Kafka consumer failed", error) from None

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # What is raised in here, librdkafka's thread of callbacks would bury; `read` raises it.
        try:
            commits = self._committed(consumer)
            if again := beyond_the_end(consumer, self._group, partitions):
                commits |= {partition: (low, "") for (_topic, partition), low in again.items()}
            if unknown := self._done_beyond_the_end(consumer, {p.partition: commits[p.partition] for p in partitions}):
                commits |= {partition: (commits[partition][0], "") for partition in unknown}
            if again or unknown:
                self._begun_again()
            for partition in partitions:
                partition.offset = commits[partition.partition][0]
            consumer.assign(partitions)
            self._assigned({p.partition: commits[p.partition] for p in partitions})
            if self._held:
                self._apply_hold()
        except KafkaException as error:
            self._failure = error

    def _committed(self, consumer: Consumer) -> dict[int, tuple[int, str]]:
        """Where the group stands on every partition of the topic, also on those of other members."""
        count = len(consumer.list_topics(self._topic, timeout=ASK_WITHIN_S).topics[self._topic].partitions)
        every = [TopicPartition(self._topic, partition) for partition in range(count)]
        committed = {p.partition: p for p in consumer.committed(every, timeout=ASK_WITHIN_S)}
        known = any(p.offset >= 0 for p in committed.values())
        found: dict[int, tuple[int, str]] = {}
        for partition, place in committed.items():
            if place.offset >= 0:
                found[partition] = (place.offset, place.metadata or "")
            else:
                low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=ASK_WITHIN_S)
                # A partition that was added since is read from its beginning.
                found[partition] = (low if known else high, "")
        if not known:
            consumer.commit(
                offsets=[TopicPartition(self._topic, p, offset) for p, (offset, _metadata) in found.items()],
                asynchronous=False,
            )
        return found

    def _done_beyond_the_end(self, consumer: Consumer, commits: PartitionCommits) -> list[int]:
        """Partitions of which offsets are said to be done that the log does not have: alerts to come will have them."""
        found = []
        for partition, (position, metadata) in commits.items():
            if not metadata:
                continue
            _, high = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=ASK_WITHIN_S)
            if done_until(position, metadata) > high:
                found.append(partition)
                log.critical(
                    "%s has done more of %s/%d than the log has, which ends at %d: a broker has lost records, or the"
                    " topic was made anew; what was done is learnt from the record of deliveries",
                    *(self._group, self._topic, partition, high),
                )
        return found

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoked({partition.partition for partition in partitions})

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoked({partition.partition for partition in partitions})
