"""What the Kafka client does with errors that a broker cannot be made to give at will."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from streams.adapters.kafka import client
from streams.adapters.kafka.client import STEP_MESSAGES, BatchConsumer, Publisher, failure
from streams.adapters.kafka.faust_source import LONGEST_MESSAGE_S, build_app
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.embedded.ports import free_port
from streams.settings import Settings
from tests.support.processes import eventually

RECORD = ProducerRecord("calls.ended.v1", b"acme/c-1", b"event")


class Event:
    """What confluent-kafka gives a member that reads nothing: a problem."""

    def __init__(self, problem: KafkaError) -> None:
        self._problem = problem

    def error(self) -> KafkaError:
        return self._problem


class ScriptedMember:
    """Gives what the script says, call by call."""

    script: list[list[Event]]

    def __init__(self, _config: dict[str, Any]) -> None:
        pass

    def subscribe(self, _topics: Sequence[str], **_callbacks: Callable[..., None]) -> None:
        pass

    def consume(self, _most: int, _wait_s: float) -> list[Event]:
        return self.script.pop(0) if self.script else []

    def close(self) -> None:
        pass


class CannotTellOffsets(ScriptedMember):
    """Is given a partition at its first question, and then no answer."""

    made: list["CannotTellOffsets"]

    def __init__(self, _config: dict[str, Any]) -> None:
        self.made.append(self)
        self.is_open = True

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self._on_assign = callbacks["on_assign"]

    def consume(self, _most: int, _wait_s: float) -> list[Event]:
        self._on_assign(self, [TopicPartition(RECORD.topic, 0)])
        return []

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        assert partitions == []

    def committed(self, _partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT), timeout)

    def close(self) -> None:
        self.is_open = False


class ScriptedFetcher:
    """Gives what the script says, call by call."""

    has_partitions = True
    script: list[list[int] | Exception]

    def __init__(self, _settings: Settings) -> None:
        pass

    def assign(self, positions: dict[tuple[str, int], int]) -> None:
        assert positions == {}

    def take(self, _most: int, _wait_s: float) -> list[ConsumerRecord]:
        step = self.script.pop(0) if self.script else []
        if isinstance(step, Exception):
            raise step
        return [ConsumerRecord(RECORD.topic, 0, offset, RECORD.key, RECORD.value) for offset in step]


FULL_STEP = list(range(STEP_MESSAGES))


@pytest.mark.parametrize(
    ("problem", "raised"),
    [
        pytest.param(RetryableError("nobody answers"), RetryableError, id="the second step raises"),
        pytest.param(Event(KafkaError(KafkaError._FATAL, fatal=True)), RetryableError, id="a fatal error in the group"),
        pytest.param(
            Event(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), KafkaAccessError, id="access is taken away"
        ),
    ],
)
def test_what_was_read_before_an_error_is_returned_and_the_error_comes_with_the_next_call(
    monkeypatch: pytest.MonkeyPatch, problem: Exception | Event, raised: type[Exception]
) -> None:
    steps: list[list[int] | Exception] = [FULL_STEP, *([problem] if isinstance(problem, Exception) else []), [16]]
    monkeypatch.setattr(client, "Consumer", ScriptedMember)
    monkeypatch.setattr(client, "Fetcher", ScriptedFetcher)
    monkeypatch.setattr(ScriptedFetcher, "script", steps, raising=False)
    told = [[], [problem]] if isinstance(problem, Event) else []
    monkeypatch.setattr(ScriptedMember, "script", told, raising=False)
    consumer = BatchConsumer(Settings(), "store", [RECORD.topic])
    assert [record.offset for record in consumer.poll(500, 0.1)] == FULL_STEP
    with pytest.raises(raised):
        consumer.poll(500, 0.1)
    assert [record.offset for record in consumer.poll(500, 0.1)] == [16]


def test_a_member_that_cannot_learn_where_its_group_stands_joins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "Consumer", CannotTellOffsets)
    monkeypatch.setattr(CannotTellOffsets, "made", [], raising=False)
    consumer = BatchConsumer(Settings(), "store", [RECORD.topic])
    for tries in (1, 2):
        with pytest.raises(RetryableError, match="does not tell its offsets"):
            consumer.poll(1, 0.1)
        assert [member.is_open for member in CannotTellOffsets.made] == [False] * tries + [True]
    consumer.close()


class ScriptedProducer:
    """Answers each record as the script of its turn says."""

    made: list["ScriptedProducer"]
    answers: list[KafkaError | None]

    def __init__(self, _config: dict[str, Any]) -> None:
        self.made.append(self)
        self._callbacks: list[Callable[[KafkaError | None, None], None]] = []

    def produce(self, _topic: str, *, on_delivery: Callable[[KafkaError | None, None], None], **_record: bytes) -> None:
        self._callbacks.append(on_delivery)

    def flush(self, _within_s: float) -> int:
        for callback in self._callbacks:
            callback(self.answers.pop(0), None)
        self._callbacks.clear()
        return 0


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedProducer]:
    monkeypatch.setattr(client, "Producer", ScriptedProducer)
    monkeypatch.setattr(ScriptedProducer, "made", [], raising=False)
    return ScriptedProducer


def test_after_a_fatal_error_a_new_producer_takes_the_place_of_the_old(producers: type[ScriptedProducer]) -> None:
    producers.answers = [KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), None]
    publisher = Publisher(Settings())
    with pytest.raises(RetryableError):
        publisher.publish([RECORD])
    publisher.publish([RECORD])
    assert len(producers.made) == 2


def test_a_batch_that_is_too_large_as_a_whole_is_written_record_by_record(producers: type[ScriptedProducer]) -> None:
    too_large = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    producers.answers = [too_large, too_large, None, None]
    Publisher(Settings()).publish([RECORD, RECORD])
    assert producers.answers == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(KafkaError._AUTHENTICATION, KafkaAccessError, id="password is wrong, seen by the client"),
        pytest.param(KafkaError.SASL_AUTHENTICATION_FAILED, KafkaAccessError, id="password is wrong"),
        pytest.param(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaAccessError, id="no right to the topic"),
        pytest.param(KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaAccessError, id="no right to the group"),
        pytest.param(KafkaError._TRANSPORT, RetryableError, id="nobody answers"),
        pytest.param(KafkaError.NOT_ENOUGH_REPLICAS, RetryableError, id="a broker is away"),
        pytest.param(KafkaError._MSG_TIMED_OUT, RetryableError, id="too slow"),
    ],
)
def test_a_person_is_asked_only_where_asking_again_changes_nothing(code: int, kind: type[Exception]) -> None:
    error = failure("Kafka cannot be read", KafkaException(KafkaError(code)))
    assert type(error) is kind
    assert KafkaError(code).name() in str(error)


@pytest.mark.loopback
def test_a_broker_that_is_away_is_in_the_log_within_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    consumer = BatchConsumer(Settings(kafka_bootstrap=f"127.0.0.1:{free_port()}"), "store", [RECORD.topic])

    def told() -> bool:
        consumer.poll(1, 0.2)
        return "_ALL_BROKERS_DOWN" in caplog.text or "_TRANSPORT" in caplog.text

    assert eventually(told, 30)
    consumer.close()


def test_faust_says_nothing_of_a_step_that_takes_as_long_as_it_may(tmp_path: Path) -> None:
    conf = build_app(Settings(data_dir=tmp_path), "listen").conf
    assert conf.broker_commit_livelock_soft_timeout >= LONGEST_MESSAGE_S
    assert conf.stream_processing_timeout >= LONGEST_MESSAGE_S
