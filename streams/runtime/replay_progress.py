"""How far a replay has got, so that one that was killed goes on where it was."""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas.errors import OperatorError

_TABLES = """
CREATE TABLE IF NOT EXISTS replay (plan TEXT NOT NULL, last_key TEXT NOT NULL, counts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS changes (tenant_id TEXT, call_id TEXT, before TEXT, after TEXT);
CREATE TABLE IF NOT EXISTS unreadable (key TEXT, reason TEXT);
CREATE TABLE IF NOT EXISTS unjudged (tenant_id TEXT, call_id TEXT, reason TEXT);
"""


class ReplayRunsError(OperatorError):
    """Another replay runs with this data folder."""

    exit_code = 2


@dataclass(frozen=True)
class Reached:
    """Where an unfinished replay stands: what it was asked for, and what came of it so far."""

    plan: Mapping[str, Any]
    last_key: str
    """Of the last object that is done; "" where none is."""
    counts: Mapping[str, Any]
    changes: tuple[tuple[str, str, str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    unjudged: tuple[tuple[str, str, str], ...]


class ReplayProgress:
    """In a folder of this machine, of one replay at a time. It holds ids of calls, and no word of them."""

    def __init__(self, folder: Path) -> None:
        """Raises `ReplayRunsError` while another process has it open, and `OperatorError` where the disk refuses."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ReplayRunsError(f"another replay runs with {folder}: wait until it has ended") from None
        except OSError as error:
            raise OperatorError(f"{folder}: the progress of the replay cannot be kept ({error.strerror})") from None
        self._database = sqlite3.connect(folder / "progress.sqlite")
        self._database.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        os.close(self._lock)

    def reached(self) -> Reached | None:
        """The replay that was begun and not finished."""
        row = self._database.execute("SELECT plan, last_key, counts FROM replay").fetchone()
        if row is None:
            return None
        plan, last_key, counts = row
        changes = tuple(self._database.execute("SELECT tenant_id, call_id, before, after FROM changes"))
        unreadable = tuple(self._database.execute("SELECT key, reason FROM unreadable"))
        unjudged = tuple(self._database.execute("SELECT tenant_id, call_id, reason FROM unjudged"))
        return Reached(json.loads(plan), last_key, json.loads(counts), changes, unreadable, unjudged)

    def begin(self, plan: Mapping[str, Any]) -> None:
        """A new replay, in place of one that was not finished."""
        with self._database:
            self._forget()
            self._database.execute("INSERT INTO replay VALUES (?, '', '{}')", (json.dumps(plan),))

    def advance(
        self,
        last_key: str,
        counts: Mapping[str, Any],
        changes: Iterable[tuple[str, str, str, str]],
        unreadable: Iterable[tuple[str, str]],
        unjudged: Iterable[tuple[str, str, str]],
    ) -> None:
        """Everything up to this object is done. `counts` are those of the whole replay, the rest is what is new."""
        with self._database:
            self._database.execute("UPDATE replay SET last_key = ?, counts = ?", (last_key, json.dumps(counts)))
            self._database.executemany("INSERT INTO changes VALUES (?, ?, ?, ?)", changes)
            self._database.executemany("INSERT INTO unreadable VALUES (?, ?)", unreadable)
            self._database.executemany("INSERT INTO unjudged VALUES (?, ?, ?)", unjudged)

    def finish(self) -> None:
        """Nothing is left to go on with."""
        with self._database:
            self._forget()

    def _forget(self) -> None:
        for table in ("replay", "changes", "unreadable", "unjudged"):
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
