"""Registers for tests: each test of the fixture `register` runs on SQLite and on PostgreSQL."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from processors.custody.data_keys import new_key, unwrap_key, wrap_key
from processors.custody.ports import PURPOSES, KeyGoneError, Purpose, WrappedKey
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tables import audit_entries

SQLITE = pytest.param("sqlite", id="sqlite")
POSTGRESQL = pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql)
BOTH = (SQLITE, POSTGRESQL)
BOTH_AT_NIGHT = (
    SQLITE,
    pytest.param("postgresql", id="postgresql", marks=[pytest.mark.postgresql, pytest.mark.long]),
)
"""For tests that are dear: what they ask of the register, other tests ask of both for every change."""


def new_register_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Of a register without tables that nobody else has; the test is skipped where there is no PostgreSQL."""
    if kind == "sqlite":
        return sqlite_url(folder / "register" / "register.db")
    url: str = request.getfixturevalue("postgresql").new_database()
    return url


@contextmanager
def migrated(url: str) -> Iterator[Register]:
    """A register with its tables."""
    register = Register(url)
    try:
        migrate_register(register)
        yield register
    finally:
        register.close()


def entered(register: Register) -> list[tuple[str, str]]:
    """Action and result of what stands in its audit log."""
    with register.reading() as tx:
        rows = tx.execute(select(audit_entries.c.content).order_by(audit_entries.c.at)).scalars().all()
    entries = [json.loads(row) for row in rows]
    return [(entry["action"], entry["result"]) for entry in entries]


class MemoryWrapper:
    """`KeyWrapper` with keys in memory."""

    def __init__(self) -> None:
        self.keys: dict[tuple[Purpose, str], bytes] = {}
        self.unwrapped = 0
        self._made = dict.fromkeys(PURPOSES, 0)

    def versions(self, purpose: Purpose) -> list[str]:
        return [version for of, version in self.keys if of == purpose]

    def make_version(self, purpose: Purpose) -> str:
        self._made[purpose] += 1
        version = f"v{self._made[purpose]}"
        self.keys[purpose, version] = new_key()
        return version

    def remove_version(self, purpose: Purpose, version: str) -> None:
        self.keys.pop((purpose, version), None)

    def wrap(self, purpose: Purpose, version: str, key: bytes, context: bytes) -> WrappedKey:
        return WrappedKey(version, wrap_key(self._key(purpose, version), key, context))

    def unwrap(self, purpose: Purpose, wrapped: WrappedKey, context: bytes) -> bytes:
        self.unwrapped += 1
        return unwrap_key(self._key(purpose, wrapped.version), wrapped.blob, context)

    def _key(self, purpose: Purpose, version: str) -> bytes:
        try:
            return self.keys[purpose, version]
        except KeyError:
            raise KeyGoneError("there is no such wrapping key") from None
