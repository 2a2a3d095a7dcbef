"""What the drivers of the two databases say, in our words: no parameter, no value of a row, no password."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from schemas.errors import OperatorError, RetryableError


class RegisterAccessError(OperatorError):
    """The register refuses us, or cannot be used as it is."""


class RegisterSchemaError(OperatorError):
    """The tables of the register are not those of this release."""


def newer_register() -> RegisterSchemaError:
    """A newer release made tables that this one cannot use, or may not migrate."""
    return RegisterSchemaError(
        "the tables of the register were made by a newer callstream: run that release, or put back a backup from "
        "before it"
    )


class AlreadyRunsError(OperatorError):
    """What may be done by one process at a time is being done by another."""

    exit_code = 1


class RegisterRefusedError(Exception):
    """The register refuses a statement: the code is wrong. `code` is SQLSTATE or SQLite's name of the error."""

    def __init__(self, what: str, code: str) -> None:
        self.code = code
        super().__init__(f"the register refused to {what} ({code})")


_SQLITE_REFUSED = {
    "SQLITE_READONLY": "its file may not be written: change its owner or mode, or that of its folder",
    "SQLITE_PERM": "its file may not be used: change its owner or mode",
    "SQLITE_AUTH": "its file may not be used: change its owner or mode",
    "SQLITE_CORRUPT": "its file is damaged: put the last backup in its place (docs/custody.md)",
    "SQLITE_NOTADB": "its file is no SQLite database: put the last backup in its place (docs/custody.md)",
}
_SQLITE_PASSES = {
    "SQLITE_BUSY": "another process is writing",
    "SQLITE_LOCKED": "another process is writing",
    "SQLITE_PROTOCOL": "another process is writing",
    "SQLITE_FULL": "its disk is full",
    "SQLITE_IOERR": "its disk does not answer",
    "SQLITE_CANTOPEN": "its file cannot be opened",
    "SQLITE_NOMEM": "memory is short",
    "SQLITE_INTERRUPT": "it was interrupted",
}
_POSTGRESQL_REFUSED = {
    "28": "the user or password in register_url is wrong",
    "3D": "the database in register_url does not exist: create it",
    "42501": "the user in register_url lacks a right: it must own the tables (docs/custody.md)",
}
_POSTGRESQL_PASSES = {
    "08": "the connection broke",
    "25006": "the server is read-only",
    "40": "another transaction was in the way",
    "53": "the server is short of something",
    "55": "a row or table is locked by another",
    "57": "the server is going down, or cancelled it",
    "58": "the server's disk does not answer",
    "XX": "the server has failed",
}
_LACKS_TABLE = ("42P01", "42703", "3F000")


@contextmanager
def translated_errors(what: str, address: str) -> Iterator[None]:
    """`what` continues the sentence "the register cannot …"; it is written into logs and holds no value of a row.
    `address`: that of PostgreSQL.

    Raises `RetryableError`, `RegisterAccessError`, `RegisterSchemaError` and `RegisterRefusedError` in place of what
    SQLAlchemy and the drivers raise.
    """
    found: Exception | None = None
    try:
        yield
    except ssl.SSLError as error:  # pg8000 leaves it as it is
        found = _of_tls(what, error)
    except TimeoutError:  # pg8000 leaves that of its socket as it is
        found = _unanswered(what, address)
    except PoolTimeoutError:
        found = RetryableError(f"the register cannot {what}: all its connections are in use")
    except DBAPIError as error:
        found = _translated(what, address, error)
    except SQLAlchemyError as error:
        found = RegisterRefusedError(what, type(error).__name__)
    if found is not None:
        raise found from None


def _unanswered(what: str, address: str) -> RetryableError:
    return RetryableError(
        f"the register cannot {what}: PostgreSQL does not answer at {address}; start it, or set register_url "
        "(CALLSTREAM_REGISTER_URL) to the address of one that runs"
    )


def _translated(what: str, address: str, error: DBAPIError) -> Exception:
    original: Any = error.orig
    name = getattr(original, "sqlite_errorname", None)
    if isinstance(name, str):
        return _of_sqlite(what, name, str(original))
    fields = original.args[0] if original is not None and original.args else None
    if isinstance(fields, dict) and isinstance(fields.get("C"), str):
        return _of_postgresql(what, fields["C"])
    if "refuses SSL" in str(original):
        return RegisterAccessError(
            f"the register cannot {what}: the server speaks no TLS: set ssl = on there, or register_allow_plain here"
        )
    if is_lost(original):
        return _unanswered(what, address)
    return RegisterRefusedError(what, type(original).__name__)


def _of_tls(what: str, error: ssl.SSLError) -> Exception:
    """A connection that breaks in a handshake comes back by itself, a certificate does not become another."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return RegisterAccessError(
            f"the register cannot {what}: the server's certificate is not to be trusted: register_ca_file must name "
            "who signed it, and register_url a host that it bears"
        )
    return RetryableError(f"the register cannot {what}: the connection broke in the TLS handshake")


def is_lost(original: object) -> bool:
    """pg8000 says all that concerns the connection by this class, and sometimes by that of the socket."""
    return isinstance(original, OSError) or type(original).__name__ == "InterfaceError"


def _of_sqlite(what: str, name: str, text: str) -> Exception:
    plain = "_".join(name.split("_")[:2])
    if plain in _SQLITE_PASSES:
        return RetryableError(f"the register cannot {what}: {_SQLITE_PASSES[plain]}")
    if plain in _SQLITE_REFUSED:
        return RegisterAccessError(f"the register cannot {what}: {_SQLITE_REFUSED[plain]}")
    if text.startswith(("no such table", "no such column")):
        return RegisterSchemaError(f"the register cannot {what}: its tables are too old: run `callstream migrate`")
    return RegisterRefusedError(what, name)


def _of_postgresql(what: str, state: str) -> Exception:
    for length in (5, 2):
        if reason := _POSTGRESQL_REFUSED.get(state[:length]):
            return RegisterAccessError(f"the register cannot {what}: {reason}")
        if reason := _POSTGRESQL_PASSES.get(state[:length]):
            return RetryableError(f"the register cannot {what}: {reason}")
    if state in _LACKS_TABLE:
        return RegisterSchemaError(f"the register cannot {what}: its tables are too old: run `callstream migrate`")
    return RegisterRefusedError(what, state)
