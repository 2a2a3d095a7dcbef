"""Kafka: producing, consuming in batches, creating topics, measuring lag.

confluent-kafka writes, administers and is the member of groups; what is read comes by `Fetcher` (ADR 0033).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    TopicDescription,
    TopicMetadata,
)

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import TOPICS, AnyTopic
from streams.adapters.kafka.fetcher import (
    FETCH_BYTES,
    Fetcher,
    KafkaAccessError,
    KafkaTlsError,
    ssl_context,
)
from streams.adapters.kafka.topic_plan import FoundTopic, TopicChange, TopicStep, planned
from streams.ports import Place, RecordTooLargeError
from streams.runtime.offsets import done_behind
from streams.settings import Settings

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_S = 30.0
ASK_WITHIN_S = 10.0
BATCH_BYTES = 64 * 1024 * 1024
"""A batch holds little more than this: five hundred transcripts of two hours would be over a gigabyte."""
STEP_MESSAGES = 16
LONGEST_BATCH_S = 30 * 60
"""So long a batch may take before its partitions go to another member of the group, which would read it again and be no
faster. A member that died is noticed by its heartbeats, within seconds."""
LOOK_AT_GROUP_S = 0.1
"""So often a member without partitions looks whether it was given any; one that waits for records, five times less."""
GROUP_PREFIX = "callstream."
READ_WITHIN_S = 20.0
STATE_WITHIN_S = 2.0
"""So long is asked whether a group may be left."""

NOTICE_PARTITIONS_MS = 30_000
"""So long after partitions were added they may be unknown to a client that is running."""

TELL_EVERY_S = 30.0
"""So often the log says that no broker answers."""


class KafkaUnreachableError(RetryableError):
    """No broker answered."""

    def __init__(self, bootstrap: str, why: str) -> None:
        """`bootstrap`: the addresses that were tried; `why`: the name of the error."""
        super().__init__(
            f"no Kafka broker answers at {bootstrap}: {why}; start it, or set kafka_bootstrap "
            "(CALLSTREAM_KAFKA_BOOTSTRAP) to the address of one that runs"
        )


_REFUSALS = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
)


def failure(what: str, error: BaseException | KafkaError) -> RetryableError | KafkaAccessError:
    """What to raise for an error of librdkafka: whether to ask again, or to ask a person."""
    cause = error if isinstance(error, KafkaError) else error.args[0] if error.args else None
    if isinstance(cause, KafkaError) and _is_about_certificates(cause):
        return KafkaTlsError(f"{what}: {_CERTIFICATES}")
    if isinstance(cause, KafkaError) and cause.code() in _REFUSALS:
        return KafkaAccessError(what, cause.name())
    name = cause.name() if isinstance(cause, KafkaError) else type(error).__name__
    return RetryableError(f"{what}: {name}")


_CERTIFICATES = (
    "TLS ends in an error about certificates; see to kafka_ca_file (who has signed those of the brokers), to the names "
    "in kafka_bootstrap (those that the certificates bear), and to kafka_ssl_certificate_file where brokers ask for one"
)


def _is_about_certificates(error: KafkaError) -> bool:
    """And not about a broker that goes away in the middle of a handshake, which has the same codes."""
    return error.code() in (KafkaError._SSL, KafkaError._TRANSPORT) and "certificate" in error.str().lower()


class Told:
    """What librdkafka tells beside its answers: that no broker answers, that we are refused. Goes into the log."""

    def __init__(self, *, logs: bool = True) -> None:
        """`logs` is false where whoever asks says by itself that nobody answers."""
        self._logs = logs
        self._last_s: dict[str, float] = {}
        self._refusal: KafkaError | None = None
        self._distrust: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() in _REFUSALS:
            self._refusal = error
        elif _is_about_certificates(error):
            self._distrust = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and self._distrust is not None:
            # Of one broker it would be nothing that must stop us: the others go on.
            self._refusal, self._distrust = self._distrust, None
        now_s = time.monotonic()
        if self._logs and now_s - self._last_s.get(error.name(), -TELL_EVERY_S) >= TELL_EVERY_S:
            self._last_s[error.name()] = now_s
            log.warning("Kafka: %s", error.name())

    def take_refusal(self) -> KafkaError | None:
        """The refusal of a connection that was told since the last call, or of all where it is about certificates."""
        refusal, self._refusal = self._refusal, None
        return refusal


def client_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """What every librdkafka client of ours needs: address and security. Raises `KafkaTlsError`."""
    ssl_context(settings)  # says what is wrong with a file; librdkafka says it with a trace
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": "callstream",
        "security.protocol": settings.kafka_security_protocol,
        # Partitions that were added are noticed within this time, and not after five minutes.
        "topic.metadata.refresh.interval.ms": NOTICE_PARTITIONS_MS,
        # librdkafka writes to stderr by itself otherwise; errors reach us through the calls that fail.
        "log_level": 2,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = settings.kafka_sasl_password.get_secret_value()
    if settings.kafka_ca_file is not None:
        config["ssl.ca.location"] = str(settings.kafka_ca_file)
    if settings.kafka_ssl_certificate_file is not None:
        config["ssl.certificate.location"] = str(settings.kafka_ssl_certificate_file)
        config["ssl.key.location"] = str(settings.kafka_ssl_key_file)
        if password := settings.kafka_ssl_key_password.get_secret_value():
            config["ssl.key.password"] = password
    return config


def consumer_config(settings: Settings, group: str) -> dict[str, str | int | float | bool]:
    """Of a member of a consumer group that moves its offsets itself and begins with the oldest record."""
    return client_config(settings) | {
        "group.id": GROUP_PREFIX + group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6_000 if settings.kafka_flavour == "tansu" else 10_000,
        "heartbeat.interval.ms": 2_000,
        "max.poll.interval.ms": LONGEST_BATCH_S * 1000,
    }


MOST_UNANSWERED = 2
"""So many calls of `publish` in a row may end without any answer before a producer is replaced."""


class Publisher:
    """Writes messages and returns when the broker has them (idempotent, acks=all)."""

    def __init__(self, settings: Settings, within_s: float = DELIVERY_TIMEOUT_S) -> None:
        """`within_s`: so long is tried to write a record before `publish` gives up."""
        self._within_s = within_s
        config = client_config(settings) | {
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "zstd",
            "message.max.bytes": FETCH_BYTES,
            "linger.ms": 5,
            "delivery.timeout.ms": int(within_s * 1000),
        }
        if settings.kafka_flavour == "tansu":
            # Its "latest" offset is the base of the last batch + 1: right only if every record is its own batch.
            config["batch.num.messages"] = 1
        self._told = Told()
        self._config = config | {"error_cb": self._told}
        self._producer = Producer(self._config)
        self._unanswered = 0

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        """Durable when this returns.

        Raises `RetryableError` when the broker did not acknowledge; publishing again is then right, because every
        consumer drops repeats by key. Raises `RecordTooLargeError` and `KafkaAccessError` where it would not be.
        """
        outputs = list(outputs)
        failed: list[KafkaError] = []
        taken: list[None] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)
            else:
                taken.append(None)

        self._told.take_refusal()
        try:
            for output in outputs:
                self._producer.produce(
                    output.topic,
                    key=output.key,
                    value=output.value,
                    headers=list(output.headers),
                    on_delivery=delivered,
                )
        except KafkaException as error:
            failed.append(error.args[0])
        except BufferError:
            failed.append(KafkaError(KafkaError._QUEUE_FULL))
        # What was handed over before an error is waited for, too: it must not come later than what is written next.
        left = self._producer.flush(self._within_s + 5)
        if not failed and not left:
            self._unanswered = 0
            return
        problem = next((error for error in failed if error.code() in _LASTING), failed[0] if failed else None)
        if problem is None or problem.code() not in _LASTING:
            problem = self._told.take_refusal() or problem
        if self._is_broken(problem):
            log.error("Kafka: the producer has failed for good, a new one takes its place: %s", problem)
            self._producer = Producer(self._config)
        elif problem is None or problem.code() not in _LASTING:
            self._begin_anew_if_stuck()
        if problem is not None and problem.code() in _TOO_LARGE:
            if len(outputs) > 1:  # one of them, or all of them in one batch
                refused = [no for output in outputs if (no := self._refusal_of(output)) is not None]
                if not refused:
                    return
                raise refused[0]
            raise RecordTooLargeError(["Kafka takes no message as large as what became of this one"])
        what = f"Kafka did not take {len(outputs) - len(taken)} of {len(outputs)} message(s)"
        raise failure(what, problem) if problem is not None else RetryableError(f"{what}: no acknowledgement in time")

    def _begin_anew_if_stuck(self) -> None:
        """An idempotent producer whose messages time out may wait for answers that never come, also when the broker
        is back; one that the broker takes for an older self (`PRODUCER_FENCED`) is refused for ever. What it still
        holds was reported as not written, and is written by whoever tries again."""
        self._unanswered += 1
        if self._unanswered < MOST_UNANSWERED:
            return
        log.warning("Kafka: %d times in a row not all was acknowledged, a new producer begins", self._unanswered)
        self._unanswered = 0
        self._producer.purge(blocking=False)
        self._producer = Producer(self._config)

    def _refusal_of(self, output: ProducerRecord) -> RecordTooLargeError | None:
        """Written alone; what is raised where it is too large."""
        try:
            self.publish((output,))
        except RecordTooLargeError as error:
            return error
        return None

    @staticmethod
    def _is_broken(problem: KafkaError | None) -> bool:
        return problem is not None and (problem.fatal() or problem.code() == KafkaError._FATAL)

    def close(self) -> None:
        """Wait for what is still under way."""
        self._producer.flush(5)


_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_LASTING = (*_TOO_LARGE, *_REFUSALS, KafkaError._FATAL)


class GroupMember:
    """A member of a consumer group: it is given partitions and commits offsets. It reads nothing."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        assigned: Callable[[Consumer, Sequence[TopicPartition]], None],
        revoked: Callable[[Sequence[TopicPartition]], None],
    ) -> None:
        """`assigned` and `revoked` are called from within `serve`; the first may raise `KafkaException`."""
        self._topics = list(topics)
        self._assigned = assigned
        self._revoked = revoked
        self._told = Told()
        self._settings = settings
        self._config = consumer_config(settings, group) | {"error_cb": self._told}
        self._failure: Exception | None = None
        self._join()

    def _join(self) -> None:
        self._consumer = Consumer(self._config)
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def serve(self, wait_s: float) -> None:
        """Take note of what happens in the group; must be called every few minutes.

        Raises `RetryableError` and `KafkaAccessError`.
        """
        try:
            messages = self._consumer.consume(1, wait_s)
        except KafkaException as error:
            raise failure("Kafka cannot be read", error) from None
        for problem in (message.error() for message in messages):
            if problem is None:
                continue
            if problem.fatal():
                self._join_again()
                raise RetryableError(f"Kafka consumer failed, a new one takes its place: {problem.name()}")
            if problem.code() in _REFUSALS:
                raise failure("Kafka cannot be read", problem)
            log.warning("Kafka consumer: %s", problem.name())
        if (refusal := self._told.take_refusal()) is not None:
            raise failure("Kafka cannot be read", refusal)
        if self._failure is not None:
            failed, self._failure = self._failure, None
            self._join_again()  # nobody else would read what we were given
            raise failed

    def _join_again(self) -> None:
        self.close()
        self._revoked([])
        self._join()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            consumer.assign([])  # nothing: else librdkafka would read them
            self._assigned(consumer, partitions)
        except KafkaException as error:
            # What is raised in here, librdkafka's thread of callbacks would bury.
            self._failure = failure("Kafka does not tell its offsets", error)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoked(partitions)

    def commit(self, offsets: Sequence[TopicPartition]) -> None:
        """Raises `RetryableError`, also where a partition has gone to another member, who will read it again."""
        try:
            # Where one of several is refused, nothing is raised.
            require_told(self._consumer.commit(offsets=list(offsets), asynchronous=False) or ())
        except KafkaException as error:
            raise failure("Kafka did not take the offsets", error) from None

    def close(self) -> None:
        """Leave the group. Nothing else may be done with a member that has left."""
        if may_leave(self._settings, str(self._config["group.id"])):
            self._consumer.close()
        else:
            del self._consumer  # that says nothing to anybody


def may_leave(settings: Settings, group: str) -> bool:
    """Whether a member may tell its group that it leaves, or must fall silent and be missed after some seconds.

    If the leader leaves while its group is forming, tansu (0.6.0) waits for it for ever and gives nobody a partition;
    one that is missed it replaces.
    """
    if settings.kafka_flavour != "tansu":
        return True
    try:
        told = admin_client(settings).describe_consumer_groups([group], request_timeout=STATE_WITHIN_S)
        return bool(told[group].result(timeout=STATE_WITHIN_S + 1).state == ConsumerGroupState.STABLE)
    except (KafkaException, TimeoutError):
        return False


class BatchConsumer:
    """Consumes several topics in batches; offsets move only by `commit`."""

    def __init__(self, settings: Settings, group: str, topics: Sequence[str]) -> None:
        self._group = group
        self._fetcher = Fetcher(settings)
        self._member = GroupMember(settings, group, topics, self._assigned, self._revoked)
        self._failure: Exception | None = None

    def poll(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """Up to `most` records, or what came within `wait_s`, or about `BATCH_BYTES`.

        What was read before an error is returned, and the error raised by the next call. Raises `RetryableError` and
        `KafkaAccessError`.
        """
        if self._failure is not None:
            failed, self._failure = self._failure, None
            raise failed
        records: list[ConsumerRecord] = []
        left_bytes = BATCH_BYTES
        deadline_s = time.monotonic() + wait_s
        while len(records) < most and left_bytes > 0:
            left_s = max(deadline_s - time.monotonic(), 0)
            try:
                step = self._read(min(most - len(records), STEP_MESSAGES), left_s)
            except (RetryableError, KafkaAccessError) as error:
                if not records:
                    raise
                self._failure = error
                break
            if not step and left_s == 0:
                break
            records += step
            left_bytes -= sum(len(record.value or b"") for record in step)
        return records

    def _read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        self._member.serve(0 if self._fetcher.has_partitions else min(wait_s, LOOK_AT_GROUP_S))
        return self._fetcher.take(most, min(wait_s, 5 * LOOK_AT_GROUP_S)) if self._fetcher.has_partitions else []

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        committed = consumer.committed(list(partitions), timeout=ASK_WITHIN_S)
        require_told(committed)
        positions = {(p.topic, p.partition): p.offset if p.offset >= 0 else None for p in committed}
        self._fetcher.assign(positions | beyond_the_end(consumer, self._group, committed))

    def _revoked(self, _partitions: Sequence[TopicPartition]) -> None:
        self._fetcher.assign({})

    def commit(self, records: Sequence[ConsumerRecord]) -> None:
        """Everything up to and including these records is done. Raises `RetryableError`.

        When the partitions have meanwhile gone to another member, that member reads the records again.
        """
        self._member.commit([TopicPartition(t, p, o + 1) for (t, p), o in _last_offsets(records).items()])

    def rewind(self, records: Sequence[ConsumerRecord]) -> None:
        """The next `poll` returns these records again; partitions that are no longer ours are left alone."""
        first: dict[Place, int] = {}
        for record in records:
            place = (record.topic, record.partition)
            first[place] = min(record.offset, first.get(place, record.offset))
        for place, offset in first.items():
            if not self._fetcher.seek(place, offset):
                log.warning("not rewound, %s/%d is not ours now", *place)

    def close(self) -> None:
        """Leave the group."""
        self._fetcher.close()
        self._member.close()


class TopicReader:
    """Reads a whole topic, from its beginning or from a point in time, without being a member of a group.

    A batch that cannot be read is passed over with a line in the log; its dead letter is written by the stages.
    """

    def __init__(self, settings: Settings, topic: str, since: datetime | None = None) -> None:
        """Raises `RetryableError` when no broker answers, and `KafkaAccessError`."""
        with asking(settings) as consumer:
            places = partitions_of(consumer, topic)
            ends = {place.partition: consumer.get_watermark_offsets(place, timeout=ASK_WITHIN_S) for place in places}
            starts = {partition: low for partition, (low, _high) in ends.items()}
            if since is not None:
                wanted = [TopicPartition(topic, partition, int(since.timestamp() * 1000)) for partition in starts]
                for place in consumer.offsets_for_times(wanted, timeout=ASK_WITHIN_S):
                    starts[place.partition] = place.offset if place.offset >= 0 else ends[place.partition][1]
        self._ahead = {(topic, partition): high for partition, (_low, high) in ends.items()}
        self._since = since
        self._fetcher = Fetcher(settings)
        self._fetcher.assign({(topic, partition): start for partition, start in starts.items()})
        self._look_what_is_ahead()

    def _look_what_is_ahead(self) -> None:
        self._ahead = {p: end for p, end in self._ahead.items() if (self._fetcher.position(p) or 0) < end}

    @property
    def is_at_end(self) -> bool:
        """Whether everything that stood in the topic has been read."""
        return not self._ahead

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        """Up to `most` records that come within `wait_s`. Raises `RetryableError` and `KafkaAccessError`."""
        records: list[ConsumerRecord] = []
        for record in self._fetcher.take(most, wait_s):
            if record.unreadable:
                log.error("%s is passed over: %s", record.position, record.unreadable)
            # tansu answers 0 to every question for the offset of a time.
            elif self._since is None or record.written_at >= self._since:
                records.append(record)
        self._look_what_is_ahead()
        return records

    def read_to_end(self, within_s: float = 60) -> list[ConsumerRecord]:
        """Everything that stands in the topic. Raises as `read`, and `RetryableError` when it takes too long."""
        records: list[ConsumerRecord] = []
        deadline_s = time.monotonic() + within_s
        while not self.is_at_end:
            if time.monotonic() > deadline_s:
                raise RetryableError("Kafka did not reach the end of a topic in time")
            records += self.read(1_000, 0.2)
        return records

    def close(self) -> None:
        """Let go of the topic."""
        self._fetcher.close()


@contextmanager
def asking(settings: Settings, group: str = "reader") -> Iterator[Consumer]:
    """A client that asks for offsets and joins no group. Raises `RetryableError` and `KafkaAccessError`."""
    told = Told(logs=False)
    config = client_config(settings) | {"group.id": GROUP_PREFIX + group, "enable.auto.commit": False}
    consumer = Consumer(config | {"error_cb": told})
    try:
        yield consumer
    except KafkaException as error:
        consumer.poll(0)  # tells what was wrong with the connections
        refusal = told.take_refusal()
        if refusal is None and name_of_error(error) in ("_TRANSPORT", "_ALL_BROKERS_DOWN"):
            raise KafkaUnreachableError(settings.kafka_bootstrap, name_of_error(error)) from None
        raise failure("Kafka cannot be read", refusal or error) from None
    finally:
        consumer.close()


def partitions_of(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """Of a topic. Raises `KafkaException`, also where we may not know of it."""
    metadata = consumer.list_topics(topic, timeout=ASK_WITHIN_S).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return [TopicPartition(topic, partition) for partition in metadata.partitions]


def require_access(settings: Settings, group: str, topic: str) -> None:
    """Whether we may read a topic as a member of a group, as far as that shows without reading.

    Raises `RetryableError` and `KafkaAccessError`.
    """
    with asking(settings, group) as consumer:
        require_told(consumer.committed(partitions_of(consumer, topic), timeout=ASK_WITHIN_S))


def require_told(places: Sequence[TopicPartition]) -> None:
    """Whether a broker has answered for each: an offset that it did not tell looks like one that it does not have.

    Raises `KafkaException`.
    """
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)


def read_record(settings: Settings, topic: str, partition: int, offset: int) -> ConsumerRecord | None:
    """The record at that position, outside of any group; None where it has gone, or cannot be read.

    Raises `RetryableError` and `KafkaAccessError`.
    """
    with asking(settings) as consumer:
        if partition not in {place.partition for place in partitions_of(consumer, topic)}:
            return None
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_WITHIN_S)
    if not low <= offset < high:
        return None
    fetcher = Fetcher(settings)
    try:
        fetcher.assign({(topic, partition): offset})
        records = fetcher.take(1, READ_WITHIN_S)
    finally:
        fetcher.close()
    if not records:
        raise RetryableError("Kafka did not answer with the record in time")
    return records[0] if records[0].offset == offset and not records[0].unreadable else None


def beyond_the_end(consumer: Consumer, group: str, committed: Sequence[TopicPartition]) -> dict[Place, int]:
    """Partitions on which the group has committed an offset that the log does not have, and where each log begins.

    That happens when a topic was made anew, or a broker has lost its newest records. Left alone, Kafka would begin
    somewhere without a word, or wait until the log has grown to there and pass over everything before. Says so loudly.
    Raises `KafkaException`.
    """
    found: dict[Place, int] = {}
    for place in committed:
        if place.offset < 0:
            continue
        low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=ASK_WITHIN_S)
        if place.offset > high:
            found[place.topic, place.partition] = low
            log.critical(
                "%s has read %s/%d up to offset %d, but the log ends at %d: the topic was made anew, or a broker has"
                " lost records; reading begins again at %d, and what was done before is found to be done",
                *(group, place.topic, place.partition, place.offset, high, low),
            )
    return found


def _last_offsets(records: Sequence[ConsumerRecord]) -> dict[Place, int]:
    last: dict[Place, int] = {}
    for record in records:
        place = (record.topic, record.partition)
        last[place] = max(record.offset, last.get(place, record.offset))
    return last


def name_of_error(error: BaseException) -> str:
    """The name that librdkafka gives to an error, without its text."""
    first = error.args[0] if error.args else None
    return first.name() if isinstance(first, KafkaError) else type(error).__name__


def topic_steps(settings: Settings, topics: Sequence[AnyTopic] = TOPICS) -> list[TopicStep]:
    """What is to be done to have the topics as they are wanted; changes nothing.

    Raises `KafkaUnreachableError`, `KafkaAccessError`, `RetryableError` and `TopicsFileError`.
    """
    wanted = planned(settings, topics)
    admin = admin_client(settings)
    existing = _topics(admin)
    there = [each for each in wanted if each.name in existing]
    # tansu cannot change a topic, and forgets it at its end.
    configs = _configs(admin, [each.name for each in there]) if settings.kafka_flavour == "apache" else {}
    found = {
        each.name: FoundTopic(
            len(existing[each.name].partitions),
            min(len(partition.replicas) for partition in existing[each.name].partitions.values()),
            configs.get(each.name, {}),
        )
        for each in there
    }
    return [TopicStep(each, found.get(each.name)) for each in wanted]


def apply_topics(settings: Settings, topics: Sequence[AnyTopic] = TOPICS) -> dict[str, TopicChange]:
    """Create the topics, and bring partitions and settings of existing ones to what is wanted.

    Partitions are added where there are too few, and never taken away. What is kept too long goes: who must be asked
    before calls `topic_steps` and `require_nothing_lost`. Raises as `topic_steps`.
    """
    return carry_out(settings, topic_steps(settings, topics))


def carry_out(settings: Settings, steps: Sequence[TopicStep]) -> dict[str, TopicChange]:
    """Do it; what was done of each topic. Doing it again is right. Raises as `topic_steps`."""
    admin = admin_client(settings)
    changes: dict[str, TopicChange] = {}
    new = [step.wanted for step in steps if step.found is None]
    requests = [NewTopic(each.name, each.partitions, each.replicas, config=each.config()) for each in new]
    for name, future in (admin.create_topics(requests, operation_timeout=20.0) if requests else {}).items():
        try:
            future.result(timeout=30)
            changes[name] = "created"
        except KafkaException as error:
            if name_of_error(error) != "TOPIC_ALREADY_EXISTS":
                raise failure(f"Kafka did not create {name}", error) from None
            changes[name] = "unchanged"
    for step in steps:
        if step.found is not None:
            changes[step.wanted.name] = _bring_up_to_date(admin, settings, step)
    return {step.wanted.name: changes[step.wanted.name] for step in steps}


def _bring_up_to_date(admin: AdminClient, settings: Settings, step: TopicStep) -> TopicChange:
    if settings.kafka_flavour == "tansu":
        return "unchanged"
    name = step.wanted.name
    try:
        if step.partitions_to_add:
            admin.create_partitions([NewPartitions(name, step.wanted.partitions)])[name].result(timeout=30)
        if step.to_set:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in step.to_set.items()
            ]
            change = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
            next(iter(admin.incremental_alter_configs([change]).values())).result(timeout=30)
    except KafkaException as error:
        raise failure(f"Kafka did not change {name}", error) from None
    return step.change


def _configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Settings of topics, also those that they have from the brokers."""
    if not names:
        return {}
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    try:
        return {
            resource.name: {key: entry.value for key, entry in answer.result(timeout=30).items()}
            for resource, answer in admin.describe_configs(asked).items()
        }
    except KafkaException as error:
        raise failure("Kafka does not tell the settings of topics", error) from None


def missing_topics(settings: Settings, topics: Sequence[AnyTopic] = TOPICS) -> list[str]:
    """Names of declared topics that the broker does not have. Raises `KafkaUnreachableError` and `KafkaAccessError`.

    Those that this account may not see (ACLs) are not missing: they are not its own.
    """
    admin = admin_client(settings)
    existing = _topics(admin)
    unseen = [topic.name for topic in topics if topic.name not in existing]
    if not unseen or settings.kafka_flavour == "tansu":
        return unseen
    told = admin.describe_topics(TopicCollection(unseen), request_timeout=ASK_WITHIN_S)
    return [name for name in unseen if _is_missing(told[name])]


def _is_missing(answer: "Future[TopicDescription]") -> bool:
    try:
        answer.result(timeout=2 * ASK_WITHIN_S)
    except KafkaException as error:
        match name_of_error(error):
            case "UNKNOWN_TOPIC_OR_PART":
                return True
            case "TOPIC_AUTHORIZATION_FAILED":
                return False
        raise failure("Kafka does not tell its topics", error) from None
    return False  # made in this moment


def all_topic_names(settings: Settings) -> frozenset[str]:
    """Of every topic that the broker has, also those that are not ours. Raises `KafkaUnreachableError`."""
    return topic_names(admin_client(settings))


def topic_names(admin: "_Admin") -> frozenset[str]:
    """Of every topic that the broker has. Raises `KafkaUnreachableError`."""
    return frozenset(_topics(admin))


def admin_client(settings: Settings) -> "_Admin":
    """Administers. Raises `KafkaTlsError`."""
    _ENDED.clear()
    return _Admin(client_config(settings))


_ENDED: list[AdminClient] = []
"""Clients that nobody holds any more; they end when the next one is made."""


class _Admin(AdminClient):
    """One that knows what its connections were told.

    An answer that raised holds its client in a cycle, and Python may clear that up in a thread of librdkafka, which
    ends the process if a client ends there.
    """

    def __del__(self) -> None:
        _ENDED.append(self)

    def __init__(self, config: dict[str, Any]) -> None:
        self.told = Told(logs=False)
        self.bootstrap = str(config["bootstrap.servers"])
        super().__init__(config | {"error_cb": self.told})


def _topics(admin: _Admin) -> Mapping[str, TopicMetadata]:
    try:
        return admin.list_topics(timeout=ASK_WITHIN_S).topics
    except KafkaException as error:
        admin.poll(0)
        if (refusal := admin.told.take_refusal()) is not None:
            raise failure("Kafka does not tell its topics", refusal) from None
        raise KafkaUnreachableError(admin.bootstrap, name_of_error(error)) from None


@dataclass(frozen=True)
class Lag:
    """How far a consumer group is behind on a topic, in messages, over all partitions."""

    stage: str
    topic: str
    messages: int
    unread: tuple[tuple[int, int], ...] = ()
    """Partition and offset of the first message of each partition that is not finished."""
    ends: tuple[tuple[int, int], ...] = ()
    """Partition and offset behind the last message of each."""
    done: tuple[tuple[int, int], ...] = ()
    """Partition and offset of messages that are finished behind one that is not; they are not in `messages`."""


def lags(settings: Settings, groups: Mapping[str, Sequence[str]]) -> list[Lag]:
    """The lag of each stage on each of its topics; `groups` maps stage to topics.

    Raises `RetryableError` and `KafkaAccessError`.
    """
    admin = admin_client(settings)
    counts = {name: len(topic.partitions) for name, topic in _topics(admin).items()}
    probe = Consumer(client_config(settings) | {"group.id": GROUP_PREFIX + "status", "enable.auto.commit": False})
    try:
        ends: dict[tuple[str, int], tuple[int, int]] = {
            (name, partition): probe.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
            for name in {name for names in groups.values() for name in names}
            for partition in range(counts.get(name, 0))
        }
        result: list[Lag] = []
        for stage, names in groups.items():
            committed = _committed(admin, stage, [place for place in ends if place[0] in names])
            for name in names:
                next_up = {
                    partition: (max(committed.get((topic, partition), (low, ()))[0], low), high)
                    for (topic, partition), (low, high) in ends.items()
                    if topic == name
                }
                done = tuple(
                    (partition, offset)
                    for (topic, partition), (_, offsets) in committed.items()
                    if topic == name
                    for offset in offsets
                    if next_up[partition][0] <= offset < next_up[partition][1]
                )
                behind = sum(high - offset for offset, high in next_up.values()) - len(done)
                unread = tuple((partition, offset) for partition, (offset, high) in next_up.items() if offset < high)
                highs = tuple((partition, high) for partition, (_, high) in next_up.items())
                result.append(Lag(stage, name, max(behind, 0), unread, highs, done))
    except KafkaException as error:
        raise failure("Kafka does not tell its offsets", error) from None
    finally:
        probe.close()
    return result


def _committed(admin: AdminClient, stage: str, places: Sequence[Place]) -> dict[Place, tuple[int, frozenset[int]]]:
    """Partition → the offset of the first message that is not finished, and those behind it that are."""
    if not places:
        return {}
    request = ConsumerGroupTopicPartitions(GROUP_PREFIX + stage, [TopicPartition(t, p) for t, p in places])
    answer = next(iter(admin.list_consumer_group_offsets([request]).values())).result(timeout=20)
    require_told(answer.topic_partitions or [])
    return {
        (tp.topic, tp.partition): (tp.offset, done_behind(tp.offset, tp.metadata or ""))
        for tp in answer.topic_partitions or []
        if tp.offset >= 0
    }
