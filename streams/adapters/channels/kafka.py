"""The body of the webhook on a topic of the same brokers, for those who have a consumer anyway."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice, body_of
from schemas.errors import RetryableError
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import TOPICS, key_of_alert
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings


def _is_foreign_topic(name: str) -> str:
    if name in {topic.name for topic in TOPICS}:
        raise PydanticCustomError("own_topic", "is a topic of callstream itself")
    return name


class KafkaChannel(ChannelSettings):
    """The body of the webhook as a message on a topic of the same brokers, keyed as the alert is."""

    kind: ClassVar[str] = "kafka"

    topic: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$"), AfterValidator(_is_foreign_topic)]

    @property
    def destination(self) -> str:
        """The topic."""
        return self.topic

    def open(self, means: ChannelMeans) -> "KafkaSender":
        """See `ChannelSettings.open`."""
        return KafkaSender(self, means)


class KafkaSender:
    """The key is that of the alert, `<tenant_id>/<call_id>`. The topic must exist.

    Has a publisher of its own: one that waits for a topic that does not exist must hold up nobody else.
    """

    per_minute: int | None = None

    def __init__(self, channel: KafkaChannel, means: ChannelMeans) -> None:
        self._topic = channel.topic
        self._console_url = means.console_url
        self._publisher = means.open_publisher()

    def send(self, notice: Notice) -> Answer:
        """Delivered once the brokers have acknowledged it."""
        try:
            self._publisher.publish(
                [ProducerRecord(self._topic, key_of_alert(notice.first), body_of(notice, self._console_url))]
            )
        except RetryableError as error:
            return Answer("later", error_class=type(error).__name__)
        return Answer("accepted")

    def close(self) -> None:
        """There is nothing to close: what was sent is acknowledged."""
