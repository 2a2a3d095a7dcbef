"""After a restore, groups read again what was written since shortly before the backup: on Apache Kafka."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics
from streams.adapters.kafka.positions import reset_groups
from streams.settings import Settings
from tests.support.brokers import running_broker

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with running_broker("kafka", tmp_path) as running:
        apply_topics(running, [CALLS_ENDED])
        yield running


def publish(settings: Settings, *values: bytes) -> None:
    publisher = Publisher(settings)
    publisher.publish(ProducerRecord(CALLS_ENDED.name, b"k", value) for value in values)
    publisher.close()


def read(settings: Settings, count: int) -> list[bytes]:
    """What the group reads next, committed."""
    consumer = BatchConsumer(settings, "listen", [CALLS_ENDED.name])
    values: list[bytes] = []
    until_s = time.monotonic() + 30
    while len(values) < count and time.monotonic() < until_s:
        records = consumer.poll(10, 0.5)
        values += [record.value or b"" for record in records]
        if records:
            consumer.commit(records)
    consumer.close()
    return values


def test_groups_go_back_and_never_forward(settings: Settings) -> None:
    publish(settings, b"1", b"2")
    time.sleep(1.1)
    backup_at = datetime.now(UTC)
    publish(settings, b"3", b"4")
    assert read(settings, 4) == [b"1", b"2", b"3", b"4"]
    groups = {"listen": [CALLS_ENDED.name], "never_ran": [CALLS_ENDED.name]}

    (planned,) = reset_groups(settings, groups, backup_at, dry_run=True)
    assert (planned.group, planned.committed - planned.begins_at) == ("listen", 2)
    assert reset_groups(settings, groups, backup_at) == [planned]
    assert reset_groups(settings, groups, backup_at) == [], "it is there already"
    assert read(settings, 2) == [b"3", b"4"]
    assert reset_groups(settings, groups, datetime.now(UTC)) == [], "nothing is skipped"
