"""The `store` stage: every topic that people query, in batches, into ClickHouse.

Offsets are committed after the insert returned, so a crash anywhere means that rows are inserted again, and the
tables are made so that this changes no count. When ClickHouse does not answer the batch is not kept in memory:
the consumer goes back to where it began and reads it again later. History that was judged again comes after live
messages, by a consumer group of its own.

When ClickHouse refuses what a row holds, the batch is halved until the message that it came from stands alone; that one
becomes a dead letter, the others are stored.
"""

import gc
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from processors.clickhouse.purge_sql import DIGESTS
from processors.clickhouse.rows import (
    TableRows,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_listed,
    rows_for_call_rated,
    rows_for_custody_changed,
    rows_for_dead_letter,
    rows_for_fact_received,
    rows_for_recording_accessed,
    rows_for_rules_published,
    rows_for_transcript,
    rows_for_unreadable,
    rows_for_verdict_given,
)
from processors.custody.ports import Tombstones
from schemas.errors import InvalidMessageError, RefusedByDatabaseError
from schemas.messages.dead_letter import dead_letter_for
from schemas.messages.message import Message
from schemas.messages.records import ConsumerRecord, ProducerRecord, call_of_key
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_LISTED,
    CALLS_RATED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    CUSTODY_CHANGED,
    FACTS_RECEIVED,
    LANE_OF,
    LANES,
    RECORDINGS_ACCESSED,
    RULES_PUBLISHED,
    VERDICTS_GIVEN,
    AnyTopic,
)
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka.client import BatchConsumer
from streams.adapters.register.register import Register
from streams.ports import Clock, RowsRefusedError, Sink, WorkSource
from streams.runtime.buried import NO_TOMBSTONES
from streams.runtime.json_files import read_object, write_whole
from streams.runtime.lanes import Lanes
from streams.runtime.loop import Loop, TooManyFailuresError
from streams.runtime.worker_context import WorkerContext
from streams.topology import groups_of
from streams.wiring import buried_calls, require_migrations, require_register, require_topics

log = logging.getLogger(__name__)

STORE = "store"
RELEASE = version("callstream")

REFUSALS_LIMIT = 20
"""So many messages of a topic that ClickHouse refuses, and this release has never stored one of that topic: then the
table or the code is wrong, not the messages. Far below `dead_letter_streak_limit`, because these messages are right by
their schema."""


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka and ClickHouse; raises `ClickHouseAccessError`."""
    settings = worker.settings
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(lambda: require_migrations(settings))
    worker.wait_for(lambda: require_register(Register.of(settings)))
    client = worker.wait_for(lambda: connect(settings.clickhouse_url.get_secret_value()))
    live, history = (BatchConsumer(settings, group, topics) for group, topics in groups_of(STORE).items())
    return loop_of(
        Store(
            ClickHouseSink(client),
            worker.clock,
            StoredTopics(worker.folder / "stored_topics.json"),
            buried_calls(settings),
        ),
        Lanes(live, history),
        worker,
    )


def loop_of(store: "Store", source: WorkSource, worker: WorkerContext) -> Loop:
    """The store on a source."""
    settings = worker.settings
    return worker.loop_of_work(
        store.work, source, batch=settings.sink_batch_messages, wait_s=settings.sink_batch_ms / 1000
    )


@dataclass(frozen=True)
class RecordRows:
    """A record, and the rows that it comes to. Not the message: a batch of messages is several times as large."""

    raw: ConsumerRecord
    rows: TableRows
    call: tuple[str, str] | None = None
    """Tenant and id of the call that it tells of; None where it tells of none, or of which is not known."""

    @property
    def without_digests(self) -> "RecordRows":
        """As it is stored of a destroyed call, where it tells what was done with it."""
        rows = {
            table: [{**row, **dict.fromkeys(DIGESTS.get(table, ()))} for row in table_rows]
            for table, table_rows in self.rows.items()
        }
        return replace(self, rows=rows)


@dataclass
class Batch:
    """What a batch of records comes to: rows to insert, and dead letters for what only `store` reads."""

    parts: list[RecordRows] = field(default_factory=list)
    dead_letters: list[ProducerRecord] = field(default_factory=list)

    @property
    def rows(self) -> TableRows:
        """The rows of all records, by table."""
        return _rows_of(self.parts)


def _rows_of(parts: Sequence[RecordRows]) -> TableRows:
    rows: TableRows = defaultdict(list)
    for part in parts:
        for table, table_rows in part.rows.items():
            rows[table].extend(table_rows)
    return rows


class StoredTopics:
    """Topics of which this release of callstream has stored a message; with a `file`, after a restart, too."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        known = (read_object(file) or {}).get(RELEASE) if file is not None else None
        self._topics = {str(topic) for topic in known} if isinstance(known, list) else set()

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def add(self, topics: set[str]) -> None:
        """Remember them. A disk that refuses is logged: it only makes the next process more careful."""
        if topics <= self._topics:
            return
        self._topics |= topics
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._file, {RELEASE: sorted(self._topics)})
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file, error.strerror)


@dataclass(frozen=True)
class Store:
    """Turns records into rows and inserts them."""

    sink: Sink
    clock: Clock
    stored: StoredTopics = field(default_factory=StoredTopics)
    tombstones: Tombstones = NO_TOMBSTONES
    _refused: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set), init=False, repr=False)
    """Topic → positions of the messages that ClickHouse has refused before it took any of that topic."""

    def work(self, records: Sequence[ConsumerRecord]) -> Sequence[ProducerRecord]:
        """Insert the rows of these records; the dead letters of those that cannot be stored.

        Doing it again is right. Raises `RetryableError` and `TooManyFailuresError`.
        """
        with _collector_paused():
            batch = self.batch_of(records)
            self._insert(self._of_kept_calls(batch.parts), batch.dead_letters)
        return batch.dead_letters

    def _of_kept_calls(self, parts: Sequence[RecordRows]) -> Sequence[RecordRows]:
        """Those that are not of a call with a tombstone, which outranks whatever comes later. What was done with such a
        call stays, without digests of what is gone. Raises `RetryableError`."""
        buried = self.tombstones.among({part.call for part in parts if part.call is not None})
        if not buried:
            return parts
        kept = [
            part.without_digests if part.call in buried else part
            for part in parts
            if part.call not in buried or part.raw.topic in _OF_EVERY_CALL
        ]
        log.info("store: %d message(s) of calls that were destroyed are dropped", len(parts) - len(kept))
        return kept

    def _insert(self, parts: Sequence[RecordRows], dead_letters: list[ProducerRecord]) -> None:
        """The rows of these parts; one that ClickHouse refuses becomes a dead letter, and is counted.

        What is inserted more than once on the way replaces itself.
        """
        try:
            self.sink.write(_rows_of(parts))
        except RowsRefusedError as error:
            if len(parts) == 1:
                dead_letters.append(self._refused_by_database(parts[0], error))
            else:
                middle = len(parts) // 2
                self._insert(parts[:middle], dead_letters)
                self._insert(parts[middle:], dead_letters)
        else:
            self.stored.add({part.raw.topic for part in parts})

    def _refused_by_database(self, part: RecordRows, error: RowsRefusedError) -> ProducerRecord:
        topic = part.raw.topic
        if topic == CALLS_DEAD_LETTERS.name:
            raise error  # a letter about the letter would be refused as well, and so on
        if topic not in self.stored:
            refused = self._refused[topic]
            refused.add(part.raw.position)
            if len(refused) >= REFUSALS_LIMIT:
                raise TooManyFailuresError(
                    f"ClickHouse refused the first {len(refused)} messages of {topic}; the last time: {error}"
                ) from None
        message = None
        with suppress(InvalidMessageError):  # of an event that cannot be read there are rows, too
            message = _ROWS_OF[topic][0].decode(part.raw.value)
        return self._dead_letter(part.raw, message, RefusedByDatabaseError([f"{error.table}: {error.reason}"]))

    def batch_of(self, records: Sequence[ConsumerRecord]) -> Batch:
        """The rows of these records. A record that cannot be decoded becomes rows or a dead letter, too."""
        batch = Batch()
        for raw in records:
            topic, rows_of = _ROWS_OF[raw.topic]
            message: Message | None = None
            try:
                message = topic.read(raw)
                rows = rows_of(message, raw)
            except InvalidMessageError as error:
                rows = self._refuse(raw, message, error, batch)
            if rows:
                batch.parts.append(RecordRows(raw, rows, _call_of(raw, message)))
        return batch

    def _refuse(
        self, raw: ConsumerRecord, message: Message | None, error: InvalidMessageError, batch: Batch
    ) -> TableRows:
        if message is None and raw.topic in LANE_OF:
            # `listen` owns these topics and writes the dead letter; here the event only has to be accounted for.
            call = call_of_key(raw.key)
            return rows_for_unreadable(raw.topic, raw.partition, raw.offset, call, raw.written_at)
        if message is None and raw.topic == CALLS_TRANSCRIBED.name:
            return {}  # `judge` owns this topic and writes the dead letter
        batch.dead_letters.append(self._dead_letter(raw, message, error))
        return {}

    def _dead_letter(self, raw: ConsumerRecord, message: Message | None, error: InvalidMessageError) -> ProducerRecord:
        letter = dead_letter_for(STORE, raw, message, error, self.clock.now())
        log.warning("store: %s becomes a dead letter: %s", raw.position, "; ".join(error.problems))
        return CALLS_DEAD_LETTERS.record(letter)


_OF_EVERY_CALL = frozenset(
    {CUSTODY_CHANGED.name, RECORDINGS_ACCESSED.name, ALERTS_DELIVERED.name, CALLS_DEAD_LETTERS.name}
)
"""What was done with calls and messages, without a word of them: it is stored of destroyed calls, too."""


def _call_of(raw: ConsumerRecord, message: Message | None) -> tuple[str, str] | None:
    tenant_id, call_id = getattr(message, "tenant_id", None), getattr(message, "call_id", None)
    if isinstance(tenant_id, str) and isinstance(call_id, str):
        return tenant_id, call_id
    return call_of_key(raw.key) if message is None else None


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A batch makes millions of objects without a cycle among them, through which the collector would go in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_ROWS_OF: dict[str, tuple[AnyTopic, Callable[[Any, ConsumerRecord], TableRows]]] = {
    **{topic.name: (topic, lambda event, raw: rows_for_call_ended(event, raw.written_at)) for topic in LANES.values()},
    CALLS_LISTED.name: (CALLS_LISTED, lambda listed, _raw: rows_for_call_listed(listed)),
    CALLS_TRANSCRIBED.name: (CALLS_TRANSCRIBED, lambda transcript, _raw: rows_for_transcript(transcript)),
    CALLS_ANALYZED.name: (CALLS_ANALYZED, lambda analysis, _raw: rows_for_analysis(analysis)),
    CALLS_REANALYZED.name: (CALLS_REANALYZED, lambda analysis, _raw: rows_for_analysis(analysis)),
    CALLS_RATED.name: (CALLS_RATED, lambda rated, _raw: rows_for_call_rated(rated)),
    FACTS_RECEIVED.name: (FACTS_RECEIVED, lambda fact, raw: rows_for_fact_received(fact, raw.written_at, raw.offset)),
    VERDICTS_GIVEN.name: (VERDICTS_GIVEN, lambda verdict, _raw: rows_for_verdict_given(verdict)),
    ALERTS_RAISED.name: (ALERTS_RAISED, lambda alert, _raw: rows_for_alert(alert)),
    RULES_PUBLISHED.name: (RULES_PUBLISHED, lambda published, _raw: rows_for_rules_published(published)),
    ALERTS_DELIVERED.name: (ALERTS_DELIVERED, lambda delivery, _raw: rows_for_alert_delivery(delivery)),
    RECORDINGS_ACCESSED.name: (RECORDINGS_ACCESSED, lambda access, _raw: rows_for_recording_accessed(access)),
    CUSTODY_CHANGED.name: (CUSTODY_CHANGED, lambda event, _raw: rows_for_custody_changed(event)),
    CALLS_DEAD_LETTERS.name: (CALLS_DEAD_LETTERS, lambda letter, _raw: rows_for_dead_letter(letter)),
}
