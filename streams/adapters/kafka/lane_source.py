"""Several topics read by one member of a group whose records are finished in any order (ADR 0079)."""

import logging
from collections.abc import Callable, Collection, Sequence

from confluent_kafka import Consumer, TopicPartition

from schemas.messages.records import ConsumerRecord
from streams.adapters.kafka.client import ASK_WITHIN_S, GroupMember, beyond_the_end, require_told
from streams.adapters.kafka.fetcher import Fetcher
from streams.ports import Place, PlaceCommits
from streams.runtime.offsets import done_until
from streams.settings import Settings

log = logging.getLogger(__name__)

Assigned = Callable[[PlaceCommits], None]


class KafkaLaneSource:
    """`LaneSource` by confluent-kafka, which is the member, and `Fetcher`, which reads. For one thread.

    A group that has never committed begins with the oldest record. Partitions of the same number go to the same member
    in all topics, so that all that is published of a call comes to one worker.
    """

    def __init__(
        self, settings: Settings, group: str, topics: Sequence[str], assigned: Assigned, revoked: Callable[[], None]
    ) -> None:
        """Asks nobody yet."""
        self._settings = settings
        self._group = group
        self._topics = topics
        self._assigned = assigned
        self._revoked = revoked
        self._fetcher = Fetcher(settings)
        self._member: GroupMember | None = None

    def read(self, most: int, wait_s: float) -> Sequence[ConsumerRecord]:
        """As `LaneSource.read`. Raises `KafkaAccessError` as well."""
        if self._member is None:
            self._member = GroupMember(self._settings, self._group, self._topics, self._on_assign, self._on_revoke)
        reads = self._fetcher.has_partitions
        self._member.serve(0 if reads else wait_s)
        return self._fetcher.take(most, wait_s) if reads and self._fetcher.has_partitions else []

    def hold(self, places: Collection[Place]) -> None:
        """As `LaneSource.hold`."""
        self._fetcher.hold(places)

    def commit(self, commits: PlaceCommits) -> None:
        """As `LaneSource.commit`, also where a partition has gone to another member, who will read it again."""
        if self._member is not None:
            self._member.commit(
                [TopicPartition(*place, offset, metadata) for place, (offset, metadata) in commits.items()]
            )

    def close(self) -> None:
        """As `LaneSource.close`."""
        self._fetcher.close()
        if self._member is not None:
            self._member.close()

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        committed = consumer.committed(list(partitions), timeout=ASK_WITHIN_S)
        require_told(committed)
        again = beyond_the_end(consumer, self._group, committed)
        commits: dict[Place, tuple[int, str]] = {}
        for known in committed:
            place = (known.topic, known.partition)
            if known.offset < 0:
                commits[place] = (-1, "")
            elif place in again:
                commits[place] = (again[place], "")
            else:
                commits[place] = (known.offset, self._believed(consumer, known))
        self._fetcher.assign({place: offset if offset >= 0 else None for place, (offset, _) in commits.items()})
        self._assigned(commits)

    def _believed(self, consumer: Consumer, known: TopicPartition) -> str:
        """What is said to be done behind the offset, unless the log does not have it: it is another log then."""
        metadata = known.metadata or ""
        if not metadata:
            return ""
        _, high = consumer.get_watermark_offsets(TopicPartition(known.topic, known.partition), timeout=ASK_WITHIN_S)
        if done_until(known.offset, metadata) <= high:
            return metadata
        log.critical(
            "%s has done more of %s/%d than the log has, which ends at %d: a broker has lost records, or the topic was"
            " made anew; everything behind offset %d is looked at again",
            *(self._group, known.topic, known.partition, high, known.offset),
        )
        return ""

    def _on_revoke(self, _partitions: Sequence[TopicPartition]) -> None:
        self._fetcher.assign({})
        self._revoked()
