"""Logging that cannot leak: an exception is logged as its class and its frames, never with its text.

The text of an exception may quote what it failed on, and that may be a caller's words. This holds for the
libraries below us as well, because it is done where records are formatted.
"""

import asyncio
import copy
import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

from schemas.messages.records import ConsumerRecord, call_of_key

LogFormat = Literal["text", "json"]

_AT: ContextVar[Mapping[str, str | int] | None] = ContextVar("at", default=None)
"""What this thread is at, for lines of JSON."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_QUIET = ("aiokafka", "faust", "mode", "faster_whisper", "clickhouse_connect", "numba", "asyncio", "alembic")
_SAME_AGAIN_AFTER_S = 60
_DEPTH = 8
"""Of lists within lists: deeper ones are named by their class."""
_COLLECTIONS = (Mapping, KeysView, ValuesView, ItemsView, list, tuple, deque, set, frozenset)
_TRACEBACK = "Traceback (most recent call last)"
_TELLING = 4
"""The text of an exception that is shorter is a number or a letter, which stands in every message."""


class NotAgainAndAgain(logging.Filter):
    """Lets a library say the same thing once a minute: without a broker, aiokafka writes 60 lines a second."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library = library
        self._said_at_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it: by the template of the message, whatever its arguments."""
        if record.name.partition(".")[0] != self._library:
            return True
        what = (record.name, str(record.msg))
        said_at_s = self._said_at_s.get(what)
        if said_at_s is not None and record.created - said_at_s < _SAME_AGAIN_AFTER_S:
            return False
        self._said_at_s[what] = record.created
        return True


class WithoutExceptionText(logging.Formatter):
    """Formats records with UTC times; exceptions as class and frames."""

    def formatException(self, ei: object) -> str:  # noqa: N802 - the name is logging's
        return describe(ei[1]) if isinstance(ei, tuple) and isinstance(ei[1], BaseException) else ""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(_safe(record))


class JsonLines(logging.Formatter):
    """A line of JSON for each record: `ts` (UTC), `level`, `logger`, `stage`, what the thread is at (`topic`,
    `partition`, `offset`, `tenant_id`, `call_id`, or `messages` of a batch), `message`, and of an exception its class
    and frames as `error`. Exceptions as in `WithoutExceptionText`.
    """

    def __init__(self, stage: str = "") -> None:
        super().__init__()
        self._stage = stage

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        safe = _safe(record)
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **({"stage": self._stage} if self._stage else {}),
            **(_AT.get() or {}),
            "message": safe.getMessage(),
        }
        if error is not None:
            kind, *frames = describe(error).splitlines()
            line["error"] = {"class": kind, "frames": [frame.strip() for frame in frames]}
        return json.dumps(line, ensure_ascii=False)


@contextmanager
def at_records(records: Sequence[ConsumerRecord]) -> Iterator[None]:
    """Lines of JSON that this thread logs inside say which record, and which call, it is at."""
    if len(records) == 1:
        (record,) = records
        call = call_of_key(record.key)
        at: dict[str, str | int] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        if call:
            at |= {"tenant_id": call[0], "call_id": call[1]}
    else:
        at = {"messages": len(records)}
    token = _AT.set(at)
    try:
        yield
    finally:
        _AT.reset(token)


def _safe(record: logging.LogRecord) -> logging.LogRecord:
    """A copy that says the same without texts of exceptions; other handlers get what was logged."""
    # Exceptions are put into the message itself: "… failed: %r". They too become their class, wherever they lie.
    record = copy.copy(record)
    record.msg = without_exceptions(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(without_exceptions(value) for value in record.args)
    elif record.args:
        record.args = {without_exceptions(k): without_exceptions(v) for k, v in record.args.items()}  # type: ignore[misc]
    try:
        message = record.getMessage()
    except Exception:  # logging itself would print what was to be logged
        message = f"a message that cannot be put together, of {record.pathname}:{record.lineno}"
    record.msg, record.args = _without_text(message, record.exc_info), None
    record.exc_text = None
    return record


def _without_text(message: str, exc_info: object) -> str:
    """A message that was put together before, as asyncio does, without tracebacks and the texts of these exceptions."""
    message, traceback_of, _ = message.partition(_TRACEBACK)
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    for _ in range(_DEPTH):
        if not isinstance(error, BaseException):
            break
        for text in (repr(error), str(error)):
            if len(text) >= _TELLING:
                message = message.replace(text, type(error).__name__)
        error = error.__cause__ or error.__context__
    return message + ("(a traceback)" if traceback_of else "")


def without_exceptions(value: object, depth: int = 0) -> object:
    """The value with the class in place of each exception, also within lists, tuples, sets and mappings.

    Of a task, and of a record with a field that is an exception, only the class is left.
    """
    if isinstance(value, BaseException | asyncio.Future):
        return type(value).__name__
    if is_dataclass(value) and any(isinstance(getattr(value, f.name, None), BaseException) for f in fields(value)):
        return type(value).__name__
    if isinstance(value, _COLLECTIONS) and depth >= _DEPTH:
        return type(value).__name__
    match value:
        case Mapping():
            return {without_exceptions(k, depth + 1): without_exceptions(v, depth + 1) for k, v in value.items()}
        case list() | deque() | KeysView() | ValuesView() | ItemsView():
            return [without_exceptions(each, depth + 1) for each in value]
        case tuple():
            return tuple(without_exceptions(each, depth + 1) for each in value)
        case set() | frozenset():
            return {without_exceptions(each, depth + 1) for each in value}
    return value


def describe(error: BaseException) -> str:
    """The class of an exception with the frames that it passed through, innermost last; never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return "\n".join([f"{type(error).__module__}.{type(error).__qualname__}", *lines])


def configure_logging(level: str, form: LogFormat = "text", stage: str = "") -> None:
    """Log to stderr; libraries below us speak up only when something is wrong. `stage` is named in lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonLines(stage))
    else:
        formatter = WithoutExceptionText(_FORMAT)
        formatter.default_msec_format = "%s.%03dZ"
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    handler.addFilter(NotAgainAndAgain("aiokafka"))
    handler.addFilter(_is_no_retry)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_a_thread


def _is_no_retry(record: logging.LogRecord) -> bool:
    """Retries of urllib3 are ours to report, once they have failed; its lines hold the parameters of queries.

    By its logger alone they would come back: the driver of ClickHouse sets that to WARNING when it is loaded.
    """
    return record.levelno >= logging.ERROR or not record.name.startswith("urllib3")


def _log_uncaught(kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("callstream").critical("stopped by %s", describe(error.with_traceback(tb)))


def _log_uncaught_in_a_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        thread = args.thread.name if args.thread else "a thread"
        logging.getLogger("callstream").critical("%s ended by %s", thread, describe(args.exc_value))
