"""A broker in memory, for tests: one partition per topic, the same contract as Kafka (`tests/contracts/`)."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import MAX_MESSAGE_BYTES, TOPICS
from streams.ports import RecordTooLargeError
from streams.runtime.offsets import done_until

MAX_BYTES = {topic.name: int(topic.config()["max.message.bytes"]) for topic in TOPICS}


class MemoryBroker:
    """Keeps every record, and for each group the offset from which it goes on."""

    def __init__(self) -> None:
        self.records: dict[str, list[ConsumerRecord]] = defaultdict(list)
        self.committed: dict[tuple[str, str], int] = {}
        self.metadata: dict[tuple[str, str], str] = {}

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        """As `Publisher.publish`."""
        too_large = False
        for output in outputs:
            if len(output.value or b"") > MAX_BYTES.get(output.topic, MAX_MESSAGE_BYTES):
                too_large = True
                continue
            log = self.records[output.topic]
            now = datetime.now(UTC)
            log.append(ConsumerRecord(output.topic, 0, len(log), output.key, output.value, now, headers=output.headers))
        if too_large:
            raise RecordTooLargeError(["Kafka takes no message as large as what became of this one"])

    def consumer(self, group: str, topics: Sequence[str]) -> "MemoryConsumer":
        """A member of the group that starts where the group has committed."""
        return MemoryConsumer(self, group, topics)


class MemoryConsumer:
    """As `BatchConsumer`."""

    def __init__(self, broker: MemoryBroker, group: str, topics: Sequence[str]) -> None:
        self._broker = broker
        self._group = group
        committed = {topic: broker.committed.get((group, topic), 0) for topic in topics}
        self._next = {topic: at if at <= len(broker.records[topic]) else 0 for topic, at in committed.items()}

    def poll(self, most: int, wait_s: float) -> list[ConsumerRecord]:  # noqa: ARG002 - memory has nothing to wait for
        """Up to `most` records that this member has not had yet."""
        batch: list[ConsumerRecord] = []
        for topic, start in self._next.items():
            new = self._broker.records[topic][start : start + most - len(batch)]
            self._next[topic] += len(new)
            batch.extend(new)
        return batch

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        """Everything up to and including these records is done."""
        for record in records:
            place = (self._group, record.topic)
            self._broker.committed[place] = max(self._broker.committed.get(place, 0), record.offset + 1)

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        """The next `poll` returns these records again."""
        for record in records:
            self._next[record.topic] = min(self._next[record.topic], record.offset)

    def close(self) -> None:
        """Leave the group."""


class MemoryReader:
    """As `TopicReader`."""

    def __init__(self, broker: MemoryBroker, topic: str, since: datetime | None = None) -> None:
        self._records = broker.records[topic]
        self._next = next(
            (place for place, one in enumerate(self._records) if since is None or one.written_at >= since),
            len(self._records),
        )
        self.is_at_end = False

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:  # noqa: ARG002 - memory has nothing to wait for
        """Up to `most` records that follow."""
        batch = self._records[self._next : self._next + most]
        self._next += len(batch)
        self.is_at_end = self.is_at_end or self._next == len(self._records)
        return batch

    def read_to_end(self) -> list[ConsumerRecord]:
        """Everything that follows."""
        return self.read(len(self._records), 0)

    def close(self) -> None:
        """Let go of the topic."""


class MemoryLaneSource:
    """As `KafkaLaneSource`, the only member of its group."""

    def __init__(
        self,
        broker: MemoryBroker,
        group: str,
        topics: Sequence[str],
        assigned: Callable[[Mapping[tuple[str, int], tuple[int, str]]], None],
        revoked: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._group = group
        self._topics = topics
        self._assigned = assigned
        self._revoked = revoked
        self._next: dict[str, int] = {}
        self._held: frozenset[tuple[str, int]] = frozenset()

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """As `LaneSource.read`. Where there is nothing, a moment is waited, so that who asks on and on lets others
        run."""
        if not self._next:
            self.rebalance()
        batch: list[ConsumerRecord] = []
        for topic, start in self._next.items():
            if (topic, 0) not in self._held:
                new = self._broker.records[topic][start : start + most - len(batch)]
                self._next[topic] += len(new)
                batch.extend(new)
        if not batch:
            time.sleep(min(wait_s, 0.01))
        return batch

    def rebalance(self) -> None:
        """All partitions are taken away and given back."""
        if self._next:
            self._revoked()
        known = {topic: self._broker.committed.get((self._group, topic), -1) for topic in self._topics}
        self._next = {topic: max(offset, 0) for topic, offset in known.items()}
        self._assigned(
            {
                (topic, 0): (offset, self._broker.metadata.get((self._group, topic), ""))
                for topic, offset in known.items()
            }
        )

    def hold(self, places: Collection[tuple[str, int]]) -> None:
        """As `LaneSource.hold`."""
        self._held = frozenset(places)

    def commit(self, commits: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        """As `LaneSource.commit`."""
        for (topic, _), (offset, metadata) in commits.items():
            self._broker.committed[(self._group, topic)] = offset
            self._broker.metadata[(self._group, topic)] = metadata

    def close(self) -> None:
        """Leave the group."""


class MemoryAlertSource:
    """As `KafkaAlertSource`, the only member of its group."""

    def __init__(
        self,
        broker: MemoryBroker,
        group: str,
        topic: str,
        *,
        assigned: Callable[[Mapping[int, tuple[int, str]]], None],
        revoked: Callable[[Collection[int]], None],
        begun_again: Callable[[], None] = lambda: None,
    ) -> None:
        self._begun_again = begun_again
        self._broker = broker
        self._place = (group, topic)
        self._assigned = assigned
        self._revoked = revoked
        self._next: int | None = None
        self._held = False

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """What is there; the group begins at the end of the topic."""
        log = self._broker.records[self._place[1]]
        if self._next is None:
            self._next = self._broker.committed.setdefault(self._place, len(log))
            if done_until(self._next, self._broker.metadata.get(self._place, "")) > len(log):
                self._next = self._next if self._next <= len(log) else 0
                self._broker.metadata.pop(self._place, None)
                self._begun_again()
            self._assigned({0: (self._next, self._broker.metadata.get(self._place, ""))})
        if self._held or self._next >= len(log):
            time.sleep(min(wait_s, 0.01))
            return []
        found = log[self._next : self._next + most]
        self._next += len(found)
        return found

    def hold(self, held: bool) -> None:
        """Read nothing more, or go on."""
        self._held = held

    def commit(self, commits: Mapping[int, tuple[int, str]]) -> None:
        """Everything before the offset is done, and what the metadata say."""
        for offset, metadata in commits.values():
            self._broker.committed[self._place] = offset
            self._broker.metadata[self._place] = metadata

    def close(self) -> None:
        """Leave the group."""
        if self._next is not None:
            self._revoked({0})
