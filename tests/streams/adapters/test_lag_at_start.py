"""What lay in a topic when a worker started, as a real broker tells it; what comes later does not count."""

from pathlib import Path

import pytest

from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_ENDED
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics
from streams.adapters.kafka.lag_at_start import LagAtStart
from tests.support.brokers import running_broker
from tests.support.processes import eventually

GROUP = "keep"
TOPICS = [CALLS_ENDED.name, CALLS_ANALYZED.name]

pytestmark = pytest.mark.embedded


def test_it_is_done_when_what_was_there_is_committed(tmp_path: Path) -> None:
    with running_broker("tansu", tmp_path) as settings:
        apply_topics(settings)
        assert LagAtStart(settings, {GROUP: TOPICS}).is_done(), "nothing was there"
        publisher = Publisher(settings)

        def publish(*values: bytes) -> None:
            publisher.publish([ProducerRecord(CALLS_ENDED.name, value, value) for value in values])

        publish(b"a", b"b", b"c")
        at_start = LagAtStart(settings, {GROUP: TOPICS})
        assert not at_start.is_done()
        consumer, read = BatchConsumer(settings, GROUP, TOPICS), 0

        def has_read_all() -> bool:
            nonlocal read
            records = consumer.poll(10, 1)
            read += len(records)
            if records:
                consumer.commit(records)
            return read == 3

        assert eventually(has_read_all)
        assert eventually(at_start.is_done)
        publish(b"d")
        assert at_start.is_done()
        assert not LagAtStart(settings, {GROUP: TOPICS}).is_done()
        consumer.close()
        publisher.close()
