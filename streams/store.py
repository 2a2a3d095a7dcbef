"""The `store` stage: every topic that people query, in batches, into ClickHouse.

Offsets are committed after the insert returned, so a crash anywhere means that rows are inserted again, and the
tables are made so that this changes no count. When ClickHouse does not answer the batch is not kept in memory:
the consumer goes back to where it began and reads it again later.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from processors.rows import (
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
from schemas.errors import InvalidMessageError, RetryableError
from schemas.message import Message
from schemas.topics import (
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
from streams.ports import Clock, Sink
from streams.raw import RawMessage, call_of_key, dead_letter_for
from streams.stage import Output
from streams.work import BackOff, PublisherPort, StoppedError

log = logging.getLogger(__name__)

STORE = "store"


class RecordSource(Protocol):
    """Where batches come from: a consumer whose offsets move only by `commit`."""

    def consume(self, most: int, wait_s: float) -> list[RawMessage]: ...

    def commit(self, records: Sequence[RawMessage]) -> None: ...

    def rewind(self, records: Sequence[RawMessage]) -> None: ...


@dataclass
class Batch:
    """What a batch of records comes to: rows to insert, and dead letters for what only `store` reads."""

    rows: TableRows = field(default_factory=lambda: defaultdict(list))
    dead_letters: list[Output] = field(default_factory=list)


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
        records: list[RawMessage] = []
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

    def write(self, records: Sequence[RawMessage], source: RecordSource | None = None) -> None:
        """Insert the rows of these records, then commit. Raises `RetryableError`; then nothing is committed."""
        batch = self.batch_of(records)
        self.sink.write(batch.rows)
        if batch.dead_letters:
            self.publisher.publish(batch.dead_letters)
        (source or self.source).commit(records)

    def batch_of(self, records: Sequence[RawMessage]) -> Batch:
        """The rows of these records. A record that cannot be decoded becomes rows or a dead letter, too."""
        batch = Batch()
        for raw in records:
            topic, rows_of = _ROWS_OF[raw.topic]
            message: Message | None = None
            try:
                message = topic.decode(raw.value)
                new_rows = rows_of(message, raw)
            except InvalidMessageError as error:
                new_rows = self._refuse(raw, message, error, batch)
            for table, table_rows in new_rows.items():
                batch.rows[table].extend(table_rows)
        return batch

    def _refuse(self, raw: RawMessage, message: Message | None, error: InvalidMessageError, batch: Batch) -> TableRows:
        if message is None and raw.topic == CALLS_ENDED.name:
            # `listen` owns this topic and writes the dead letter; here the event only has to be accounted for.
            call = call_of_key(raw.key)
            return rows_for_unreadable(raw.topic, raw.partition, raw.offset, call, raw.written_at)
        if message is None and raw.topic == CALLS_TRANSCRIBED.name:
            return {}  # `judge` owns this topic and writes the dead letter
        letter = dead_letter_for(STORE, raw, message, error, self.clock.now())
        batch.dead_letters.append(Output(CALLS_DEAD_LETTERS.name, letter.dead_letter_id.encode(), letter.encode()))
        log.warning("store: %s becomes a dead letter: %s", raw.place, "; ".join(error.problems))
        return {}


_ROWS_OF: dict[str, tuple[AnyTopic, Callable[[Any, RawMessage], TableRows]]] = {
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
