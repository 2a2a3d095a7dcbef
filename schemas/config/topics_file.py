"""How many partitions topics have, and how long they are kept, where that is not as declared, as YAML.

There is no such file unless a setting names one: then topics are as `schemas/messages/topics.py` declares them, which
is right for one machine.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, read_yaml_file
from schemas.messages.message import Record
from schemas.messages.topics import TOPICS, AnyTopic

MOST_PARTITIONS = 2_000
"""Of one topic. Beyond that a broker is busy with partitions, and a rebalance takes minutes."""


class TopicsFileError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, topic and field."""


class TopicEntry(Record):
    """What is different for a topic; what is not said is as for all."""

    partitions: int | None = Field(default=None, ge=1, le=MOST_PARTITIONS)
    retention_days: int | None = Field(default=None, ge=1, le=36_500)


class TopicsFile(Record):
    """The whole file."""

    version: Literal[1]
    partitions: int | None = Field(
        default=None, ge=1, le=MOST_PARTITIONS, description="of every topic that may have more than one"
    )
    topics: dict[str, TopicEntry] = Field(default={}, description="by the name of the topic")

    @model_validator(mode="after")
    def _fits_the_topics(self) -> Self:
        known = {topic.name: topic for topic in TOPICS}
        problems = [
            problem
            for name, entry in self.topics.items()
            for problem in (_misfits(known[name], entry) if name in known else [f"{name} is no topic of callstream"])
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def partitions_of(self, topic: AnyTopic) -> int:
        """How many the topic has: as its entry says, else as the file says for all, else as declared."""
        entry = self.topics.get(topic.name, TopicEntry())
        return topic.partitions if topic.is_one_order else entry.partitions or self.partitions or topic.partitions

    def retention_days_of(self, topic: AnyTopic) -> int | None:
        """So many days a message of the topic is kept; None: as declared."""
        return self.topics.get(topic.name, TopicEntry()).retention_days


AS_DECLARED = TopicsFile(version=1)
"""Where there is no file."""


def _misfits(topic: AnyTopic, entry: TopicEntry) -> list[str]:
    problems = []
    if topic.is_one_order and entry.partitions not in (None, topic.partitions):
        problems.append(f"{topic.name} has one partition: what is in it is one order")
    if entry.retention_days is None:
        return problems
    if topic.masked_text:
        problems.append(f"{topic.name} holds masked text: the setting kafka_masked_days says how long")
    elif topic.retention_ms < 0:
        problems.append(f"{topic.name} is kept for ever")
    elif topic.kept_with:
        problems.append(f"{topic.name} is kept as long as {topic.kept_with}, which cannot be set")
    return problems


def read_topics_file(file: Path | None) -> TopicsFile:
    """What the file says; `AS_DECLARED` where there is none. Raises `TopicsFileError`."""
    if file is None:
        return AS_DECLARED
    try:
        return read_yaml_file(file, TopicsFile, _entry).content
    except YamlFileError as error:
        problems = error.problems
    raise TopicsFileError(problems)


def _entry(_content: Any, location: Location) -> str:
    return f"topic {location[1]}" if len(location) > 1 and location[0] == "topics" else ""
