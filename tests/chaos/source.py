"""Publishes the calls of a schedule as telephony would, and what comes twice, late, or as bytes that nobody can read.

Whatever is broken meanwhile, it tries again until what it publishes is durable, and writes down when it was.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from processors.listening.audio import probe
from schemas.errors import OperatorError, RetryableError
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, LANES, message_key
from streams.adapters.kafka.client import Publisher, client_config
from streams.adapters.object_store.from_settings import object_store_from
from streams.stages.take_in import TakeIn, take_in_file, take_in_from
from tests.chaos.schedule import LOAD_S, Fault, PlannedCall, Schedule
from tests.chaos.stand import Stand

GIVE_UP_S = 180.0
TRY_AGAIN_S = 0.5
ABSENT_FOR_S = 2.0
MISSED_WITHIN_S = 15.0
"""The recording of a call that is to be repaired is away until `listen` has missed it, at most for so long."""
POISON = b"\xff nobody can read this"
ASK_WITHIN_S = 10.0
PUBLISHED_WITHIN_S = 8.0
AS_FAULTS = frozenset({"duplicates", "old_records", "poison"})
"""Kinds of faults that are something that is published."""


class NotPublishedError(Exception):
    """What was to be published could not be, in all the time that there was."""


class Held:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.outputs: list[ProducerRecord] = []

    def publish(self, outputs: Iterable[ProducerRecord]) -> None:
        """See `PublisherPort`."""
        self.outputs += outputs

    def close(self) -> None:
        """See `PublisherPort`."""


class Source(threading.Thread):
    """Does what a schedule publishes, each at its moment or as soon after it as it can be done."""

    def __init__(self, stand: Stand, schedule: Schedule, recordings: dict[str, Path]) -> None:
        super().__init__(name="source", daemon=True)
        self.failure: BaseException | None = None
        self._stand = stand
        self._schedule = schedule
        self._recordings = recordings
        self._events: list[CallEnded] = []
        self._publisher = Publisher(stand.settings, PUBLISHED_WITHIN_S)
        self._take_in = {
            "live": take_in_from(stand.settings, self._publisher, probe, lane="live"),
            "backfill": take_in_from(stand.settings, self._publisher, probe, lane="backfill"),
        }
        raw = {**client_config(stand.settings), "enable.idempotence": True, "batch.num.messages": 1}
        self._producer = Producer({**raw, "message.timeout.ms": int(GIVE_UP_S * 1000)})
        self._began = time.monotonic()

    def run(self) -> None:
        """Everything, in the order of time."""
        tasks: list[tuple[float, Callable[[], None]]] = []
        for call in self._schedule.calls:
            if call.kind == "repaired":
                tasks += self._repair(call)
            else:
                tasks.append((call.at_s, partial(self._publish, call)))
        for fault in self._schedule.faults:
            if fault.kind in AS_FAULTS:
                tasks.append((fault.at_s, partial(self._disturb, fault)))
        try:
            for at_s, task in sorted(tasks, key=lambda one: one[0]):
                time.sleep(max(0.0, self._began + at_s - time.monotonic()))
                self._insist(task)
        except BaseException as error:
            self.failure = error
        finally:
            self._publisher.close()

    def _insist(self, task: Callable[[], None]) -> None:
        give_up_s = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return task()
            except (RetryableError, OperatorError, OSError, KafkaException) as error:
                # An operator's error is one that he mends: a folder that is gone comes back.
                if time.monotonic() > give_up_s:
                    raise NotPublishedError(type(error).__name__) from error
                time.sleep(TRY_AGAIN_S)

    def _publish(self, call: PlannedCall) -> None:
        self._taken_in(self._take_in[call.lane], call)
        self._acknowledged(call)

    def _taken_in(self, take_in: TakeIn, call: PlannedCall) -> None:
        facts = facts_of(call, self._schedule.tenant_id)
        most = self._stand.settings.max_recording_bytes
        self._events.append(take_in_file(take_in, self._recordings[call.kind], facts, most, source="publish").call)

    def _acknowledged(self, call: PlannedCall) -> None:
        self._stand.note(self._schedule.tenant_id, "call", call=call.call_id, kind=call.kind)

    def _repair(self, call: PlannedCall) -> list[tuple[float, Callable[[], None]]]:
        """Its event comes before its recording does; then the recording is there, and the event comes again."""
        held = Held()
        aside: list[tuple[Path, Path]] = []

        def take_away() -> None:
            if not held.outputs:
                self._taken_in(replace(self._take_in[call.lane], publisher=held), call)
            if not aside:
                store = object_store_from(self._stand.settings)
                key = store.key_of(CALLS_ENDED.decode(held.outputs[0].value or b"").audio.uri)
                objects = self._stand.folder / "disk" / "objects"
                (path,) = (path for path in objects.glob(f"*/{key}"))
                away = self._stand.folder / f"aside-{call.call_id}"
                away.write_bytes(path.read_bytes())
                aside.append((path, away))
            aside[0][0].unlink(missing_ok=True)
            self._publisher.publish(held.outputs)

        def put_back() -> None:
            path, away = aside[0]
            key, give_up_s = held.outputs[0].key, time.monotonic() + MISSED_WITHIN_S
            while time.monotonic() < give_up_s and not any(
                record.key == key for record in self._records_of(CALLS_TRANSCRIBED.name)
            ):
                time.sleep(TRY_AGAIN_S)
            draft = path.with_name(f".{path.name}.draft")
            draft.write_bytes(away.read_bytes())
            draft.replace(path)
            self._publisher.publish([LANES["redo"].record(CALLS_ENDED.decode(held.outputs[0].value or b""))])
            self._acknowledged(call)

        return [(call.at_s, take_away), (max(LOAD_S, call.at_s + ABSENT_FOR_S), put_back)]

    def _disturb(self, fault: Fault) -> None:
        if fault.kind == "duplicates":
            self._publisher.publish([CALLS_ENDED.record(event) for event in self._events])
        elif fault.kind == "old_records":
            self._publish_again(fault.target)
        else:
            self._poison(fault)

    def _poison(self, fault: Fault) -> None:
        tenant_id = self._schedule.tenant_id
        call_id = f"poison-{fault.target.replace('.', '-')}-{fault.at_s}"
        placed: list[Any] = []

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                raise KafkaException(error)
            placed.append(message)

        self._producer.produce(fault.target, POISON, message_key(tenant_id, call_id), on_delivery=delivered)
        if self._producer.flush(GIVE_UP_S) or not placed:
            raise NotPublishedError("poison")
        about = {"partition": placed[0].partition(), "offset": placed[0].offset()}
        self._stand.note(tenant_id, "poison", topic=fault.target, call=call_id, **about)

    def _publish_again(self, topic: str) -> None:
        """What stands there of this tenant, newest first."""
        found = self._records_of(topic)
        for record in reversed(found):
            self._producer.produce(record.topic, record.value, record.key)
        if self._producer.flush(GIVE_UP_S):
            raise NotPublishedError("old records")

    def _records_of(self, topic: str) -> list[ProducerRecord]:
        config = {**client_config(self._stand.settings), "group.id": "chaos-source", "enable.auto.commit": False}
        consumer = Consumer(config)
        try:
            partitions = consumer.list_topics(topic, ASK_WITHIN_S).topics[topic].partitions
            ends = {}
            for part in partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, part), ASK_WITHIN_S)
                if high > low:
                    ends[part] = (low, high)
            consumer.assign([TopicPartition(topic, part, low) for part, (low, _high) in ends.items()])
            found, give_up_s = [], time.monotonic() + ASK_WITHIN_S
            while ends and time.monotonic() < give_up_s:
                for message in consumer.consume(500, 0.5):
                    if message.error() is not None:
                        continue
                    part, offset = int(message.partition() or 0), int(message.offset() or 0)
                    key, value = message.key() or b"", message.value() or b""
                    if part in ends and offset + 1 >= ends[part][1]:
                        del ends[part]
                    if key.startswith(f"{self._schedule.tenant_id}/".encode()) and value != POISON:
                        found.append(ProducerRecord(topic, key, value))
            return found
        finally:
            consumer.close()


def facts_of(call: PlannedCall, tenant_id: str) -> dict[str, Any]:
    """What telephony says of the call: it ended an hour ago, and its customer never called before."""
    ended_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    return {
        "tenant_id": tenant_id,
        "call_id": call.call_id,
        "direction": "inbound",
        "industry": "finance" if call.kind == "violating" else "ecommerce",
        "handled_by": "human",
        "started_at": (ended_at - timedelta(seconds=30)).isoformat(),
        "ended_at": ended_at.isoformat(),
        "agent": {"id": "A1"},
        "queue": "service",
        "inquiry_type": "咨询",
        "language_hint": "zh",
        "audio": {"channel_roles": ["agent", "customer"]},
    }
