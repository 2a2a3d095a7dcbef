"""Which wrapping keys there are and in which state, as the register remembers them; the keys are elsewhere.

What may follow what is decided in `processors.custody.rotation`; here is what the rows say, and that no two processes
change them at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import func, select, update

from processors.custody.ports import KeyWrapper, Purpose
from processors.custody.rotation import WrappingKeyState
from schemas.errors import OperatorError
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import day_keys, wrapping_keys

STATES: tuple[WrappingKeyState, ...] = get_args(WrappingKeyState)


class NoWrappingKeyError(OperatorError):
    """The register has no current wrapping key for a purpose."""


@dataclass(frozen=True)
class WrappingKeyRow:
    """A version of a wrapping key. `needed_by` is how many day keys it wraps."""

    purpose: Purpose
    version: str
    state: WrappingKeyState
    prepared_at: datetime
    current_at: datetime | None
    retiring_at: datetime | None
    retired_at: datetime | None
    needed_by: int


def wrapping_key_rows(tx: Transaction, purpose: Purpose, *, lock: bool = False) -> Sequence[WrappingKeyRow]:
    """Every version of a purpose, in the order in which they were prepared.

    With `lock`, in a transaction that writes, nobody changes them, or begins to use one, before it is over.
    """
    w = wrapping_keys.c
    if lock and tx.is_postgresql:
        tx.execute(select(w.version).where(w.purpose == purpose).with_for_update()).all()
    counts = (
        select(day_keys.c.version, func.count().label("needed_by"))
        .where(day_keys.c.purpose == purpose)
        .group_by(day_keys.c.version)
        .subquery()
    )
    rows = tx.execute(
        select(wrapping_keys, func.coalesce(counts.c.needed_by, 0).label("needed_by"))
        .outerjoin(counts, counts.c.version == w.version)
        .where(w.purpose == purpose)
        .order_by(w.prepared_at, w.version)
    ).mappings()
    return [WrappingKeyRow(**_as_row(row)) for row in rows]


def _as_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def add_wrapping_key(tx: Transaction, purpose: Purpose, version: str, state: WrappingKeyState, at: datetime) -> bool:
    """Enter a version that the key wrapper has; whether it is new."""
    times = {"current_at": at} if state == "current" else {}
    return tx.insert_new(wrapping_keys, purpose=purpose, version=version, state=state, prepared_at=at, **times)


def set_state(tx: Transaction, purpose: Purpose, version: str, state: WrappingKeyState, at: datetime) -> None:
    """Change the state. Where another is to be current, the former one must have been changed before."""
    w = wrapping_keys.c
    changed = update(wrapping_keys).where(w.purpose == purpose, w.version == version)
    tx.execute(changed.values(state=state, **({f"{state}_at": at} if state != "prepared" else {})))


def current_version(tx: Transaction, purpose: Purpose) -> str:
    """The version that wraps now. Raises `NoWrappingKeyError`."""
    w = wrapping_keys.c
    found = tx.execute(select(w.version).where(w.purpose == purpose, w.state == "current")).scalar()
    if found is None:
        raise NoWrappingKeyError(
            f"the register knows no wrapping key for {purpose}: run `callstream keys prepare`, then `keys switch`"
        )
    return str(found)


def hold_current(tx: Transaction, purpose: Purpose, version: str) -> bool:
    """Whether this version is current, and stays so until the transaction is over."""
    w = wrapping_keys.c
    asked = select(w.version).where(w.purpose == purpose, w.version == version, w.state == "current")
    return tx.execute(asked.with_for_update(read=True)).scalar() is not None


def is_known(register: Register, purpose: Purpose) -> bool:
    """Whether there has ever been a wrapping key of that purpose. Raises as `Register.transaction`."""
    with register.reading("read the wrapping keys") as tx:
        return bool(wrapping_key_rows(tx, purpose))


def ensure_current(register: Register, wrapper: KeyWrapper, purpose: Purpose, now: datetime) -> str:
    """The current version; where the register has none yet, the last one that the wrapper has, or a new one.

    Two processes at once end with one. Raises as `Register.transaction` and the wrapper do.
    """
    with register.reading("read the wrapping keys") as tx:
        rows = wrapping_key_rows(tx, purpose)
    if (current := _current(rows)) is not None:
        return current
    version = next(reversed(wrapper.versions(purpose)), None) or wrapper.make_version(purpose)
    with register.transaction("keep a wrapping key") as tx:
        current = _current(wrapping_key_rows(tx, purpose, lock=True))
        if current is None:
            # Where another process has just entered its own, the index on the state lets only that one be.
            tx.insert_new(
                wrapping_keys, purpose=purpose, version=version, state="current", prepared_at=now, current_at=now
            )
            current = current_version(tx, purpose)
    return current


def _current(rows: Sequence[WrappingKeyRow]) -> str | None:
    return next((row.version for row in rows if row.state == "current"), None)
