"""Clients that administer are made for each question; librdkafka ends the process if one of them ends in a thread of
another, which is where Python may clear up.
"""

import gc
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.client import admin_client, apply_topics
from streams.settings import Settings
from tests.support.brokers import running_broker

LONG_ENOUGH_S = 180


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Settings]:
    with running_broker("tansu", tmp_path) as settings:
        apply_topics(settings, [CALLS_ENDED])
        yield settings


def ask(folder: Path, bootstrap: str) -> None:
    """Whoever was answered with an error leaves a client behind, which is cleared up while the next one is answered."""
    settings = Settings(data_dir=folder, kafka_bootstrap=bootstrap, kafka_flavour="tansu")
    gc.disable()
    for _ in range(3):
        ask_for_nothing(settings)
        admin = admin_client(settings)
        (answer,) = admin.list_offsets(
            {TopicPartition(CALLS_ENDED.name, 0): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
        ).values()
        cleared_up = threading.Event()
        answer.add_done_callback(lambda _answer, done=cleared_up: (gc.collect(), done.set()))  # type: ignore[misc]
        assert answer.result(LONG_ENOUGH_S).offset == 0
        assert cleared_up.wait(LONG_ENOUGH_S)


def ask_for_nothing(settings: Settings) -> None:
    admin = admin_client(settings)
    refused = False
    places = [TopicPartition("nothing.v1", 0), TopicPartition(CALLS_ENDED.name, 0)]
    try:
        asked = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        for answer in admin.list_offsets(asked).values():
            answer.result(LONG_ENOUGH_S)
    except KafkaException:
        refused = True
    assert refused


@pytest.mark.embedded
def test_a_process_outlives_answers_that_are_errors(broker: Settings, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=ask, args=(tmp_path, broker.kafka_bootstrap))
    process.start()
    process.join(LONG_ENOUGH_S)
    assert process.exitcode == 0
