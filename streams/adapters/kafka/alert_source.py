"""Reading alerts for one subscriber: a consumer group of its own, commits with what is done out of order."""

import logging
from collections.abc import Callable, Collection, Sequence

from confluent_kafka import Consumer, TopicPartition

from schemas.messages.records import ConsumerRecord
from streams.adapters.kafka.client import ASK_WITHIN_S, GroupMember, beyond_the_end, require_told
from streams.adapters.kafka.fetcher import Fetcher
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
        self._fetcher = Fetcher(settings)
        self._member = GroupMember(settings, group, [topic], self._on_assign, self._on_revoke)

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """What is there, at most so much; the first of it is not waited for longer than `wait_s`.

        Must be called every few minutes, also while reading is held. Raises `RetryableError` and `KafkaAccessError`.
        """
        reads = self._fetcher.has_partitions and not self._held
        self._member.serve(0 if reads else wait_s)
        return self._fetcher.take(most, wait_s) if reads else []

    def hold(self, held: bool) -> None:
        """Read nothing more, or go on."""
        self._held = held

    def commit(self, commits: PartitionCommits) -> None:
        """Raises `RetryableError`, also where the partition has gone to another member, who will read it again."""
        self._member.commit(
            [TopicPartition(self._topic, p, offset, metadata) for p, (offset, metadata) in commits.items()]
        )

    def close(self) -> None:
        """Leave the group."""
        self._fetcher.close()
        self._member.close()

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        committed = self._committed(consumer)
        commits = {p.partition: (p.offset, p.metadata or "") for p in committed}
        ours = {p.partition for p in partitions}
        again = beyond_the_end(consumer, self._group, [p for p in committed if p.partition in ours])
        commits |= {partition: (low, "") for (_topic, partition), low in again.items()}
        unknown = self._done_beyond_the_end(consumer, {partition: commits[partition] for partition in ours})
        commits |= {partition: (commits[partition][0], "") for partition in unknown}
        if again or unknown:
            self._begun_again()
        self._fetcher.assign({(self._topic, partition): commits[partition][0] for partition in ours})
        self._assigned({partition: commits[partition] for partition in sorted(ours)})

    def _committed(self, consumer: Consumer) -> list[TopicPartition]:
        """Where the group stands on every partition of the topic, also on those of other members."""
        count = len(consumer.list_topics(self._topic, timeout=ASK_WITHIN_S).topics[self._topic].partitions)
        every = [TopicPartition(self._topic, partition) for partition in range(count)]
        committed = consumer.committed(every, timeout=ASK_WITHIN_S)
        require_told(committed)
        known = any(place.offset >= 0 for place in committed)
        for place in (place for place in committed if place.offset < 0):
            low, high = consumer.get_watermark_offsets(
                TopicPartition(self._topic, place.partition), timeout=ASK_WITHIN_S
            )
            # A partition that was added since is read from its beginning.
            place.offset = low if known else high
        if not known:
            consumer.commit(offsets=committed, asynchronous=False)
        return committed

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

    def _on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        self._fetcher.assign({})
        self._revoked({partition.partition for partition in partitions})
