"""What a command publishes with: it ends soon where no broker answers, and says what was published before an error."""

import logging
from collections.abc import Iterable

from schemas.errors import RetryableError
from schemas.messages.records import ProducerRecord
from streams.adapters.kafka.client import DELIVERY_TIMEOUT_S, Publisher, admin_client, topic_names
from streams.settings import Settings

log = logging.getLogger(__name__)

AGAIN = "run the command again"


def publisher_by_hand(settings: Settings, again: str = AGAIN) -> "PublisherByHand":
    """A publisher once a broker has answered: to be made before a command does anything that remains.

    `again`: how to go on after an error. Raises `KafkaUnreachableError`, after `ASK_WITHIN_S`, and `KafkaAccessError`.
    """
    publisher = PublisherByHand(settings, again)
    publisher.require_answer()
    return publisher


class PublisherByHand(Publisher):
    """One whose caller ends with the error, and does not try again by itself: the error says what is done so far."""

    def __init__(self, settings: Settings, again: str = AGAIN, within_s: float = DELIVERY_TIMEOUT_S) -> None:
        super().__init__(settings, within_s)
        self._settings = settings
        self._again = again
        self._has_answered = False
        self._published = 0

    def require_answer(self) -> None:
        """Whether a broker answers; one that has is not asked again. Raises as `publisher_by_hand`."""
        if not self._has_answered:
            topic_names(admin_client(self._settings))
            self._has_answered = True

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        """See `Publisher.publish`."""
        outputs = list(outputs)
        try:
            super().publish(outputs)
        except RetryableError as error:
            raise RetryableError(
                f"{error}; {self._published} message(s) before were published. Once the brokers answer, {self._again}: "
                "what is published twice counts once"
            ) from None
        except Exception:
            if self._published:
                log.error("Kafka: %d message(s) were published before this error", self._published)
            raise
        self._published += len(outputs)
