"""The outbox as the relay reads it: what waits, what was sent, what may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from schemas.messages.records import ProducerRecord
from streams.adapters.register.register import Register
from streams.adapters.register.tables import outbox

PRUNED_AT_ONCE = 10_000
"""Rows; on SQLite nobody else writes meanwhile."""


@dataclass(frozen=True)
class WaitingEvent:
    """A row that is not in Kafka yet, as far as the register knows."""

    sequence: int
    record: ProducerRecord


@dataclass(frozen=True)
class Backlog:
    """The events that wait; `oldest_since` is None where none does."""

    events: int
    oldest_since: datetime | None


class Outbox:
    """See the module. Every method raises as `Register.transaction`."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def waiting(self, most: int) -> Sequence[WaitingEvent]:
        """The first events that wait, in the order in which they were written.

        Events of two transactions that overlap in time may become visible in either order; those of changes of one
        thing do not overlap.
        """
        o = outbox.c
        with self._register.reading("read its outbox") as tx:
            rows = tx.execute(
                select(o.sequence, o.topic, o.key, o.message)
                .where(o.sent_at.is_(None))
                .order_by(o.sequence)
                .limit(most)
            ).all()
        return [
            WaitingEvent(row.sequence, ProducerRecord(row.topic, bytes(row.key), bytes(row.message))) for row in rows
        ]

    def mark_sent(self, events: Sequence[WaitingEvent], at: datetime) -> None:
        """These are in Kafka. Does nothing to those that were marked before."""
        o = outbox.c
        sequences = [event.sequence for event in events]
        with self._register.transaction("mark its outbox") as tx:
            tx.execute(update(outbox).where(o.sequence.in_(sequences), o.sent_at.is_(None)).values(sent_at=at))

    def prune(self, sent_before: datetime) -> int:
        """Remove a part of what was sent before then; how many rows that were, 0 when none is left."""
        o = outbox.c
        old = select(o.sequence).where(o.sent_at < sent_before).order_by(o.sent_at).limit(PRUNED_AT_ONCE)
        with self._register.transaction("prune its outbox") as tx:
            return tx.execute(delete(outbox).where(o.sequence.in_(old))).rowcount

    def count_waiting(self) -> int:
        """How many events wait."""
        return self.backlog().events

    def backlog(self) -> Backlog:
        """How many events wait, and since when the first of them does."""
        o = outbox.c
        with self._register.reading("count its outbox") as tx:
            found = tx.execute(select(func.count(), func.min(o.written_at)).where(o.sent_at.is_(None))).one()
        return Backlog(int(found[0]), found[1])
