"""The data keys of calls, wrapped by day keys, wrapped by wrapping keys: the port `DataKeys` over the register."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Date, bindparam, delete, select, text, update

from processors.custody.data_keys import call_context, day_context, new_key, unwrap_key, wrap_key
from processors.custody.ports import (
    CallKeyRefusedError,
    KeyGoneError,
    KeyRefusedError,
    KeyWrapper,
    Purpose,
    WrappedKey,
)
from schemas.errors import OperatorError
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import call_keys, day_keys
from streams.adapters.register.tombstone_rows import refuse_purged
from streams.adapters.register.wrapping_keys import current_version, hold_current
from streams.ports import Clock

CACHED_DAY_KEYS = 1_024
"""Unwrapped, in the memory of a process. Some bytes each; a key service is asked again for what is not among them."""


class WrappingKeyMissingError(OperatorError):
    """A process lacks a wrapping key that the register needs."""


@dataclass(frozen=True)
class DayKey:
    """The row of a day key."""

    tenant_id: str
    day: date
    purpose: Purpose
    wrapped: WrappedKey

    @property
    def context(self) -> bytes:
        return day_context(self.tenant_id, self.day, self.purpose)


class RegisterKeys:
    """See `DataKeys`. Safe to share between threads and processes.

    A wrapper is asked once for each day key and process, and again after the day key was wrapped anew. Every method may
    raise what `Register.transaction` and the wrapper raise, and `NoWrappingKeyError`.
    """

    def __init__(self, register: Register, wrapper: KeyWrapper, clock: Clock, cached: int = CACHED_DAY_KEYS) -> None:
        self._register = register
        self._wrapper = wrapper
        self._clock = clock
        self._opened = _Opened(cached)
        self._cached = cached
        self._day_keys: dict[tuple[str, Purpose], DayKey] = {}
        """Of each tenant and purpose the row that made a key last. Never trusted: a key is kept only where it is still
        that."""

    def make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.make`."""
        context = call_context(tenant_id, call_id, day, purpose)
        likely = self._day_keys.get((tenant_id, purpose))
        if likely is not None and likely.day == day and (key := self._make(likely, call_id, context)) is not None:
            return key
        while True:
            day_key, blob = self._find(tenant_id, call_id, day, purpose)
            if day_key is None:
                self._make_day_key(tenant_id, day, purpose)
            elif blob is not None:
                return _unwrap_call_key(self._open(day_key), blob, context)
            elif (made := self._make(day_key, call_id, context)) is not None:
                if len(self._day_keys) >= self._cached:
                    self._day_keys.clear()
                self._day_keys[tenant_id, purpose] = day_key
                return made
            else:
                # There is a key since then, the day key is another one, or the call may have none any more.
                with self._register.reading("look for a tombstone") as tx:
                    refuse_purged(tx, tenant_id, call_id)

    def _make(self, day_key: DayKey, call_id: str, context: bytes) -> bytes | None:
        """A new key. None where there is one, where the day key is no longer this, or where the call has a tombstone:
        what counts is what is there.
        """
        key = new_key()
        blob = wrap_key(self._open(day_key), key, context)
        with self._register.statement("keep the key of a call") as tx:
            return key if _keep(tx, day_key, call_id, blob) else None

    def get(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.get`."""
        day_key, blob = self._find(tenant_id, call_id, day, purpose)
        if day_key is None or blob is None:
            raise KeyGoneError("the call has no such key: it was never made, or it has been destroyed")
        return _unwrap_call_key(self._open(day_key), blob, call_context(tenant_id, call_id, day, purpose))

    def destroy(self, tenant_id: str, call_id: str, day: date) -> None:
        """See `DataKeys.destroy`."""
        with self._register.transaction("destroy the keys of a call") as tx:
            destroy_call_keys(tx, tenant_id, call_id, day)

    def _find(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> tuple[DayKey | None, bytes | None]:
        """The key of the day, and that of the call under it."""
        is_day_key = (day_keys.c.tenant_id == tenant_id, day_keys.c.day == day, day_keys.c.purpose == purpose)
        # Said of both tables by value, so that PostgreSQL looks into the one partition only.
        is_call_key = (
            (call_keys.c.day == day)
            & (call_keys.c.tenant_id == tenant_id)
            & (call_keys.c.call_id == call_id)
            & (call_keys.c.purpose == purpose)
        )
        with self._register.reading("read the key of a call") as tx:
            row = tx.execute(
                select(day_keys.c.version, day_keys.c.blob.label("day_blob"), call_keys.c.blob)
                .outerjoin(call_keys, is_call_key)
                .where(*is_day_key)
            ).one_or_none()
        if row is None:
            return None, None
        day_key = DayKey(tenant_id, day, purpose, WrappedKey(row.version, bytes(row.day_blob)))
        return day_key, None if row.blob is None else bytes(row.blob)

    def _make_day_key(self, tenant_id: str, day: date, purpose: Purpose) -> None:
        """Make one where there is none; when this returns there may still be none, because it was wrapped too late."""
        with self._register.reading("read the wrapping keys") as tx:
            version = current_version(tx, purpose)
        # Outside of a transaction: a key service may take its time.
        wrapped = self._wrapper.wrap(purpose, version, new_key(), day_context(tenant_id, day, purpose))
        with self._register.transaction("keep the key of a day") as tx:
            if hold_current(tx, purpose, wrapped.version):
                tx.insert_new(
                    day_keys,
                    tenant_id=tenant_id,
                    day=day,
                    purpose=purpose,
                    version=wrapped.version,
                    blob=wrapped.blob,
                    made_at=self._clock.now(),
                )

    def _open(self, day_key: DayKey) -> bytes:
        opened = self._opened.get(day_key)
        if opened is None:
            opened = self._unwrap(day_key)
            self._opened.put(day_key, opened)
        return opened

    def _unwrap(self, day_key: DayKey) -> bytes:
        """Raises `WrappingKeyMissingError` and as the wrapper does."""
        with suppress(KeyGoneError):
            return self._wrapper.unwrap(day_key.purpose, day_key.wrapped, day_key.context)
        # The row of the day key is there: its wrapping key is missing here, it has not been destroyed by right. Nobody
        # may take the calls of the day for erased because a file was not copied.
        raise WrappingKeyMissingError(
            f"the wrapping key {day_key.wrapped.version} ({day_key.purpose}) is needed and not here: give it to this "
            "process, from a backup if need be (docs/custody.md)"
        )


def _unwrap_call_key(day_key: bytes, blob: bytes, context: bytes) -> bytes:
    """Raises `CallKeyRefusedError`."""
    try:
        return unwrap_key(day_key, blob, context)
    except KeyRefusedError:
        raise CallKeyRefusedError from None


class _Opened:
    """The day keys that were used last, opened. By their whole row, so that a changed one is not taken from here."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: OrderedDict[DayKey, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, day_key: DayKey) -> bytes | None:
        with self._lock:
            if (key := self._keys.get(day_key)) is not None:
                self._keys.move_to_end(day_key)
            return key

    def put(self, day_key: DayKey, key: bytes) -> None:
        with self._lock:
            self._keys[day_key] = key
            while len(self._keys) > self._most:
                self._keys.popitem(last=False)


def destroy_call_keys(tx: Transaction, tenant_id: str, call_id: str, day: date) -> int:
    """Every key of the call; how many there were."""
    is_call = (call_keys.c.day == day, call_keys.c.tenant_id == tenant_id, call_keys.c.call_id == call_id)
    return tx.execute(delete(call_keys).where(*is_call)).rowcount


def find_day_key(tx: Transaction, tenant_id: str, day: date, purpose: Purpose) -> DayKey | None:
    """The row of a day key."""
    row = tx.execute(
        select(day_keys.c.version, day_keys.c.blob).where(*_is_day_key(tenant_id, day, purpose))
    ).one_or_none()
    return None if row is None else DayKey(tenant_id, day, purpose, WrappedKey(row.version, bytes(row.blob)))


def day_keys_under(tx: Transaction, purpose: Purpose, version: str, most: int) -> Sequence[DayKey]:
    """Day keys that this wrapping key wraps, at most so many: what is to be wrapped anew."""
    rows = tx.execute(
        select(day_keys.c.tenant_id, day_keys.c.day, day_keys.c.blob)
        .where(day_keys.c.purpose == purpose, day_keys.c.version == version)
        .order_by(day_keys.c.day.desc(), day_keys.c.tenant_id)
        .limit(most)
    )
    return [DayKey(row.tenant_id, row.day, purpose, WrappedKey(version, bytes(row.blob))) for row in rows]


def replace_day_key(tx: Transaction, former: DayKey, wrapped: WrappedKey) -> bool:
    """Put the same key, wrapped anew, in the place of the former row; whether that was still there."""
    changed = tx.execute(
        update(day_keys)
        .where(
            *_is_day_key(former.tenant_id, former.day, former.purpose),
            day_keys.c.version == former.wrapped.version,
            day_keys.c.blob == former.wrapped.blob,
        )
        .values(version=wrapped.version, blob=wrapped.blob)
    )
    return changed.rowcount == 1


def _keep(tx: Transaction, day_key: DayKey, call_id: str, blob: bytes) -> bool:
    """Insert the key of a call, unless there is one or a tombstone, and only where its day key is still as it was
    read."""
    values = {
        "day": day_key.day,
        "tenant_id": day_key.tenant_id,
        "call_id": call_id,
        "purpose": day_key.purpose,
        "blob": blob,
        "version": day_key.wrapped.version,
        "day_blob": day_key.wrapped.blob,
    }
    return bool(tx.execute(_INSERT_CALL_KEY, values).rowcount)


_INSERT_CALL_KEY = text(
    "INSERT INTO call_keys (day, tenant_id, call_id, purpose, blob) "
    "SELECT day, tenant_id, :call_id, purpose, :blob FROM day_keys "
    "WHERE tenant_id = :tenant_id AND day = :day AND purpose = :purpose AND version = :version AND blob = :day_blob "
    "AND NOT EXISTS (SELECT 1 FROM tombstones AS t WHERE t.tenant_id = :tenant_id AND t.call_id = :call_id) "
    "ON CONFLICT DO NOTHING"
).bindparams(bindparam("day", type_=Date))
"""As text, which both databases understand: SQLAlchemy compiles its own form of it anew each time."""


def _is_day_key(tenant_id: str, day: date, purpose: Purpose) -> tuple[Any, ...]:
    return (day_keys.c.tenant_id == tenant_id, day_keys.c.day == day, day_keys.c.purpose == purpose)
