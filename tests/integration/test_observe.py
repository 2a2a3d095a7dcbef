"""How much audio waits, on real brokers: also while nobody listens, and exactly, whatever was read before."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_BACKFILLED, CALLS_ENDED, LANES
from streams.adapters.kafka.ages import UnfinishedAges
from streams.adapters.kafka.audio_lag import USUAL_CALL_S, AudioAhead, AudioWaiting
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics, consumer_config, lags, read_record
from streams.runtime.audio_length import audio_s_of
from streams.runtime.offsets import PartitionProgress
from streams.settings import Settings
from tests.processors.transcripts import call
from tests.support.brokers import running_broker
from tests.support.processes import eventually


@pytest.fixture(
    params=[
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.embedded, pytest.mark.long]),
    ]
)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    with running_broker(request.param, tmp_path) as running:
        apply_topics(running, [*LANES.values()])
        yield running


def publish(settings: Settings, *lengths_s: int, first: int = 0) -> None:
    publisher = Publisher(settings)
    for number, length_s in enumerate(lengths_s, first):
        event = call(duration_ms=length_s * 1_000).model_copy(update={"call_id": f"c{number}"})
        publisher.publish([CALLS_ENDED.record(event)])
    publisher.close()


def hear(settings: Settings, count: int) -> Sequence[ConsumerRecord]:
    """So many calls, committed; in whatever order the partitions give them."""
    consumer = BatchConsumer(settings, "listen", [CALLS_ENDED.name])
    heard: list[ConsumerRecord] = []

    def has_all() -> bool:
        heard.extend(consumer.poll(count - len(heard), 0.5))
        return len(heard) >= count

    assert eventually(has_all)
    consumer.commit(heard)
    consumer.close()
    return heard


def length_s(record: ConsumerRecord) -> float:
    event = CALLS_ENDED.read(record)
    return (event.ended_at - event.started_at) / timedelta(seconds=1)


def test_it_is_the_sum_of_what_the_events_say_also_while_nobody_listens(settings: Settings) -> None:
    ahead = AudioAhead(settings)
    assert eventually(lambda: answers(ahead)), "just made, a partition may have no leader yet"
    assert live(ahead) == AudioWaiting(0, 0, is_estimate=False), "nobody has ever listened, and nothing waits"

    lengths_s = [4, 3_600, 30, 60, 7_200, 4, 4, 90]
    publish(settings, *lengths_s)
    assert live(ahead) == AudioWaiting(8, sum(lengths_s), is_estimate=False)

    heard_s = sum(map(length_s, hear(settings, 3)))
    assert live(ahead) == AudioWaiting(5, sum(lengths_s) - heard_s, is_estimate=False)

    publish(settings, 10, 20, first=len(lengths_s))
    assert live(ahead) == AudioWaiting(7, sum(lengths_s) - heard_s + 30, is_estimate=False)
    ahead.close()

    hear(settings, 7)
    for _ in range(10):  # one after the other in one partition
        publish(settings, 100, first=100)
    publisher = Publisher(settings)
    publisher.publish([ProducerRecord(CALLS_ENDED.name, b"k", b"not an event")])
    publisher.publish([CALLS_ENDED.record(call(duration_ms=6 * 24 * 3_600_000))])
    publisher.close()
    whole, part, none = AudioAhead(settings), AudioAhead(settings, most_records=4), AudioAhead(settings, most_records=0)
    longest_s = settings.max_call_minutes * 60
    of_all = AudioWaiting(12, 1_000 + longest_s, is_estimate=False)
    assert live(whole) == of_all, "a bad event lasts no time, and no call is as long as one claims"
    first = live(part)
    assert (first.messages, first.is_estimate) == (12, True), "what was not read counts as long as the rest"
    assert eventually(lambda: live(part) == of_all)
    assert live(none) == AudioWaiting(12, 12 * USUAL_CALL_S, is_estimate=True)
    for each in (whole, part, none):
        each.close()

    publish_past(settings, 3_000)
    past = AudioAhead(settings)
    assert past.ask()["backfill"] == AudioWaiting(1, 3_000, is_estimate=False)
    if settings.kafka_flavour == "apache":  # tansu keeps no metadata of commits
        finish_out_of_order(settings)
        assert live(past) == AudioWaiting(11, of_all.audio_s - 100, is_estimate=False), "done behind a long one is done"
    past.close()

    behind = lags(settings, {"listen": [CALLS_ENDED.name]})
    oldest = ("listen", CALLS_ENDED.name)
    later = datetime.now(UTC) + timedelta(minutes=10)
    ages = UnfinishedAges(settings)
    first_s = ages.ask(behind, later)[oldest]
    if settings.kafka_flavour == "apache":
        assert first_s == 600, "one that begins to look asks how far the topic reached before"
    assert ages.ask(behind, later + timedelta(minutes=1))[oldest] == first_s + 60


def publish_past(settings: Settings, length_s: int) -> None:
    publisher = Publisher(settings)
    publisher.publish([CALLS_BACKFILLED.record(call(duration_ms=length_s * 1_000))])
    publisher.close()


def finish_out_of_order(settings: Settings) -> None:
    """Of one partition the second call that waits, while the first is still being heard."""
    (lag,) = lags(settings, {"listen": [CALLS_ENDED.name]})
    ends = dict(lag.ends)
    partition, first = next(
        (number, offset) for number, offset in lag.unread if lasts_100_s(settings, number, offset + 1)
    )
    assert ends[partition] > first + 1
    progress = PartitionProgress(first)
    progress.take(first)
    progress.take(first + 1)
    progress.finish(first + 1)
    offset, metadata = progress.commit()
    consumer = Consumer(consumer_config(settings, "listen"))
    consumer.commit(offsets=[TopicPartition(CALLS_ENDED.name, partition, offset, metadata)], asynchronous=False)
    consumer.close()


def lasts_100_s(settings: Settings, partition: int, offset: int) -> bool:
    record = read_record(settings, CALLS_ENDED.name, partition, offset)
    return record is not None and audio_s_of(record) == 100


def live(ahead: AudioAhead) -> AudioWaiting:
    return ahead.ask()["live"]


def answers(ahead: AudioAhead) -> bool:
    try:
        ahead.ask()
    except RetryableError:
        return False
    return True
