"""Attacks on what is made of refusals: Kafka answers, but not for each partition."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.errors import RetryableError
from schemas.messages.topics import ALERTS_RAISED, CALLS_ENDED
from streams.adapters.kafka import alert_source, client
from streams.adapters.kafka.alert_source import KafkaAlertSource
from streams.adapters.kafka.client import BatchConsumer, lags
from streams.adapters.kafka.fetcher import KafkaAccessError
from streams.settings import Settings

REFUSED = KafkaError.TOPIC_AUTHORIZATION_FAILED
UNSTABLE = KafkaError.UNSTABLE_OFFSET_COMMIT
CODES = {"refused": (REFUSED, KafkaAccessError), "not known yet": (UNSTABLE, RetryableError)}


class NotTold:
    """What confluent-kafka says of a partition whose offset a broker did not tell: no offset, and an error."""

    offset = -1001
    metadata = None
    topic = CALLS_ENDED.name
    partition = 0

    def __init__(self, code: int) -> None:
        self.error = KafkaError(code)


class Member:
    """Is given a partition at its first question; where the group stands on it, the broker does not tell."""

    code: int
    committed_by_it: list[object]

    def __init__(self, _config: dict[str, Any]) -> None: ...

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self._on_assign = callbacks["on_assign"]

    def consume(self, _most: int, _wait_s: float) -> list[object]:
        self._on_assign(self, [TopicPartition(CALLS_ENDED.name, 0)])
        return []

    def assign(self, _partitions: Sequence[TopicPartition]) -> None: ...

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None}, error=None)})

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return 3, 7

    def committed(self, _partitions: Sequence[TopicPartition], timeout: float) -> list[NotTold]:
        assert timeout > 0
        return [NotTold(self.code)]

    def commit(self, **offsets: object) -> None:
        self.committed_by_it.append(offsets)

    def close(self) -> None: ...


class NoFetcher:
    """Would read from wherever it is told to."""

    has_partitions = False

    def __init__(self, _settings: Settings) -> None: ...

    def assign(self, positions: object) -> None:
        assert positions == {}, "nobody knows from where"


@pytest.fixture(params=CODES, ids=str)
def raised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    code, kind = CODES[request.param]
    monkeypatch.setattr(client, "Consumer", Member)
    for module in (client, alert_source):
        monkeypatch.setattr(module, "Fetcher", NoFetcher)
    monkeypatch.setattr(Member, "code", code, raising=False)
    monkeypatch.setattr(Member, "committed_by_it", [], raising=False)
    return kind


def test_a_partition_whose_offset_is_not_told_is_not_read_from_its_beginning(raised: type[Exception]) -> None:
    consumer = BatchConsumer(Settings(), "store", [CALLS_ENDED.name])
    with pytest.raises(raised, match="does not tell its offsets"):
        consumer.poll(1, 0.1)


def test_alerts_of_a_partition_whose_offset_is_not_told_are_not_passed_over(raised: type[Exception]) -> None:
    """A group that has committed nowhere begins at the end, and commits that: all before it would never be sent."""
    source = KafkaAlertSource(
        Settings(), "notify.desk", ALERTS_RAISED.name, assigned=lambda _commits: None, revoked=lambda _gone: None
    )
    with pytest.raises(raised, match="does not tell its offsets"):
        source.read(1, 0.1)
    assert Member.committed_by_it == []


class Admin:
    """Tells the topics, and of groups what the test says."""

    answer: object

    def __init__(self, _config: dict[str, Any]) -> None: ...

    def list_topics(self, timeout: float) -> Any:
        assert timeout > 0
        return SimpleNamespace(topics={CALLS_ENDED.name: SimpleNamespace(partitions={0: None})})

    def list_consumer_group_offsets(self, _requests: object) -> dict[str, Future[object]]:
        future: Future[object] = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        else:
            future.set_result(self.answer)
        return {"group": future}


@pytest.mark.usefixtures("raised")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(SimpleNamespace(topic_partitions=[NotTold(REFUSED)]), id="of the partition"),
        pytest.param(KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)), id="of the group"),
    ],
)
def test_a_refusal_is_neither_a_lag_nor_asked_again(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "admin_client", lambda _settings: Admin({}))
    monkeypatch.setattr(Admin, "answer", answer, raising=False)
    with pytest.raises(KafkaAccessError, match="see to the user and the password"):
        lags(Settings(), {"store": [CALLS_ENDED.name]})
