"""The body of the webhook on a topic of the same brokers, for those who have a consumer anyway."""

from collections.abc import Callable

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice, body_of
from schemas.config.subscription import KafkaChannel
from schemas.errors import RetryableError
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import key_of_alert
from streams.ports import PublisherPort


class KafkaSender:
    """The key is that of the alert, `<tenant_id>/<call_id>`. The topic must exist.

    Has a publisher of its own: one that waits for a topic that does not exist must hold up nobody else.
    """

    per_minute: int | None = None

    def __init__(self, channel: KafkaChannel, console_url: str, open_publisher: Callable[[], PublisherPort]) -> None:
        self._topic = channel.topic
        self._console_url = console_url
        self._publisher = open_publisher()

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
