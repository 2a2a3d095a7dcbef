"""Records of partitions, fetched outside of any group by aiokafka, whose batches are capped (`batches.py`).

librdkafka caps only what zstd expands to: 16 MB of gzip would become 16 GB in it. It is a member of our groups and
writes; it reads nothing.
"""

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Collection, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any, TypeVar

import aiokafka
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from schemas.errors import OperatorError, RetryableError
from schemas.messages.records import EPOCH, ConsumerRecord, Headers
from schemas.messages.topics import MAX_MESSAGE_BYTES, RECORD_OVERHEAD_BYTES
from streams.adapters.kafka.batches import UnreadableBatch, guard_aiokafka
from streams.ports import Place
from streams.settings import Settings

log = logging.getLogger(__name__)

FETCH_BYTES = MAX_MESSAGE_BYTES + RECORD_OVERHEAD_BYTES
"""Room for one message of the largest size with its protocol overhead."""

ANSWER_WITHIN_S = 10.0
CLOSE_TLS_S = 0.1
"""So long the other sides of TLS connections may take to say goodbye; a loop that has ended would leave them open."""
LATEST_MS = 4_102_444_800_000
"""The year 2100."""

T = TypeVar("T")


class KafkaAccessError(OperatorError):
    """Kafka refuses us; asking again changes nothing."""

    def __init__(self, what: str, refusal: str) -> None:
        super().__init__(
            f"{what}: Kafka refuses it ({refusal}); see to the user and the password in the settings kafka_sasl_*,"
            " and to what the brokers let that user read and write (ACLs)"
        )


class KafkaTlsError(KafkaAccessError):
    """What TLS needs is not there, or the other side's certificate is not to be trusted, or ours is not taken."""

    def __init__(self, problem: str) -> None:
        OperatorError.__init__(self, problem)


_REFUSALS = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)


class Fetcher:
    """Reads the partitions that it is told to. For one thread; aiokafka lives in another."""

    def __init__(self, settings: Settings) -> None:
        """Asks nobody yet."""
        guard_aiokafka()
        self._settings = settings
        self._positions: dict[Place, int | None] = {}
        self._held: frozenset[Place] = frozenset()
        self._consumer: aiokafka.AIOKafkaConsumer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka fetcher", daemon=True)
        self._thread.start()

    def assign(self, positions: Mapping[Place, int | None]) -> None:
        """From now on these are read, each from its offset; None: from the oldest record that there is."""
        self._positions = dict(positions)
        if self._consumer is not None:
            self._run(self._point(self._consumer))

    def seek(self, place: Place, offset: int) -> bool:
        """Go on with that offset. Whether the partition is assigned."""
        if place not in self._positions:
            return False
        self._positions[place] = offset
        if self._consumer is not None:
            self._run(self._seek(self._consumer, place, offset))
        return True

    def hold(self, places: Collection[Place]) -> None:
        """Of these nothing is read until they are held no more; of all others it is."""
        held = frozenset(places)
        if held == self._held:
            return
        self._held = held
        if self._consumer is not None:
            self._run(self._hold(self._consumer))

    @property
    def has_partitions(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._positions)

    def position(self, place: Place) -> int | None:
        """The offset that is read next, where that is known yet."""
        return self._positions[place]

    def take(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """What is there, at most so much; the first of it is not waited for longer than `wait_s`.

        Raises `RetryableError` and `KafkaAccessError`; nothing is lost by that.
        """
        if not self._positions:
            time.sleep(wait_s)
            return []
        try:
            return self._run(self._take(most, wait_s))
        except _REFUSALS as error:
            self._forget_consumer()
            raise KafkaAccessError("Kafka cannot be read", type(error).__name__) from None
        except (KafkaError, OSError, TimeoutError) as error:
            self._forget_consumer()
            raise RetryableError(f"Kafka cannot be read: {type(error).__name__}") from None

    def close(self) -> None:
        """Let go of everything."""
        if self._loop.is_closed():
            return
        self._positions = {}
        if self._consumer is not None:
            self._forget_consumer()
            if self._settings.kafka_security_protocol.endswith("SSL"):
                self._run(asyncio.sleep(CLOSE_TLS_S))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_WITHIN_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    async def _take(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        if self._consumer is None:
            self._consumer = await self._started()
            await self._point(self._consumer)
        fetched = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=most)
        if self._consumer._fetcher.error_future.done():
            raise KafkaError("its fetcher has ended")
        if unseen := self._consumer._client.cluster.unauthorized_topics & {topic for topic, _ in self._positions}:
            raise TopicAuthorizationFailedError(unseen)  # aiokafka would ask for them for ever
        self._note_positions(self._consumer)
        return [_record(one) for records in fetched.values() for one in records]

    async def _started(self) -> aiokafka.AIOKafkaConsumer:
        consumer = aiokafka.AIOKafkaConsumer(
            **aiokafka_security(self._settings),
            bootstrap_servers=self._settings.kafka_bootstrap.split(","),
            client_id="callstream",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def _point(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        if not self._positions:
            consumer.unsubscribe()
            return
        consumer.assign([aiokafka.TopicPartition(*place) for place in self._positions])
        for place, offset in self._positions.items():
            if offset is not None:
                consumer.seek(aiokafka.TopicPartition(*place), offset)
        await self._hold(consumer)

    async def _hold(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        for place in self._positions:
            (consumer.pause if place in self._held else consumer.resume)(aiokafka.TopicPartition(*place))

    def _note_positions(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        assignment = consumer._subscription.subscription.assignment
        for place in self._positions:
            state = assignment.state_value(aiokafka.TopicPartition(*place))
            if state.has_valid_position:  # `consumer.position` would wait for one
                self._positions[place] = state.position

    @staticmethod
    async def _seek(consumer: aiokafka.AIOKafkaConsumer, place: Place, offset: int) -> None:
        consumer.seek(aiokafka.TopicPartition(*place), offset)

    def _forget_consumer(self) -> None:
        """The next one begins where this one stood."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._run(consumer.stop())


def aiokafka_security(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client of ours needs to be let in. Raises `KafkaTlsError`."""
    protocol = settings.kafka_security_protocol
    security: dict[str, Any] = {"security_protocol": protocol}
    if (context := ssl_context(settings)) is not None:
        security["ssl_context"] = context
    if protocol.startswith("SASL"):
        security["sasl_mechanism"] = settings.kafka_sasl_mechanism
        security["sasl_plain_username"] = settings.kafka_sasl_username
        security["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return security


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """For brokers that speak TLS; None where they do not. Raises `KafkaTlsError`."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.kafka_ca_file) if settings.kafka_ca_file else None)
    except OSError as error:  # ssl.SSLError is one
        raise KafkaTlsError(f"kafka_ca_file cannot be used: {_why(error)}") from None
    if settings.kafka_ssl_certificate_file is None:
        return context
    secret = settings.kafka_ssl_key_password
    try:
        # A function, so that OpenSSL asks nobody at the terminal.
        context.load_cert_chain(
            settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file, password=secret.get_secret_value
        )
    except (OSError, ValueError) as error:
        reason = _why(error)
        raise KafkaTlsError(
            f"kafka_ssl_certificate_file and kafka_ssl_key_file cannot be used: {reason}; the key must belong to the "
            "certificate, and kafka_ssl_key_password must open it where it has a password"
        ) from None
    return context


def _why(error: Exception) -> str:
    """Without the text of OpenSSL, which may quote what it read."""
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        return "it is no PEM, or the parts do not belong together"
    return (error.strerror or type(error).__name__).lower()


def moment(ms: int) -> datetime:
    """A time stamp of a record. It may be a producer's, and then anything: one beyond every column is brought near."""
    return EPOCH + timedelta(milliseconds=min(max(ms, 0), LATEST_MS))


def headers_of(raw: Iterable[tuple[str, bytes | None]] | None) -> Headers:
    """Of a record as aiokafka reads it; a header may have no value."""
    return tuple((name, value or b"") for name, value in raw or ())


def _record(raw: Any) -> ConsumerRecord:
    place = (raw.topic, raw.partition, raw.offset)
    if isinstance(raw.value, UnreadableBatch):
        return ConsumerRecord(*place, None, None, moment(raw.timestamp), unreadable=raw.value.problem)
    return ConsumerRecord(*place, raw.key, raw.value, moment(raw.timestamp), headers=headers_of(raw.headers))
