"""The register: connections, transactions, and whether its tables are those of this release."""

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Table,
    TextClause,
    bindparam,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.engine import URL, CursorResult, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql import column, table

from schemas.errors import RetryableError
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.topics import CUSTODY_CHANGED, RECORDINGS_ACCESSED
from streams.adapters.register.errors import (
    AlreadyRunsError,
    RegisterAccessError,
    RegisterSchemaError,
    is_lost,
    newer_register,
    translated_errors,
)
from streams.adapters.register.tables import REVISIONS, outbox
from streams.settings import Settings

BUSY_S = 10.0
"""So long a transaction waits for another that writes, before it is tried again later."""

ANSWER_S = 30
"""So long a statement may take on PostgreSQL, and a connection to be made."""

POSTGRESQL_PORT = 5432
"""Where `register_url` names none."""

CONNECTIONS = 10
"""Of one process at the same time, at most."""

_READS = "register_reads"
log = logging.getLogger(__name__)

_VERSION_TABLE = table("alembic_version", column("version_num"))
_FLOOR_TABLE = table("register_floor", column("revision"))
"""One row, which only migrations write: the oldest revision with which a release can still use these tables."""


@dataclass(frozen=True)
class Transaction:
    """Statements that take effect together, or not at all."""

    connection: Connection

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """As SQLAlchemy's. Errors are translated where the transaction was opened."""
        return self.connection.execute(statement, parameters)

    @property
    def is_postgresql(self) -> bool:
        return self.connection.dialect.name == "postgresql"

    def insert_new(self, into: Table, **values: object) -> bool:
        """Insert a row, unless there is one of the same key already; whether it is new."""
        return bool(self.execute(_insert_new(into, tuple(values)), values).rowcount)

    def insert_all_new(self, into: Table, rows: Sequence[Mapping[str, object]]) -> int:
        """As `insert_new`, of several rows with the same columns; how many of them are new."""
        return self.execute(_insert_new(into, tuple(rows[0])), rows).rowcount

    def outbox(self, event: CustodyChanged | RecordingAccessed) -> None:
        """Have the relay publish this once the transaction is over. Does nothing with an event that is there."""
        if isinstance(event, RecordingAccessed):
            record, event_id, at = RECORDINGS_ACCESSED.record(event), event.access_id, event.accessed_at
        else:
            record, event_id, at = CUSTODY_CHANGED.record(event), event.event_id, event.at
        self.insert_new(
            outbox, event_id=event_id, topic=record.topic, key=record.key, message=record.value, written_at=at
        )


@cache
def _insert_new(into: Table, names: tuple[str, ...]) -> TextClause:
    """As text, which both databases understand: SQLAlchemy compiles its own form of it anew each time."""
    columns, places = ", ".join(names), ", ".join(f":{name}" for name in names)
    statement = text(f"INSERT INTO {into.name} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING")  # noqa: S608 - names of ours
    return statement.bindparams(*(bindparam(name, type_=into.c[name].type) for name in names))


class Register:
    """Safe to share between threads; a connection belongs to one at a time."""

    def __init__(
        self, url: str, *, ca_file: Path | None = None, allow_plain: bool = False, busy_s: float = BUSY_S
    ) -> None:
        """`sqlite:///<absolute path>` or `postgresql+pg8000://user:password@host:port/database`.

        PostgreSQL on another machine is spoken to over TLS, with its certificate checked, by `ca_file` where that is
        given; `allow_plain` does without. Nothing is opened yet. Raises `RegisterAccessError` for another URL.
        """
        parsed: URL | None = None
        with suppress(ArgumentError, ValueError):  # what they say may quote the password
            parsed = make_url(url)
        if parsed is None or parsed.drivername not in ("sqlite", "postgresql+pg8000"):
            raise RegisterAccessError("register_url must be sqlite:///… or postgresql+pg8000://user:password@host/db")
        self._url = parsed
        self._ca_file = ca_file
        self._allow_plain = allow_plain
        self._busy_ms = round(busy_s * 1000)
        self._engine: Engine | None = None
        self._writes = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> "Register":
        """The register of these settings."""
        url = settings.register_url.get_secret_value() or sqlite_url(settings.data_dir / "register" / "register.db")
        return cls(url, ca_file=settings.register_ca_file, allow_plain=settings.register_allow_plain)

    @property
    def engine(self) -> Engine:
        """For migrations and tests; everything else uses transactions."""
        if self._engine is None:
            self._engine = self._open_sqlite() if self.file is not None else self._open_postgresql()
        return self._engine

    @property
    def file(self) -> Path | None:
        """The file of a SQLite register."""
        return Path(self._url.database or "") if self._url.drivername == "sqlite" else None

    @property
    def address(self) -> str:
        """Host and port of PostgreSQL; the file of a SQLite register."""
        return str(self.file or f"{self._url.host}:{self._url.port or POSTGRESQL_PORT}")

    @contextmanager
    def transaction(self, what: str = "write") -> Iterator[Transaction]:
        """A transaction that may write; durable once the block ends, undone where it raises.

        `what` continues the sentence "the register cannot …". Raises what `translated_errors` says, and what the block
        raises. On SQLite no other process writes meanwhile: do not wait for anything in the block.
        """
        with self._turn(what), translated_errors(what, self.address), self.engine.begin() as connection:
            yield Transaction(connection)

    @contextmanager
    def statement(self, what: str = "write") -> Iterator[Transaction]:
        """A transaction of one statement, durable once that returns. PostgreSQL is asked once and not three times.

        Raises as `transaction`.
        """
        if self.file is not None:
            with self.transaction(what) as tx:
                yield tx
            return
        with (
            translated_errors(what, self.address),
            self.engine.connect() as connection,
            connection.execution_options(isolation_level="AUTOCOMMIT").begin(),
        ):
            yield Transaction(connection)

    @contextmanager
    def _turn(self, what: str) -> Iterator[None]:
        """SQLite lets one write at a time, and those who wait look again after pauses that grow to 100 ms. So threads
        of one process line up before they ask it. Raises `RetryableError`.
        """
        if self.file is None:
            yield
            return
        if not self._writes.acquire(timeout=self._busy_ms / 1000):
            raise RetryableError(f"the register cannot {what}: others are writing")
        try:
            yield
        finally:
            self._writes.release()

    @contextmanager
    def reading(self, what: str = "read") -> Iterator[Transaction]:
        """To read alone, which keeps nobody from writing. On PostgreSQL a statement sees what was committed before.

        Raises as `transaction`.
        """
        options: dict[str, Any] = {_READS: True}
        if self.file is None:
            # Statements of a transaction see what was committed before each of them anyway; so they need not wait for
            # its beginning and its end to go to the server and back.
            options["isolation_level"] = "AUTOCOMMIT"
        with (
            translated_errors(what, self.address),
            self.engine.connect() as connection,
            connection.execution_options(**options).begin(),
        ):
            yield Transaction(connection)

    @contextmanager
    def snapshot(self, what: str = "be read as a whole") -> Iterator[Transaction]:
        """To read much: every statement sees the same state, however long it takes. Raises as `transaction`."""
        options: dict[str, Any] = {_READS: True}
        if self.file is None:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with (
            translated_errors(what, self.address),
            self.engine.connect() as connection,
            connection.execution_options(**options).begin(),
        ):
            if self.file is None:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield Transaction(connection)

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Nobody else with this register does `what` (a word or two) meanwhile. Raises `AlreadyRunsError`."""
        if (file := self.file) is not None:
            _make_private(file)
            lock = os.open(file.with_name(f"{file.name}.{what}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise AlreadyRunsError(f"another {what} runs with this register: wait until it has ended") from None
                yield
            finally:
                os.close(lock)
            return
        number = int.from_bytes(what.encode()[:7])
        with translated_errors(f"begin a {what}", self.address):
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with translated_errors(f"begin a {what}", self.address):
                taken = connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": number}).scalar()
            if not taken:
                raise AlreadyRunsError(f"another {what} runs with this register: wait until it has ended")
            yield
        finally:
            connection.invalidate()  # closed, not handed back: the server lets go of the lock with it
            connection.close()

    def revision(self) -> str | None:
        """The last migration that was applied; None for a register without tables. Raises as `transaction`."""
        try:
            with self.reading("say which version it has") as tx:
                found = tx.execute(select(_VERSION_TABLE.c.version_num)).scalar()
        except RegisterSchemaError:
            return None
        return None if found is None else str(found)

    def check(self) -> None:
        """Raises `RegisterSchemaError` where its tables are older than this release, or so much newer that it cannot
        use them, and as `transaction`.

        A newer release that only added to them left the floor where it was: `register_floor` has the oldest revision of
        which a release can still use the register.
        """
        revision = self.revision()
        if revision == REVISIONS[-1]:
            return
        if revision is not None and revision not in REVISIONS and (floor := self._floor()) in REVISIONS:
            log.info("the register has revision %s, and can be used from %s on", revision, floor)
            return
        if revision is None or revision in REVISIONS:
            raise RegisterSchemaError("the tables of the register are too old: run `callstream migrate`")
        raise newer_register()

    def _floor(self) -> str | None:
        try:
            with self.reading("say from which version on it can be used") as tx:
                found = tx.execute(select(_FLOOR_TABLE.c.revision)).scalar()
        except RegisterSchemaError:
            return None
        return None if found is None else str(found)

    def truncate_log(self) -> None:
        """On SQLite, empty the file in which what was changed stands beside the database: what was deleted is gone from
        the disk then, unless others are reading. PostgreSQL recycles its own. Raises as `transaction`.
        """
        if self.file is None:
            return
        with self._turn("empty its log"), translated_errors("empty its log", self.address):
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.close()

    def close(self) -> None:
        """Let go of the connections; what is asked next makes new ones."""
        if self._engine is not None:
            self._engine.dispose()

    def _open_sqlite(self) -> Engine:
        file = self.file
        assert file is not None  # noqa: S101 - asked before
        try:
            _make_private(file)
        except OSError as error:
            raise RegisterAccessError(f"the register {file} cannot be made: {error.strerror}") from None
        engine = create_engine(
            self._url,
            hide_parameters=True,
            pool_size=CONNECTIONS,
            max_overflow=0,
            connect_args={"timeout": self._busy_ms / 1000},
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # transactions begin where we say so, and DDL is part of them
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",  # durable when a transaction returns, also where the power fails
                "foreign_keys = ON",
                f"busy_timeout = {self._busy_ms}",
                "secure_delete = ON",  # a key that was destroyed does not stay in a free page
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            reads = connection.get_execution_options().get(_READS)
            # A transaction that read first and then writes would fail at once where another has written between.
            connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

        return engine

    def _open_postgresql(self) -> Engine:
        arguments: dict[str, Any] = {"timeout": ANSWER_S, "application_name": "callstream"}
        if (context := self._tls()) is not None:
            arguments["ssl_context"] = context
        engine = create_engine(
            self._url,
            hide_parameters=True,
            pool_size=CONNECTIONS,
            max_overflow=0,
            connect_args=arguments,
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET lock_timeout = {self._busy_ms}")
            cursor.execute(f"SET statement_timeout = {ANSWER_S * 1000}")
            cursor.execute("SET synchronous_commit = on")
            connection.commit()
            cursor.close()

        @event.listens_for(engine, "handle_error")
        def _lose_all(context: ExceptionContext) -> None:
            # Where one connection does not answer, the others that wait in the pool are as old as it: without this,
            # each of them is waited for in its turn, for half a minute.
            if is_lost(context.original_exception):
                context.is_disconnect = True
                engine.dispose()

        return engine

    @property
    def speaks_tls(self) -> bool:
        """Whether PostgreSQL is spoken to over TLS: not on the same machine, nor where settings do without."""
        host = self._url.host or ""
        near = host in ("", "localhost", "::1") or host.startswith("127.")
        return self._ca_file is not None or not (near or self._allow_plain)

    def _tls(self) -> Any:
        import ssl

        if not self.speaks_tls:
            return None
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise RegisterAccessError(f"register_ca_file cannot be read: {error.strerror or 'no PEM'}") from None


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite register in that file."""
    return URL.create("sqlite", database=str(file.absolute())).render_as_string(hide_password=False)


_making = threading.Lock()


def _make_private(file: Path) -> None:
    """The file and its folder, for their owner alone; SQLite gives its other files the mode of this one.

    A file that is there is not opened: whoever closes a handle of it gives up every lock that SQLite has on it for this
    process. Another process would then take the log away with what is written to it.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _making:
        try:
            os.close(os.open(file.resolve(), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            if not os.access(file, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
