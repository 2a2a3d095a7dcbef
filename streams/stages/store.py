"""The `store` stage: every topic that people query, in batches, into ClickHouse.

Offsets are committed after the insert returned, so a crash anywhere means that rows are inserted again, and the
tables are made so that this changes no count. When ClickHouse does not answer the batch is not kept in memory:
the consumer goes back to where it began and reads it again later.

When ClickHouse refuses what a row holds, the batch is halved until the message that it came from stands alone; that one
becomes a dead letter, the others are stored.
"""

import gc
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from processors.clickhouse.rows import (
    TableRows,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_rated,
    rows_for_dead_letter,
    rows_for_recording_accessed,
    rows_for_rules_published,
    rows_for_transcript,
    rows_for_unreadable,
)
from schemas.errors import InvalidMessageError, RefusedByDatabaseError, RetryableError
from schemas.messages.message import Message
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_RATED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    RECORDINGS_ACCESSED,
    RULES_PUBLISHED,
    AnyTopic,
)
from streams.ports import Clock, RowsRefusedError, Sink
from streams.runtime.record import ConsumerRecord, call_of_key, dead_letter_for
from streams.runtime.runner import BackOff, PublisherPort, StoppedError, TooManyDeadLettersError
from streams.runtime.stage import Output

log = logging.getLogger(__name__)

STORE = "store"

REFUSALS_LIMIT = 20
"""So many messages of a topic that ClickHouse refuses, with none between them that it takes: then the table or the code
is wrong, not the messages. Far below `dead_letter_streak_limit`, because these messages are right by their schema."""


class RecordSource(Protocol):
    """Where batches come from: a consumer whose offsets move only by `commit`."""

    def consume(self, most: int, wait_s: float) -> list[ConsumerRecord]: ...

    def commit(self, records: Sequence[ConsumerRecord]) -> None: ...

    def rewind(self, records: Sequence[ConsumerRecord]) -> None: ...


@dataclass(frozen=True)
class RecordRows:
    """A record, and the rows that it comes to. Not the message: a batch of messages is several times as large."""

    raw: ConsumerRecord
    rows: TableRows


@dataclass
class Batch:
    """What a batch of records comes to: rows to insert, and dead letters for what only `store` reads."""

    parts: list[RecordRows] = field(default_factory=list)
    dead_letters: list[Output] = field(default_factory=list)

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


@dataclass(frozen=True)
class Store:
    """Reads batches, writes rows, commits."""

    source: RecordSource
    sink: Sink
    publisher: PublisherPort
    clock: Clock
    batch_messages: int
    batch_wait_s: float
    retry_max_wait_s: float
    history: RecordSource | None = None
    """The lane of calls that were judged again."""
    _refusals: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    """Topic → messages that ClickHouse has refused since it took one of that topic."""

    def run(self, stop: threading.Event) -> None:
        """Until asked to stop. Whatever it raises is a bug; offsets then stay where they are.

        History is taken in after a batch of live messages that was not full: live traffic never waits behind it, and
        it never waits for ever.
        """
        back_off = BackOff(self.retry_max_wait_s, stop)
        while not stop.is_set():
            taken = self._take(self.source, self.batch_wait_s, back_off)
            if taken is not None and taken < self.batch_messages and self.history is not None:
                self._take(self.history, 0, back_off)

    def _take(self, source: RecordSource, wait_s: float, back_off: BackOff) -> int | None:
        """One batch of a source: how many records, or None where it has to be read again after a pause."""
        records: list[ConsumerRecord] = []
        try:
            records = source.consume(self.batch_messages, wait_s)
            if records:
                self.write(records, source)
            back_off.reset()
        except RetryableError as error:
            log.warning("store: %d message(s) wait, %s", len(records), str(error))
            source.rewind(records)
            with suppress(StoppedError):
                back_off.wait()
            return None
        return len(records)

    def write(self, records: Sequence[ConsumerRecord], source: RecordSource | None = None) -> None:
        """Insert the rows of these records, then commit.

        Raises `RetryableError` and `TooManyDeadLettersError`; then nothing is committed.
        """
        refusals = self._refusals.copy()
        with _collector_paused():
            batch = self.batch_of(records)
            self._insert(batch.parts, batch.dead_letters, refusals)
        if batch.dead_letters:
            self.publisher.publish(batch.dead_letters)
        (source or self.source).commit(records)
        self._refusals.update({topic: count - self._refusals[topic] for topic, count in refusals.items()})

    def _insert(self, parts: Sequence[RecordRows], dead_letters: list[Output], refusals: Counter[str]) -> None:
        """The rows of these parts; one that ClickHouse refuses becomes a dead letter, and is counted.

        What is inserted more than once on the way replaces itself.
        """
        try:
            self.sink.write(_rows_of(parts))
        except RowsRefusedError as error:
            if len(parts) == 1:
                dead_letters.append(self._refused_by_database(parts[0], error, refusals))
            else:
                middle = len(parts) // 2
                self._insert(parts[:middle], dead_letters, refusals)
                self._insert(parts[middle:], dead_letters, refusals)
        else:
            for topic in {part.raw.topic for part in parts}:
                refusals[topic] = 0

    def _refused_by_database(self, part: RecordRows, error: RowsRefusedError, refusals: Counter[str]) -> Output:
        topic = part.raw.topic
        if topic == CALLS_DEAD_LETTERS.name:
            raise error  # a letter about the letter would be refused as well, and so on
        refusals[topic] += 1
        if refusals[topic] >= REFUSALS_LIMIT:
            raise TooManyDeadLettersError(
                f"ClickHouse refused {refusals[topic]} messages of {topic} in a row; the last time: {error}"
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
                message = topic.decode(raw.value)
                rows = rows_of(message, raw)
            except InvalidMessageError as error:
                rows = self._refuse(raw, message, error, batch)
            if rows:
                batch.parts.append(RecordRows(raw, rows))
        return batch

    def _refuse(
        self, raw: ConsumerRecord, message: Message | None, error: InvalidMessageError, batch: Batch
    ) -> TableRows:
        if message is None and raw.topic == CALLS_ENDED.name:
            # `listen` owns this topic and writes the dead letter; here the event only has to be accounted for.
            call = call_of_key(raw.key)
            return rows_for_unreadable(raw.topic, raw.partition, raw.offset, call, raw.written_at)
        if message is None and raw.topic == CALLS_TRANSCRIBED.name:
            return {}  # `judge` owns this topic and writes the dead letter
        batch.dead_letters.append(self._dead_letter(raw, message, error))
        return {}

    def _dead_letter(self, raw: ConsumerRecord, message: Message | None, error: InvalidMessageError) -> Output:
        letter = dead_letter_for(STORE, raw, message, error, self.clock.now())
        log.warning("store: %s becomes a dead letter: %s", raw.place, "; ".join(error.problems))
        return Output(CALLS_DEAD_LETTERS.name, letter.dead_letter_id.encode(), letter.encode())


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
    CALLS_ENDED.name: (CALLS_ENDED, lambda event, raw: rows_for_call_ended(event, raw.written_at)),
    CALLS_TRANSCRIBED.name: (CALLS_TRANSCRIBED, lambda transcript, _raw: rows_for_transcript(transcript)),
    CALLS_ANALYZED.name: (CALLS_ANALYZED, lambda analysis, _raw: rows_for_analysis(analysis)),
    CALLS_REANALYZED.name: (CALLS_REANALYZED, lambda analysis, _raw: rows_for_analysis(analysis)),
    CALLS_RATED.name: (CALLS_RATED, lambda rated, _raw: rows_for_call_rated(rated)),
    ALERTS_RAISED.name: (ALERTS_RAISED, lambda alert, _raw: rows_for_alert(alert)),
    RULES_PUBLISHED.name: (RULES_PUBLISHED, lambda published, _raw: rows_for_rules_published(published)),
    ALERTS_DELIVERED.name: (ALERTS_DELIVERED, lambda delivery, _raw: rows_for_alert_delivery(delivery)),
    RECORDINGS_ACCESSED.name: (RECORDINGS_ACCESSED, lambda access, _raw: rows_for_recording_accessed(access)),
    CALLS_DEAD_LETTERS.name: (CALLS_DEAD_LETTERS, lambda letter, _raw: rows_for_dead_letter(letter)),
}
