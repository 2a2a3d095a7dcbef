"""The audit log in the register: entries that stay, their places in the tree, and what is signed of it (R36, R92).

Whoever appends an entry waits for nobody else: the entry is durable, and stands in `audit_waiting`. Its place in the
tree it gets from the sequencer, one at a time. Transactions of PostgreSQL may become visible in another order than that
in which they were begun; an entry that turns up late gets the next free place, and nothing is ever looked for by a
number behind which others might still come.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import Row, delete, func, insert, select, text

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import (
    LEAST_KEPT,
    PRUNED,
    SALT_BYTES,
    Checkpoint,
    LogLine,
    PersonalValue,
    ReadEntry,
    read_entry,
    written,
)
from processors.custody.merkle import TreePeaks, leaf_hash, peaks_of
from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.recording_accessed import ACCESS_ACTIONS, RecordingAccessed
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.retentions import by_tenant
from streams.adapters.register.tables import (
    TENANT_LENGTH,
    audit_checkpoints,
    audit_entries,
    audit_leaves,
    audit_personal,
    audit_positions,
    audit_waiting,
)
from streams.ports import Clock

_AUDIT_LOCK = 4_817_003
"""An arbitrary number, the same in every release: one sequencer at a time."""

SEQUENCED_AT_ONCE = 1_000
"""Entries; on SQLite nobody else writes meanwhile."""

READ_AT_ONCE = 1_000
PRUNED_AT_ONCE = 1_000

_PRUNED = "pruned"
"""The position up to which entries are gone."""

_PRUNING = "pruning"
"""The position up to which an entry says that they are."""


class AuditLogError(OperatorError):
    """The audit log in the register is not what was signed of it, or is asked for what it must not do."""


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint as it was signed: over how many entries, the note, when, and the tree from which the log grows."""

    size: int
    note: str
    peaks: TreePeaks
    signed_at: datetime


@dataclass(frozen=True)
class EntryFilter:
    """Which entries are asked for; what is None asks nothing. `since` belongs to it, `until` does not."""

    tenant_id: str | None = None
    actor: str | None = None
    action: str | None = None
    call_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class ShownEntry:
    """An entry as people read it: with its place in the tree, where it has one, and what of it was not erased."""

    index: int | None
    read: ReadEntry
    personal: dict[str, str]


class RegisterAuditLog:
    """`AuditLog` on the register. Safe to share between threads and processes.

    Every method may raise what `Register.transaction` does; those that append, `InvalidMessageError` for an entry with
    values that none may have.
    """

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    # Appending

    def append(self, entry: AuditEntry) -> None:
        """See `AuditLog.append`."""
        self.append_all((entry,))

    def append_all(self, entries: Iterable[AuditEntry]) -> None:
        """All of them, or none. Durable when this returns."""
        with self._register.transaction("write its audit log") as tx:
            for entry in entries:
                self.append_within(tx, entry)

    def append_within(self, transaction: Transaction, entry: AuditEntry, *, entry_id: str | None = None) -> bool:
        """Takes effect with the transaction, or not at all; whether it is new.

        An entry that is told of elsewhere may bring its id, a UUID: then it is written once, however often it comes.
        What is an access is also published to `recordings.accessed.v1`, under the id of the entry.
        """
        new = written(entry, entry_id or str(uuid4()), lambda: secrets.token_bytes(SALT_BYTES))
        is_new = transaction.insert_new(
            audit_entries,
            entry_id=new.entry_id,
            content=new.content,
            at=entry.at,
            tenant_id=entry.tenant_id[:TENANT_LENGTH],
            actor=entry.actor,
            action=entry.action,
            call_id=entry.call_id,
            appended_at=self._clock.now(),
        )
        if not is_new:
            return False
        for name, each in new.personal.items():
            transaction.insert_new(audit_personal, entry_id=new.entry_id, name=name, salt=each.salt, value=each.value)
        transaction.insert_new(audit_waiting, entry_id=new.entry_id)
        if (access := access_of(entry, new.entry_id)) is not None:
            transaction.outbox(access)
        return True

    def erase_personal(
        self,
        *,
        values: Collection[str] = (),
        calls: Collection[tuple[str, str]] = (),
        names: Collection[str] = (),
        within: Transaction | None = None,
    ) -> int:
        """Personal values, and the salts of their digests, for ever; how many. The tree verifies as before.

        Erased is every value that is one of `values` (a customer's key, an address, whatever it is called) or stands in
        an entry about one of `calls` (tenant and call id); where `names` are given, of these names alone. `within` a
        transaction it takes effect with that.
        """
        if within is not None:
            return _erase_personal(within, values, calls, names)
        with self._register.transaction("erase what its audit log has of a person") as tx:
            return _erase_personal(tx, values, calls, names)

    # The tree

    def sequence(self, most: int = SEQUENCED_AT_ONCE) -> int:
        """Give entries that wait their places, in the order in which they were begun; how many."""
        w, e = audit_waiting.c, audit_entries.c
        with self._register.transaction("give entries of its audit log their places") as tx:
            _take_turn(tx)
            waiting = tx.execute(
                select(w.sequence, w.entry_id, e.content)
                .join_from(audit_waiting, audit_entries, w.entry_id == e.entry_id)
                .order_by(w.sequence)
                .limit(most)
            ).all()
            if not waiting:
                return 0
            size = _size(tx)
            leaves = [
                {"leaf_index": size + number, "entry_id": row.entry_id, "leaf_hash": leaf_hash(bytes(row.content))}
                for number, row in enumerate(waiting)
            ]
            tx.execute(insert(audit_leaves), leaves)
            tx.execute(delete(audit_waiting).where(w.sequence.in_([row.sequence for row in waiting])))
            return len(waiting)

    def sign(
        self, sign: Callable[[TreePeaks, datetime], str], trusted: Callable[[SignedCheckpoint], bool]
    ) -> SignedCheckpoint | None:
        """A checkpoint of all entries that have a place; None where there are none since the last one.

        `sign` gives the note of a tree at a time. `trusted` says whether the last checkpoint is one that we have
        signed, over the tree that stands beside it; where it is not, nothing is signed. Raises `AuditLogError`.
        """
        with self._register.transaction("sign its audit log") as tx:
            _take_turn(tx)
            last = _last_checkpoint(tx)
            if last is not None and not trusted(last):
                raise AuditLogError(
                    "the last checkpoint in the register is not one that this key has signed: somebody changed it, or "
                    "the key; see `callstream audit verify` (docs/audit.md)"
                )
            start = TreePeaks() if last is None else last.peaks
            peaks = peaks_of(list(_leaves(tx, start.size)), start)
            if peaks.size == start.size:
                return None
            now = self._clock.now()
            signed = SignedCheckpoint(peaks.size, sign(peaks, now), peaks, now)
            tx.execute(
                insert(audit_checkpoints).values(
                    size=signed.size, note=signed.note, peaks=peaks.to_bytes(), signed_at=signed.signed_at
                )
            )
            return signed

    def checkpoints(self, behind: int = -1, most: int | None = None) -> Sequence[SignedCheckpoint]:
        """Those over more than so many entries, the smallest first. Raises `AuditLogError`."""
        c = audit_checkpoints.c
        asked = select(audit_checkpoints).where(c.size > behind).order_by(c.size).limit(most)
        with self._register.reading("read the checkpoints of its audit log") as tx:
            return [_as_checkpoint(row) for row in tx.execute(asked).all()]

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """The newest. Raises `AuditLogError`."""
        with self._register.reading("read the checkpoints of its audit log") as tx:
            return _last_checkpoint(tx)

    def size(self) -> int:
        """How many entries have a place."""
        with self._register.reading("measure its audit log") as tx:
            return _size(tx)

    # Reading

    def lines(self, first: int = 0, columns_differ: Callable[[int], None] | None = None) -> Iterator[LogLine]:
        """The log from a place on, in order, read little by little: what is written meanwhile may be in it or not.

        `columns_differ` hears of entries whose columns, by which they are found, do not say what the entry says.
        """
        leaf, e = audit_leaves.c, audit_entries.c
        while True:
            with self._register.reading("read its audit log") as tx:
                rows = tx.execute(
                    select(
                        leaf.leaf_index,
                        leaf.entry_id,
                        leaf.leaf_hash,
                        *(e.content, e.at, e.tenant_id, e.actor, e.action, e.call_id),
                    )
                    .join_from(audit_leaves, audit_entries, leaf.entry_id == e.entry_id, isouter=True)
                    .where(leaf.leaf_index >= first)
                    .order_by(leaf.leaf_index)
                    .limit(READ_AT_ONCE)
                ).all()
                personal = _personal_of(tx, [row.entry_id for row in rows])
            for row in rows:
                content = None if row.content is None else bytes(row.content)
                if content is not None and columns_differ is not None and _differ(row, content):
                    columns_differ(row.leaf_index)
                yield LogLine(row.leaf_index, bytes(row.leaf_hash), content, personal.get(row.entry_id, {}))
            if len(rows) < READ_AT_ONCE:
                return
            first = rows[-1].leaf_index + 1

    def unlisted(self) -> int:
        """Entries that have neither a place in the tree nor wait for one: nobody but a stranger writes such."""
        e = audit_entries.c
        placed = select(audit_leaves.c.entry_id).where(audit_leaves.c.entry_id == e.entry_id).exists()
        waits = select(audit_waiting.c.entry_id).where(audit_waiting.c.entry_id == e.entry_id).exists()
        with self._register.reading("look for entries without a place") as tx:
            return int(tx.execute(select(func.count()).select_from(audit_entries).where(~placed, ~waits)).scalar() or 0)

    def waiting(self) -> int:
        """Entries that wait for their place."""
        with self._register.reading("count entries without a place") as tx:
            return int(tx.execute(select(func.count()).select_from(audit_waiting)).scalar() or 0)

    def find(self, wanted: EntryFilter, most: int) -> Sequence[ShownEntry]:
        """The newest entries that fit, the oldest of them first."""
        e, leaf = audit_entries.c, audit_leaves.c
        asked = select(e.entry_id, e.content, leaf.leaf_index).join_from(
            audit_entries, audit_leaves, e.entry_id == leaf.entry_id, isouter=True
        )
        for name in ("tenant_id", "actor", "action", "call_id"):
            if (value := getattr(wanted, name)) is not None:
                asked = asked.where(e[name] == value)
        if wanted.since is not None:
            asked = asked.where(e.at >= wanted.since)
        if wanted.until is not None:
            asked = asked.where(e.at < wanted.until)
        with self._register.reading("search its audit log") as tx:
            rows = tx.execute(asked.order_by(e.at.desc(), leaf.leaf_index.desc()).limit(most)).all()
            personal = _personal_of(tx, [row.entry_id for row in rows])
        return [
            ShownEntry(
                row.leaf_index,
                read_entry(bytes(row.content)),
                {name: each.value for name, each in personal.get(row.entry_id, {}).items()},
            )
            for row in reversed(rows)
        ]

    # Keeping

    def prune(self, keep: timedelta, beat: Callable[[], None] = lambda: None) -> int:
        """Remove entries, from the first on, that were appended longer ago; how many. Their leaves stay.

        Only those go over which a checkpoint was signed that long ago: it shows to whoever verifies that they were old.
        An entry says so before the first of them goes; killed between the two, the next time does the rest. Raises
        `AuditLogError` for less than a year.
        """
        if keep < LEAST_KEPT:
            raise AuditLogError("the audit log is kept for at least 365 days (R92)")
        now = self._clock.now()
        first = int(self.position(_PRUNED) or 0)
        up_to = min(self._signed_over(now - keep), self._old_up_to(first, now - keep, beat))
        if up_to <= first:
            return 0
        told = AuditEntry(
            at=now,
            actor="callstream",
            role="pipeline_writer",
            action=PRUNED,
            tenant_id="*",
            result="done",
            client="audit",
            details={"entries": up_to, "before": (now - keep).isoformat(timespec="microseconds")},
        )
        with self._register.transaction("write its audit log") as tx:
            if up_to > int(position_within(tx, _PRUNING) or 0):  # else an entry says so, and the rest was refused
                self.append_within(tx, told)
                _set_position(tx, _PRUNING, str(up_to))
        while self.sequence():  # the tree says so before anything goes
            beat()
        leaf, removed = audit_leaves.c, 0
        for start in range(first, up_to, PRUNED_AT_ONCE):
            beat()
            end = min(start + PRUNED_AT_ONCE, up_to)
            part = select(leaf.entry_id).where(leaf.leaf_index >= start, leaf.leaf_index < end)
            with self._register.transaction("prune its audit log") as tx:
                tx.execute(delete(audit_personal).where(audit_personal.c.entry_id.in_(part)))
                removed += tx.execute(delete(audit_entries).where(audit_entries.c.entry_id.in_(part))).rowcount
                _set_position(tx, _PRUNED, str(end))
        return removed

    def _signed_over(self, before: datetime) -> int:
        """How many entries there were before then, by the newest checkpoint of that time; none where what was signed
        does not say so.
        """
        c = audit_checkpoints.c
        asked = select(c.size, c.note).where(c.signed_at <= before).order_by(c.size.desc()).limit(1)
        with self._register.reading("read the checkpoints of its audit log") as tx:
            row = tx.execute(asked).first()
        try:
            told = None if row is None else Checkpoint.parse(str(row.note))
        except InvalidMessageError:
            return 0
        return 0 if told is None or told.at is None or told.at > before else told.size

    def _old_up_to(self, first: int, before: datetime, beat: Callable[[], None]) -> int:
        """The first place from there on whose entry is not older, or not what was entered: everything before it is old.

        What is missing there was not removed by us, and a time that only the column tells is not when it was entered:
        nobody has us remove, and sign for, what they would see gone.
        """
        leaf, e = audit_leaves.c, audit_entries.c
        while True:
            beat()
            with self._register.reading("find what of its audit log is old") as tx:
                rows = tx.execute(
                    select(leaf.leaf_index, leaf.leaf_hash, e.appended_at, e.content)
                    .join_from(audit_leaves, audit_entries, leaf.entry_id == e.entry_id, isouter=True)
                    .where(leaf.leaf_index >= first)
                    .order_by(leaf.leaf_index)
                    .limit(READ_AT_ONCE)
                ).all()
            for row in rows:
                if not _is_old(row, before):
                    return int(row.leaf_index)
            if len(rows) < READ_AT_ONCE:
                return first + len(rows)
            first += len(rows)

    # Positions of the stage

    def position(self, name: str) -> str | None:
        """How far the stage has come with something; None before it began."""
        with self._register.reading("read a position") as tx:
            return position_within(tx, name)

    def set_position(self, name: str, position: str, within: Transaction | None = None) -> None:
        """Note how far it has come; `within` a transaction, with that."""
        if within is not None:
            _set_position(within, name, position)
            return
        with self._register.transaction("note a position") as tx:
            _set_position(tx, name, position)

    def append_known(self, entries: Iterable[tuple[str, AuditEntry]], name: str, position: str) -> int:
        """Entries that are told of elsewhere, by their ids, and how far that was read; how many are new.

        All of it, or nothing: killed anywhere, none is lost and none is there twice.
        """
        told = dict(entries)
        ids = list(told)
        with self._register.transaction("write its audit log") as tx:
            for start in range(0, len(ids), READ_AT_ONCE):
                part = ids[start : start + READ_AT_ONCE]
                known = tx.execute(select(audit_entries.c.entry_id).where(audit_entries.c.entry_id.in_(part))).scalars()
                for entry_id in known.all():
                    del told[entry_id]
            for entry_id, entry in told.items():
                self.append_within(tx, entry, entry_id=entry_id)
            _set_position(tx, name, position)
            return len(told)


def _erase_personal(
    tx: Transaction, values: Collection[str], calls: Collection[tuple[str, str]], names: Collection[str]
) -> int:
    """A statement for each some of them: what a customer of years has is more than one statement takes."""
    p, e = audit_personal.c, audit_entries.c
    told = sorted(set(values))
    meant = [p.value.in_(told[start : start + READ_AT_ONCE]) for start in range(0, len(told), READ_AT_ONCE)]
    for tenant_id, part in by_tenant(calls):
        of_calls = select(e.entry_id).where(e.tenant_id == tenant_id, e.call_id.in_(part))
        meant.append(p.entry_id.in_(of_calls))
    named = [p.name.in_(list(names))] if names else []
    return sum(tx.execute(delete(audit_personal).where(one, *named)).rowcount for one in meant)


def access_of(entry: AuditEntry, entry_id: str) -> RecordingAccessed | None:
    """The entry as a line of the log of access; None where it is no access, or does not fit its form.

    Nothing of `personal` is in it: Kafka and ClickHouse could not give it back.
    """
    if entry.action not in ACCESS_ACTIONS or entry.result == "failed":
        return None
    details = entry.details
    count, filters = details.get("calls"), details.get("filters") or details.get("tables")
    try:
        line = RecordingAccessed.of(
            tenant_id=entry.tenant_id,
            user_id=entry.actor,
            user_role=entry.role or "unknown",
            action=entry.action,
            client=entry.client,
            accessed_at=entry.at,
            call_id=entry.call_id,
            filters=tuple(str(filters).split(",")) if filters else (),
            calls_count=count if isinstance(count, int) else None,
            reason=entry.purpose,
            ticket=entry.ticket,
            refusal=(entry.refusal or "refused") if entry.result == "refused" else None,
        )
    except ValidationError:
        return None
    return line.model_copy(update={"access_id": entry_id})


def position_within(tx: Transaction, name: str) -> str | None:
    """As `RegisterAuditLog.position`, in a transaction."""
    found = tx.execute(select(audit_positions.c.position).where(audit_positions.c.name == name)).scalar()
    return None if found is None else str(found)


def _set_position(tx: Transaction, name: str, position: str) -> None:
    statement = text(
        "INSERT INTO audit_positions (name, position) VALUES (:name, :position) "
        "ON CONFLICT (name) DO UPDATE SET position = excluded.position"
    )
    tx.execute(statement, {"name": name, "position": position})


def _take_turn(tx: Transaction) -> None:
    """One at a time; on SQLite whoever writes is alone anyway."""
    if tx.is_postgresql:
        tx.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _AUDIT_LOCK})


def _size(tx: Transaction) -> int:
    last = tx.execute(select(func.max(audit_leaves.c.leaf_index))).scalar()
    return 0 if last is None else int(last) + 1


def _leaves(tx: Transaction, first: int) -> Iterator[bytes]:
    """Hashes from a place on. Raises `AuditLogError` where a place is missing."""
    leaf = audit_leaves.c
    rows = tx.execute(select(leaf.leaf_index, leaf.leaf_hash).where(leaf.leaf_index >= first).order_by(leaf.leaf_index))
    for number, row in enumerate(rows, first):
        if row.leaf_index != number:
            raise AuditLogError(
                f"place {number} of the audit log is missing: somebody removed it; see `callstream audit verify` "
                "(docs/audit.md)"
            )
        yield bytes(row.leaf_hash)


def _last_checkpoint(tx: Transaction) -> SignedCheckpoint | None:
    row = tx.execute(select(audit_checkpoints).order_by(audit_checkpoints.c.size.desc()).limit(1)).first()
    return None if row is None else _as_checkpoint(row)


def _as_checkpoint(row: Row[Any]) -> SignedCheckpoint:
    size, note, peaks, signed_at = row
    try:
        return SignedCheckpoint(int(size), str(note), TreePeaks.from_bytes(int(size), bytes(peaks)), signed_at)
    except ValueError:
        raise AuditLogError(
            f"the checkpoint of {size} entries in the register was changed; see `callstream audit verify` "
            "(docs/audit.md)"
        ) from None


def _personal_of(tx: Transaction, entry_ids: Sequence[str]) -> dict[str, dict[str, PersonalValue]]:
    """Entry → name → what is of a person, as far as it was not erased."""
    if not entry_ids:
        return {}
    found: dict[str, dict[str, PersonalValue]] = {}
    for row in tx.execute(select(audit_personal).where(audit_personal.c.entry_id.in_(list(entry_ids)))):
        found.setdefault(row.entry_id, {})[row.name] = PersonalValue(bytes(row.salt), row.value)
    return found


def _is_old(row: Row[Any], before: datetime) -> bool:
    """Whether the entry of a place was appended before then, also by what its leaf was made of."""
    if row.content is None or row.appended_at >= before or leaf_hash(bytes(row.content)) != bytes(row.leaf_hash):
        return False
    try:
        return read_entry(bytes(row.content)).entry.at < before
    except InvalidMessageError:
        return False


def _differ(row: Row[Any], content: bytes) -> bool:
    """Whether the columns of an entry say something else than the entry."""
    try:
        read = read_entry(content)
    except InvalidMessageError:
        return False  # which is a problem of its own
    told = (read.entry_id, read.entry.at, read.entry.tenant_id[:TENANT_LENGTH], read.entry.actor)
    kept = (row.entry_id, row.at, row.tenant_id, row.actor)
    return (*told, read.entry.action, read.entry.call_id) != (*kept, row.action, row.call_id)
