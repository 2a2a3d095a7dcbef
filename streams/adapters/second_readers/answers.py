"""What second readers have answered, and what each tenant has spent: one SQLite file in the data folder.

Of an answer it holds places in a transcript, never words.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from processors.second_reading.verification import SecondReading
from schemas.errors import RetryableError

KEPT = timedelta(days=400)
"""As long as transcripts, from which history is judged again."""
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    transcript TEXT NOT NULL, prompt TEXT NOT NULL, model TEXT NOT NULL, reading TEXT NOT NULL, day TEXT NOT NULL,
    PRIMARY KEY (transcript, prompt, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls_read (
    tenant_id TEXT NOT NULL, call_id TEXT NOT NULL, day TEXT NOT NULL, PRIMARY KEY (tenant_id, call_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transcripts_read (
    tenant_id TEXT NOT NULL, call_id TEXT NOT NULL, transcript TEXT NOT NULL, day TEXT NOT NULL,
    PRIMARY KEY (tenant_id, call_id, transcript)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    tenant_id TEXT NOT NULL, day TEXT NOT NULL, calls INTEGER NOT NULL, tokens INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day)
) WITHOUT ROWID;
"""
_WAIT_S = 30.0


class Answers:
    """The file. May be used by several threads and processes of one machine at once.

    Every method raises `RetryableError` where the file cannot be used.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        with _translated(file):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            self._connection = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.executescript(_TABLES)
        self._file = file

    def known(self, transcript: str, prompt: str, model: str) -> SecondReading | None:
        """The reading of a transcript by its digest, with that prompt and model; None where there was none."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT reading FROM answers WHERE transcript = ? AND prompt = ? AND model = ?",
                (transcript, prompt, model),
            ).fetchone()
        if row is not None:
            with suppress(ValidationError):  # of another release: it is asked again
                return SecondReading.model_validate_json(row[0])
        return None

    def was_read(self, tenant_id: str, call_id: str) -> bool:
        """Whether the call was ever read: its findings must not be lost when other rules select other calls."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT 1 FROM calls_read WHERE tenant_id = ? AND call_id = ?", (tenant_id, call_id)
            )
            return found.fetchone() is not None

    def keep(self, transcript: str, prompt: str, model: str, reading: SecondReading, now: datetime) -> None:
        """Durable when it returns."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (transcript, prompt, model, reading.model_dump_json(), now.date().isoformat()),
            )

    def keep_call(self, tenant_id: str, call_id: str, now: datetime, transcript: str | None = None) -> None:
        """The call was read, by the transcript with that digest."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO calls_read VALUES (?, ?, ?)", (tenant_id, call_id, now.date().isoformat())
            )
            if transcript is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO transcripts_read VALUES (?, ?, ?, ?)",
                    (tenant_id, call_id, transcript, now.date().isoformat()),
                )

    def calls(self) -> Iterator[list[tuple[str, str]]]:
        """Every call that was read, as (tenant, call id), some at a time."""
        after = ("", "")
        while True:
            with self._transaction() as connection:
                found = connection.execute(
                    "SELECT tenant_id, call_id FROM calls_read WHERE (tenant_id, call_id) > (?, ?) "
                    "ORDER BY tenant_id, call_id LIMIT 1000",
                    after,
                ).fetchall()
            if not found:
                return
            yield [(str(tenant_id), str(call_id)) for tenant_id, call_id in found]
            after = found[-1]

    def count(self, tenant_id: str, calls: Collection[str]) -> int:
        """How many of these calls were read."""
        return sum(self.was_read(tenant_id, call_id) for call_id in calls)

    def forget(self, tenant_id: str, calls: Collection[str]) -> int:
        """What was answered about these calls; how many of them there were. SQLite overwrites it (`secure_delete`).

        Answers of releases before 0.5 do not say of which call they are: they go with their age.
        """
        forgotten = 0
        with self._transaction() as connection:
            for call_id in calls:
                call = (tenant_id, call_id)
                connection.execute(
                    "DELETE FROM answers WHERE transcript IN "
                    "(SELECT transcript FROM transcripts_read WHERE tenant_id = ? AND call_id = ?)",
                    call,
                )
                connection.execute("DELETE FROM transcripts_read WHERE tenant_id = ? AND call_id = ?", call)
                found = connection.execute("DELETE FROM calls_read WHERE tenant_id = ? AND call_id = ?", call)
                forgotten += found.rowcount
        return forgotten

    def reserve(self, tenant_id: str, day: date, tokens: int, most_calls: int, most_tokens: int) -> bool:
        """One call with so many tokens is spent; False, and nothing is, where the budget of the day does not allow it.

        0 is no bound.
        """
        place = (tenant_id, day.isoformat())
        with self._transaction() as connection:
            found = connection.execute("SELECT calls, tokens FROM spent WHERE tenant_id = ? AND day = ?", place)
            calls_spent, tokens_spent = found.fetchone() or (0, 0)
            if most_calls and calls_spent + 1 > most_calls:
                return False
            if most_tokens and tokens_spent + tokens > most_tokens:
                return False
            connection.execute(
                "INSERT INTO spent VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET calls = calls + 1,"
                " tokens = tokens + excluded.tokens",
                (*place, tokens),
            )
            return True

    def give_back(self, tenant_id: str, day: date, tokens: int) -> None:
        """Nobody was reached: a call that was reserved is not spent."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE spent SET calls = max(calls - 1, 0), tokens = max(tokens - ?, 0)"
                " WHERE tenant_id = ? AND day = ?",
                (tokens, tenant_id, day.isoformat()),
            )

    def correct(self, tenant_id: str, day: date, tokens: int) -> None:
        """So many tokens more, or fewer, were spent than were reserved."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE spent SET tokens = max(tokens + ?, 0) WHERE tenant_id = ? AND day = ?",
                (tokens, tenant_id, day.isoformat()),
            )

    def forget_old(self, now: datetime) -> None:
        """What is older than `KEPT` goes."""
        oldest = ((now - KEPT).date().isoformat(),)
        with self._transaction() as connection:
            connection.execute("DELETE FROM answers WHERE day < ?", oldest)
            connection.execute("DELETE FROM calls_read WHERE day < ?", oldest)
            connection.execute("DELETE FROM transcripts_read WHERE day < ?", oldest)
            connection.execute("DELETE FROM spent WHERE day < ?", oldest)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._file):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise RetryableError(f"{file} cannot be used: {type(error).__name__}") from None
