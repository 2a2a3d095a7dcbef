"""How many members consumer groups have, wherever they run."""

from collections.abc import Collection
from concurrent.futures import TimeoutError as NotInTimeError

from confluent_kafka import KafkaException

from schemas.errors import RetryableError
from streams.adapters.kafka.client import ASK_WITHIN_S, GROUP_PREFIX, admin_client, failure
from streams.settings import Settings


def members_of(settings: Settings, groups: Collection[str]) -> dict[str, int]:
    """Group, without our prefix → members; 0 for one that the broker does not know.

    Empty with tansu, which does not answer this question; it serves one machine, whose heartbeats tell the same.
    Raises `RetryableError` and `KafkaAccessError`.
    """
    if not groups or settings.kafka_flavour == "tansu":
        return {}
    admin = admin_client(settings)  # kept until the answers are there: without it none would come
    asked = admin.describe_consumer_groups([GROUP_PREFIX + group for group in groups], request_timeout=ASK_WITHIN_S)
    try:
        told = {name: each.result(2 * ASK_WITHIN_S) for name, each in asked.items()}
    except NotInTimeError:
        raise RetryableError("Kafka does not tell who reads: no answer in time") from None
    except KafkaException as error:
        raise failure("Kafka does not tell who reads", error) from None
    return {name.removeprefix(GROUP_PREFIX): len(group.members) for name, group in told.items()}
