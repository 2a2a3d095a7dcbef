"""The data keys of calls, wrapped by day keys, wrapped by wrapping keys: the port `DataKeys` over the register."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import delete, select, update

from processors.custody.data_keys import call_context, day_context, new_key, unwrap_key, wrap_key
from processors.custody.ports import KeyGoneError, KeyWrapper, Purpose, WrappedKey
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import call_keys, day_keys
from streams.adapters.register.wrapping_keys import current_version, hold_current
from streams.ports import Clock

CACHED_DAY_KEYS = 1_024
"""Unwrapped, in the memory of a process. Some bytes each; a key service is asked again for what is not among them."""


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

    def make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.make`."""
        with self._register.reading("read the key of a call") as tx:
            found = _find(tx, tenant_id, call_id, day, purpose)
        if found is None:
            found = self._make(tenant_id, call_id, day, purpose)
        return self._open(found[0], found[1], tenant_id, call_id)

    def get(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """See `DataKeys.get`."""
        with self._register.reading("read the key of a call") as tx:
            found = _find(tx, tenant_id, call_id, day, purpose)
        if found is None:
            raise KeyGoneError("the call has no such key: it was never made, or it has been destroyed")
        return self._open(found[0], found[1], tenant_id, call_id)

    def destroy(self, tenant_id: str, call_id: str, day: date) -> None:
        """See `DataKeys.destroy`."""
        with self._register.transaction("destroy the keys of a call") as tx:
            destroy_call_keys(tx, tenant_id, call_id, day)

    def _make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> tuple[DayKey, bytes]:
        while True:
            day_key = self._day_key(tenant_id, day, purpose)
            context = call_context(tenant_id, call_id, day, purpose)
            blob = wrap_key(self._open_day(day_key), new_key(), context)
            with self._register.transaction("keep the key of a call") as tx:
                # Another process may have been first, or the day key may have been changed meanwhile: what counts is
                # what is there, and nothing is wrapped by a key that is not.
                if find_day_key(tx, tenant_id, day, purpose) == day_key:
                    tx.insert_new(call_keys, day=day, tenant_id=tenant_id, call_id=call_id, purpose=purpose, blob=blob)
                found = _find(tx, tenant_id, call_id, day, purpose)
            if found is not None:
                return found

    def _day_key(self, tenant_id: str, day: date, purpose: Purpose) -> DayKey:
        """The key of the day, a new one where there is none."""
        while True:
            with self._register.reading("read the key of a day") as tx:
                found = find_day_key(tx, tenant_id, day, purpose)
                version = None if found is not None else current_version(tx, purpose)
            if found is not None:
                return found
            assert version is not None  # noqa: S101 - `current_version` raises
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

    def _open(self, day_key: DayKey, blob: bytes, tenant_id: str, call_id: str) -> bytes:
        context = call_context(tenant_id, call_id, day_key.day, day_key.purpose)
        return unwrap_key(self._open_day(day_key), blob, context)

    def _open_day(self, day_key: DayKey) -> bytes:
        opened = self._opened.get(day_key)
        if opened is None:
            opened = self._wrapper.unwrap(day_key.purpose, day_key.wrapped, day_key.context)
            self._opened.put(day_key, opened)
        return opened


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


def _find(tx: Transaction, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> tuple[DayKey, bytes] | None:
    """The key of a call with that of its day, where there are both."""
    row = tx.execute(
        select(call_keys.c.blob, day_keys.c.version, day_keys.c.blob.label("day_blob"))
        .join(
            day_keys,
            (day_keys.c.tenant_id == call_keys.c.tenant_id)
            & (day_keys.c.day == call_keys.c.day)
            & (day_keys.c.purpose == call_keys.c.purpose),
        )
        .where(*_is_call_key(tenant_id, call_id, day, purpose))
    ).one_or_none()
    if row is None:
        return None
    return DayKey(tenant_id, day, purpose, WrappedKey(row.version, bytes(row.day_blob))), bytes(row.blob)


def _is_day_key(tenant_id: str, day: date, purpose: Purpose) -> tuple[Any, ...]:
    return (day_keys.c.tenant_id == tenant_id, day_keys.c.day == day, day_keys.c.purpose == purpose)


def _is_call_key(tenant_id: str, call_id: str, day: date, purpose: Purpose) -> tuple[Any, ...]:
    return (
        call_keys.c.day == day,
        call_keys.c.tenant_id == tenant_id,
        call_keys.c.call_id == call_id,
        call_keys.c.purpose == purpose,
    )
