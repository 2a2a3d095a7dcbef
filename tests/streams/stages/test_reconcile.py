"""What `reconcile` must know of Kafka: up to when `store` has read the events."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics
from streams.stages.reconcile import STORE, stored_until
from tests.support.brokers import running_broker
from tests.support.judged_calls import an_event


@pytest.mark.embedded
def test_events_count_as_stored_once_store_has_committed_them(tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with running_broker("tansu", tmp_path) as settings:
        apply_topics(settings)
        assert stored_until(settings, later) == later, "nothing waits"
        publisher = Publisher(settings)
        began = datetime.now(UTC)
        publisher.publish([CALLS_ENDED.record(an_event("c1", began))])
        publisher.close()
        waits_since = stored_until(settings, later)
        assert abs(waits_since - began) < timedelta(minutes=1)
        store = BatchConsumer(settings, STORE, [CALLS_ENDED.name])
        records: list[ConsumerRecord] = []
        while not records:
            records = store.poll(10, 1)
        assert stored_until(settings, later) == waits_since, "read, and not stored"
        store.commit(records)
        assert stored_until(settings, later) == later
        store.close()
