"""Keys of calls by day: on PostgreSQL a partition each, so that a day goes without a trace and in no time."""

from datetime import date, timedelta

from sqlalchemy import delete, func, select, text

from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import call_keys, day_keys

DAYS_AHEAD = 7
"""So many partitions are there before their day begins."""

_PARTITIONS_LOCK = 4_817_002
"""An arbitrary number, the same in every release: partitions are made and dropped by one process at a time."""


def partition_of(day: date) -> str:
    """Its name."""
    return f"call_keys_{day:%Y%m%d}"


def prepare_days(register: Register, today: date, days_ahead: int = DAYS_AHEAD) -> list[date]:
    """Make the partitions from today on that are missing; the days for which one was made. On SQLite there are none.

    A day of which keys already lie in the default partition stays there. Raises as `Register.transaction`.
    """
    made = []
    for day in (today + timedelta(days=ahead) for ahead in range(days_ahead + 1)):
        with register.transaction("prepare a day") as tx:
            if tx.is_postgresql and _prepare(tx, day):
                made.append(day)
    return made


def _prepare(tx: Transaction, day: date) -> bool:
    name = partition_of(day)
    if _is_there(tx, name):
        return False
    tx.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _PARTITIONS_LOCK})
    in_default = text("SELECT EXISTS (SELECT FROM call_keys_default WHERE day = :day)")
    if _is_there(tx, name) or tx.execute(in_default, {"day": day}).scalar():
        return False
    # Attached and not created as a partition: that would lock all other partitions against reading, too.
    tx.execute(text(f"CREATE TABLE {name} (LIKE call_keys INCLUDING ALL)"))
    until = day + timedelta(days=1)
    tx.execute(text(f"ALTER TABLE call_keys ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{until}')"))
    return True


def drop_day(register: Register, day: date) -> None:
    """Destroy the day key and the keys of all calls of a day, for ever, of every tenant.

    Whether anything of the day is still needed, the caller knows. Raises as `Register.transaction`.
    """
    with register.transaction("destroy the keys of a day") as tx:
        if tx.is_postgresql:
            tx.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _PARTITIONS_LOCK})
            tx.execute(text(f"DROP TABLE IF EXISTS {partition_of(day)}"))
        tx.execute(delete(call_keys).where(call_keys.c.day == day))
        tx.execute(delete(day_keys).where(day_keys.c.day == day))


def _is_there(tx: Transaction, name: str) -> bool:
    return tx.execute(select(func.to_regclass(name))).scalar() is not None
