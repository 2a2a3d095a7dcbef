"""What `callstream topics apply` would do, and whether it may, made of what is wanted and what there is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.config.topics_file import read_topics_file
from schemas.errors import OperatorError
from schemas.messages.topics import DAY_MS, MASKED_DAYS, TOPICS, AnyTopic
from streams.settings import Settings

TopicChange = Literal[
    "created",
    "unchanged",
    "settings changed",
    "partitions added",
    "partitions added, settings changed",
    "has more partitions",
    "has more partitions, settings changed",
]

_TELLS = ("retention.ms", "min.insync.replicas", "max.message.bytes", "cleanup.policy")
"""Settings whose change is told with both values; the others by their name alone."""


class TopicsRefusedError(OperatorError):
    """What is asked would lose messages, and nobody has said that it may; nothing was changed."""

    exit_code = 3


@dataclass(frozen=True)
class PlannedTopic:
    """A topic as it is wanted."""

    topic: AnyTopic
    partitions: int
    replicas: int
    min_insync: int
    """So many replicas must have a message; 0: as `insync_of` says."""
    masked_days: int
    retention_days: int | None
    """None: as declared."""

    @property
    def name(self) -> str:
        return self.topic.name

    def config(self, replicas: int | None = None) -> dict[str, str]:
        """Settings of the topic on so many replicas; None: as many as it is made with."""
        replicas = self.replicas if replicas is None else replicas
        # Never more than there are: nothing could be written then.
        insync = min(self.min_insync or insync_of(replicas), replicas)
        return self.topic.config(self.masked_days, self.retention_days) | {"min.insync.replicas": str(insync)}


@dataclass(frozen=True)
class FoundTopic:
    """A topic as the brokers have it."""

    partitions: int
    replicas: int
    """Of the partition that has the fewest."""
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicStep:
    """What is to be done about one topic."""

    wanted: PlannedTopic
    found: FoundTopic | None

    @property
    def partitions_to_add(self) -> int:
        """Of a topic that is there. Never fewer than none: Kafka takes no partition away."""
        return max(self.wanted.partitions - self.found.partitions, 0) if self.found else 0

    @property
    def to_set(self) -> dict[str, str]:
        """Settings to be changed on a topic that is there."""
        if self.found is None:
            return {}
        config = self.wanted.config(self.found.replicas)
        return {key: value for key, value in config.items() if self.found.config.get(key) != value}

    @property
    def change(self) -> TopicChange:
        """The same in a word."""
        if self.found is None:
            return "created"
        if self.partitions_to_add:
            return "partitions added, settings changed" if self.to_set else "partitions added"
        if self.found.partitions > self.wanted.partitions:
            return "has more partitions, settings changed" if self.to_set else "has more partitions"
        return "settings changed" if self.to_set else "unchanged"

    def sentence(self) -> str:
        """What would be done, with figures."""
        if self.found is None:
            replicas = _count(self.wanted.replicas, "replica")
            return f"to be created with {_count(self.wanted.partitions, 'partition')}, {replicas}"
        parts = []
        if self.partitions_to_add:
            parts.append(f"partitions {self.found.partitions} -> {self.wanted.partitions}")
        if self.found.partitions > self.wanted.partitions:
            parts.append(f"keeps its {self.found.partitions} partitions, more than {self.wanted.partitions}")
        for key, value in self.to_set.items():
            former = self.found.config.get(key)
            parts.append(f"{key} {_value(key, former)} -> {_value(key, value)}" if key in _TELLS else f"{key} is set")
        if self.found.replicas != self.wanted.replicas:
            parts.append(
                f"keeps its {_count(self.found.replicas, 'replica')}, {self.wanted.replicas} are wanted: "
                "kafka-reassign-partitions.sh changes that"
            )
        return "; ".join(parts) or "unchanged"

    def loses_by_age(self) -> bool:
        """Whether messages that are kept now would be removed."""
        former, new = self._both("retention.ms")
        return former is not None and new is not None and new >= 0 and (former < 0 or new < former)

    def loses_copies(self) -> bool:
        """Whether messages would be acknowledged that fewer brokers have than now."""
        former, new = self._both("min.insync.replicas")
        return former is not None and new is not None and new < former

    def _both(self, key: str) -> tuple[int | None, int | None]:
        if self.found is None or key not in self.to_set:
            return None, None
        former = self.found.config.get(key)
        return (int(former) if former is not None else None), int(self.to_set[key])


def insync_of(replicas: int) -> int:
    """How many of so many replicas must have a message before it is acknowledged.

    Of three, two: then one broker may be away without a stop, and one may burn without a loss. Of fewer, one: two of
    two would stop everything whenever one is away.
    """
    return 2 if replicas >= 3 else 1


def topic_settings(topic: AnyTopic, replicas: int, masked_days: int = MASKED_DAYS) -> dict[str, str]:
    """What is declared of a topic, and how many of so many replicas must have a message before it is acknowledged.

    `masked_days` is how long topics with masked text are kept.
    """
    return topic.config(masked_days) | {"min.insync.replicas": str(insync_of(replicas))}


def planned(settings: Settings, topics: Iterable[AnyTopic] = TOPICS) -> tuple[PlannedTopic, ...]:
    """The topics as settings and the file of topics want them. Raises `TopicsFileError`."""
    file = read_topics_file(settings.kafka_topics_file)
    return tuple(
        PlannedTopic(
            topic,
            file.partitions_of(topic),
            settings.kafka_replication_factor,
            settings.kafka_min_insync_replicas,
            settings.kafka_masked_days,
            file.retention_days_of(topic),
        )
        for topic in topics
    )


def require_nothing_lost(
    steps: Sequence[TopicStep], *, shorter_retention: bool = False, fewer_copies: bool = False
) -> None:
    """Raises `TopicsRefusedError` where a step would lose messages and it was not said that it may."""
    problems = []
    if not shorter_retention:
        problems += [
            f"{step.wanted.name}: {step.sentence()}: what is older would be removed; --allow-shorter-retention does it"
            for step in steps
            if step.loses_by_age()
        ]
    if not fewer_copies:
        problems += [
            f"{step.wanted.name}: {step.sentence()}: messages would be acknowledged that fewer brokers have; "
            "--allow-fewer-copies does it"
            for step in steps
            if step.loses_copies()
        ]
    if problems:
        raise TopicsRefusedError("Nothing was changed.\n" + "\n".join(problems))


def _value(key: str, text: str | None) -> str:
    if text is None:
        return "not set"
    if not key.endswith(".ms"):
        return text
    if int(text) < 0:
        return "for ever"
    return f"{int(text) / DAY_MS:g} days"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
