"""Whether Kafka takes records, found out by writing one: a broker may answer, tell its topics, and take nothing."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.messages.records import ProducerRecord
from streams.adapters.kafka.client import Publisher, admin_client, failure, name_of_error, topic_names
from streams.settings import Settings

CANARY_TOPIC = "callstream.canary"
"""Of its own: nobody reads it. It is made when it is first needed, and keeps nothing for longer than an hour."""
WITHIN_S = 10.0
_VALUE = b"does this arrive?" * 100
"""Long enough to be compressed, so that a broker whose codecs are broken does not take it."""


def write_canary(settings: Settings, within_s: float = WITHIN_S) -> None:
    """A record, compressed like ours, is durable when this returns.

    Raises `RetryableError` when no broker answers or none takes it in time, and `KafkaAccessError`.
    """
    admin = admin_client(settings)
    if CANARY_TOPIC not in topic_names(admin):
        _make_topic(admin, settings.kafka_replication_factor)
    publisher = Publisher(settings, within_s)
    try:
        publisher.publish((ProducerRecord(CANARY_TOPIC, b"canary", _VALUE),))
    finally:
        publisher.close()


def _make_topic(admin: AdminClient, replicas: int) -> None:
    topic = NewTopic(CANARY_TOPIC, 1, replicas, config={"retention.ms": str(60 * 60 * 1000)})
    try:
        admin.create_topics([topic], operation_timeout=WITHIN_S)[CANARY_TOPIC].result(timeout=2 * WITHIN_S)
    except KafkaException as error:
        if name_of_error(error) != "TOPIC_ALREADY_EXISTS":
            raise failure(f"Kafka did not create {CANARY_TOPIC}", error) from None
