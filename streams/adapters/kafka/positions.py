"""Where consumer groups begin again after a restore: at what was written since some time before the backup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka.client import ASK_WITHIN_S, GROUP_PREFIX, admin_client, client_config, failure
from streams.settings import Settings


@dataclass(frozen=True)
class Reset:
    """A partition of a topic that a group reads again from an earlier offset."""

    group: str
    topic: str
    partition: int
    committed: int
    begins_at: int


def reset_groups(
    settings: Settings, groups: Mapping[str, Sequence[str]], since: datetime, *, dry_run: bool = False
) -> list[Reset]:
    """Have groups (name → topics) read again what was written since then; what was moved.

    Nothing is moved forward, and a group that has never committed reads everything anyway. Their workers must not run:
    Kafka refuses to move offsets of a group that has members. Raises `RetryableError` and `KafkaAccessError`.
    """
    admin = admin_client(settings)
    asking = Consumer(client_config(settings) | {"group.id": GROUP_PREFIX + "reader", "enable.auto.commit": False})
    moved: list[Reset] = []
    try:
        for group, topics in groups.items():
            mine = _moves(admin, asking, group, topics, since)
            moved += mine
            if mine and not dry_run:
                places = [TopicPartition(each.topic, each.partition, each.begins_at) for each in mine]
                request = ConsumerGroupTopicPartitions(GROUP_PREFIX + group, places)
                for answer in admin.alter_consumer_group_offsets([request]).values():
                    for place in answer.result(timeout=ASK_WITHIN_S).topic_partitions or []:
                        if place.error is not None:
                            raise KafkaException(place.error)
    except KafkaException as error:
        raise failure("Kafka does not move the offsets of a group; its workers must not run", error) from None
    finally:
        asking.close()
    return moved


def _moves(admin: AdminClient, asking: Consumer, group: str, topics: Sequence[str], since: datetime) -> list[Reset]:
    known = asking.list_topics(timeout=ASK_WITHIN_S).topics
    places = [(topic, each) for topic in topics if topic in known for each in known[topic].partitions]
    if not places:
        return []
    request = ConsumerGroupTopicPartitions(GROUP_PREFIX + group, [TopicPartition(*place) for place in places])
    answer = next(iter(admin.list_consumer_group_offsets([request]).values())).result(timeout=ASK_WITHIN_S)
    committed = {(p.topic, p.partition): p.offset for p in answer.topic_partitions or [] if p.offset >= 0}
    if not committed:
        return []
    wanted = [TopicPartition(topic, partition, int(since.timestamp() * 1000)) for topic, partition in committed]
    moves = []
    for place in asking.offsets_for_times(wanted, timeout=ASK_WITHIN_S):
        before = committed[place.topic, place.partition]
        _low, high = asking.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=ASK_WITHIN_S)
        begins_at = place.offset if place.offset >= 0 else high
        if begins_at < before:
            moves.append(Reset(group, place.topic, place.partition, before, begins_at))
    return moves
