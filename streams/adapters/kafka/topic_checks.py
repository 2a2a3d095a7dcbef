"""Whether Kafka keeps what it was given when a broker burns: topics, replicas, settings of the brokers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, TopicMetadata

from schemas.messages.topics import MAX_MESSAGE_BYTES, RECORD_OVERHEAD_BYTES
from streams.adapters.kafka.client import KafkaUnreachableError, admin_client, name_of_error, topic_steps
from streams.adapters.kafka.topic_plan import TopicStep
from streams.settings import Settings

OFFSETS_TOPIC = "__consumer_offsets"
OFFSETS_MINUTES = 7 * 24 * 60
"""Kafka's own default: so long it remembers how far a group was that has no members."""


@dataclass(frozen=True)
class KafkaCheck:
    """One thing that was looked at."""

    state: Literal["ok", "bad", "unknown"]
    sentence: str


def check_topics(settings: Settings) -> list[KafkaCheck]:
    """Everything that was looked at, what is bad first; changes nothing. Raises as `topic_steps`."""
    steps = topic_steps(settings)
    admin = admin_client(settings)
    try:
        cluster = admin.list_topics(timeout=10)
    except KafkaException as error:
        raise KafkaUnreachableError(settings.kafka_bootstrap, name_of_error(error)) from None
    checks = [
        *_brokers(settings, cluster),
        *(check for step in steps for check in _topic(step, cluster.topics.get(step.wanted.name))),
        *_offsets(settings, cluster.topics.get(OFFSETS_TOPIC)),
        *_broker_settings(admin, cluster),
    ]
    return sorted(checks, key=lambda check: ("bad", "unknown", "ok").index(check.state))


def _brokers(settings: Settings, cluster: ClusterMetadata) -> Iterator[KafkaCheck]:
    brokers, replicas = len(cluster.brokers), settings.kafka_replication_factor
    if brokers < replicas:
        yield KafkaCheck("bad", f"{brokers} broker(s) answer, kafka_replication_factor is {replicas}")
    elif replicas < 3:
        yield KafkaCheck(
            "bad",
            f"kafka_replication_factor is {replicas}: a broker that burns takes records with it, or stops everything; "
            "set 3 on three brokers or more",
        )
    else:
        yield KafkaCheck("ok", f"{brokers} brokers, {replicas} replicas")


def _topic(step: TopicStep, there: TopicMetadata | None) -> Iterator[KafkaCheck]:
    name = step.wanted.name
    if step.found is None or there is None:
        yield KafkaCheck("bad", f"{name} is missing: run `callstream topics apply`")
        return
    problems = []
    if step.change not in ("unchanged", "has more partitions") or step.found.replicas != step.wanted.replicas:
        problems.append(step.sentence())
    leaderless = [number for number, partition in there.partitions.items() if partition.leader < 0]
    behind = [n for n, partition in there.partitions.items() if len(partition.isrs) < len(partition.replicas)]
    if leaderless:
        problems.append(f"{len(leaderless)} partition(s) have no leader: nothing is read or written there")
    if behind:
        problems.append(f"{len(behind)} partition(s) have replicas that are behind or away")
    insync = int(step.found.config.get("min.insync.replicas", "1"))
    if insync >= step.found.replicas > 1:
        problems.append(f"min.insync.replicas {insync} of {step.found.replicas} replicas stops when one is away")
    for problem in problems:
        yield KafkaCheck("bad", f"{name}: {problem}")
    if not problems:
        yield KafkaCheck("ok", f"{name}: {step.found.partitions} partition(s), {step.found.replicas} replica(s)")


def _offsets(settings: Settings, there: TopicMetadata | None) -> Iterator[KafkaCheck]:
    if there is None or not there.partitions:
        yield KafkaCheck("unknown", f"{OFFSETS_TOPIC} cannot be seen: nothing was committed yet, or a right is lacking")
        return
    fewest = min(len(partition.replicas) for partition in there.partitions.values())
    if fewest < settings.kafka_replication_factor:
        yield KafkaCheck(
            "bad",
            f"{OFFSETS_TOPIC} has {fewest} replica(s): how far the stages are is lost with a broker; set "
            "offsets.topic.replication.factor before the first start, or reassign its partitions",
        )
    else:
        yield KafkaCheck("ok", f"{OFFSETS_TOPIC}: {fewest} replica(s)")


def _broker_settings(admin: AdminClient, cluster: ClusterMetadata) -> Iterator[KafkaCheck]:
    for number in sorted(cluster.brokers):
        resource = ConfigResource(ConfigResource.Type.BROKER, str(number))
        try:
            answer = next(iter(admin.describe_configs([resource]).values())).result(timeout=10)
        except KafkaException as error:
            yield KafkaCheck("unknown", f"broker {number} does not tell its settings: {name_of_error(error)}")
            continue
        problems = list(_problems({key: entry.value for key, entry in answer.items()}))
        for problem in problems:
            yield KafkaCheck("bad", f"broker {number}: {problem}")
        if not problems:
            yield KafkaCheck("ok", f"broker {number}: its settings lose nothing")


def _problems(config: dict[str, str]) -> Sequence[str]:
    largest = MAX_MESSAGE_BYTES + RECORD_OVERHEAD_BYTES
    found = []
    if config.get("unclean.leader.election.enable") == "true":
        found.append("unclean.leader.election.enable is true: records that were acknowledged can be lost; set false")
    if config.get("auto.create.topics.enable") == "true":
        found.append("auto.create.topics.enable is true: a misspelt name makes a topic nobody knows of; set false")
    if int(config.get("replica.fetch.max.bytes", largest)) < largest:
        found.append(f"replica.fetch.max.bytes is below {largest}: large transcripts are copied one by one; raise it")
    if int(config.get("offsets.retention.minutes", OFFSETS_MINUTES)) < OFFSETS_MINUTES:
        found.append(
            f"offsets.retention.minutes is below {OFFSETS_MINUTES}: a stage that stands still for longer begins anew"
        )
    return found
