"""What a caller said must not reach a log line, whoever logs it."""

import ast
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.records import ConsumerRecord
from streams.runtime.logs import (
    JsonLines,
    NotAgainAndAgain,
    WithoutExceptionText,
    at_records,
    describe,
    without_exceptions,
)

CALLERS_WORDS = "我的卡号是六二二二零二"


@pytest.fixture(params=["text", "json"])
def log_text(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    plain = WithoutExceptionText("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines("judge") if request.param == "json" else plain)
    logger = logging.getLogger("a library")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, text
    logger.removeHandler(handler)


def fail() -> None:
    raise ValueError(CALLERS_WORDS)


def test_a_logged_traceback_has_the_class_and_the_frames_but_not_the_text(
    log_text: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, text = log_text
    try:
        fail()
    except ValueError:
        logger.exception("something broke")
    assert "ValueError" in text.getvalue()
    assert "in fail" in text.getvalue()
    assert CALLERS_WORDS not in text.getvalue()


@pytest.mark.parametrize("template", ["failed: %s", "failed: %r"])
def test_an_exception_that_a_library_formats_into_its_message_becomes_its_class(
    log_text: tuple[logging.Logger, io.StringIO], template: str
) -> None:
    logger, text = log_text
    logger.error(template, ValueError(CALLERS_WORDS))
    assert "ValueError" in text.getvalue()
    assert CALLERS_WORDS not in text.getvalue()


ERROR = ValueError(CALLERS_WORDS)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        pytest.param(ERROR, (), id="the message itself"),
        pytest.param("failed: %s", ([ERROR],), id="in a list"),
        pytest.param("failed: %s", ((1, ERROR),), id="in a tuple"),
        pytest.param("failed: %s", ({"why": ERROR},), id="the one mapping"),
        pytest.param("failed: %s %s", (1, {"why": ERROR}), id="in a mapping"),
        pytest.param("failed: %s %s", (1, {ERROR: 1}), id="as a key"),
        pytest.param("failed: %(why)s", ({"why": ERROR},), id="by name"),
        pytest.param("failed: %(why)s", ({"why": [ERROR]},), id="in a list by name"),
        pytest.param("failed: %s", ({"why": [{"of": (ERROR,)}]},), id="deep"),
        pytest.param("failed: %s", ({ERROR},), id="in a set"),
        pytest.param([ERROR], (), id="a list as the message"),
    ],
)
def test_an_exception_becomes_its_class_wherever_it_lies(
    log_text: tuple[logging.Logger, io.StringIO], message: object, arguments: tuple[object, ...]
) -> None:
    logger, text = log_text
    logger.error(message, *arguments)
    assert "ValueError" in text.getvalue()
    assert CALLERS_WORDS not in text.getvalue()


def test_a_list_that_holds_itself_is_logged() -> None:
    endless: list[object] = [ERROR]
    endless.append(endless)
    assert CALLERS_WORDS not in str(without_exceptions(endless))


LOGGERS = {"log", "logger", "logging"}
OWN_SENTENCES = {"OperatorError", "RetryableError"}
"""Errors whose text is a sentence of ours that names an outside system or a setting, and quotes nothing."""
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def test_no_message_is_put_together_with_an_exception_before_it_is_logged() -> None:
    """What a formatter cannot undo: `log.error(f"… {error}")`, `"…" + str(error)`, `repr(error)` as an argument."""
    calls = 0
    root = Path(__file__).parents[3]
    for file in (file for folder in ("streams", "processors", "schemas") for file in (root / folder).rglob("*.py")):
        for handler in (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ExceptHandler)):
            caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            if all(one is not None and ast.unparse(one) in OWN_SENTENCES for one in caught):
                continue
            for call in (node for each in handler.body for node in ast.walk(each) if isinstance(node, ast.Call)):
                function = call.func
                if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
                    continue
                if ast.unparse(function.value).split(".")[-1].lstrip("_") not in LOGGERS:
                    continue
                calls += 1
                for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
                    assert not text_of_the_error(argument, handler.name), f"{file}:{call.lineno}"
    assert calls > 5


def text_of_the_error(argument: ast.expr, error: str | None) -> bool:
    """Whether the text of the caught exception is made within: in an f-string, or by `str`, `repr` or `format`."""
    for node in ast.walk(argument):
        inner: list[ast.expr] = []
        if isinstance(node, ast.FormattedValue):
            inner = [node.value]
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("str", "repr", "format"):
            inner = list(node.args)
        if any(isinstance(each, ast.Name) and each.id == error for each in inner):
            return True
    return False


def fail_because_of_a_failure() -> None:
    try:
        fail()
    except ValueError as error:
        raise RuntimeError(CALLERS_WORDS) from error


def test_the_cause_of_an_exception_is_not_quoted_either() -> None:
    with pytest.raises(RuntimeError) as caught:
        fail_because_of_a_failure()
    assert CALLERS_WORDS not in describe(caught.value)
    assert "RuntimeError" in describe(caught.value)


DYING_THREAD = """
import threading
from streams.runtime.logs import configure_logging
def fail():
    raise ValueError({words!r})
configure_logging("INFO")
thread = threading.Thread(target=fail, name="consumer")
thread.start()
thread.join()
"""


@pytest.mark.processes
def test_a_thread_that_dies_is_logged_without_the_text_of_its_exception() -> None:
    code = DYING_THREAD.format(words=CALLERS_WORDS)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "consumer ended by builtins.ValueError" in ended.stderr
    assert "in fail" in ended.stderr
    assert CALLERS_WORDS not in ended.stderr


def record(name: str, message: str, node: int, created_s: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, (node,), None)
    made.created = created_s
    return made


@pytest.mark.parametrize(
    ("second", "is_logged"),
    [
        pytest.param(("aiokafka.conn", "no connection to %s", 2, 1059.9), False, id="the same within a minute"),
        pytest.param(("aiokafka.conn", "no connection to %s", 1, 1060.0), True, id="the same a minute later"),
        pytest.param(("aiokafka.conn", "connected to %s", 1, 1000.1), True, id="something else"),
        pytest.param(("aiokafka.fetch", "no connection to %s", 1, 1000.1), True, id="another part of the library"),
    ],
)
def test_a_library_says_the_same_once_a_minute(second: tuple[str, str, int, float], is_logged: bool) -> None:
    once = NotAgainAndAgain("aiokafka")
    assert once.filter(record("aiokafka.conn", "no connection to %s", 1, 1000.0))
    assert once.filter(record(*second)) == is_logged


def test_our_own_lines_are_all_logged() -> None:
    once = NotAgainAndAgain("aiokafka")
    assert all(once.filter(record("streams.runtime.stage", "%s becomes a dead letter", 1, 1000.0)) for _ in range(3))


@pytest.mark.processes
def test_making_the_register_says_nothing_of_how_alembic_does_it(tmp_path: Path) -> None:
    migrates = (
        "import sys; from streams.runtime.logs import configure_logging; configure_logging('INFO'); "
        "from streams.adapters.register.migrate import migrate_register; "
        "from streams.adapters.register.register import Register, sqlite_url; from pathlib import Path; "
        "migrate_register(Register(sqlite_url(Path(sys.argv[1]))))"
    )
    file = tmp_path / "register.db"
    ended = subprocess.run(
        [sys.executable, "-c", migrates, str(file)], capture_output=True, text=True, timeout=60, check=True
    )
    assert file.exists()
    assert ended.stderr == ""


@pytest.mark.processes
def test_no_parameter_of_a_query_is_logged_with_a_retry() -> None:
    retries = (
        "import logging; from streams.runtime.logs import configure_logging; configure_logging('INFO'); "
        "import clickhouse_connect.driver.httputil; pool = logging.getLogger('urllib3.connectionpool'); "
        "pool.warning('Retrying after connection broken: /?param_call_id=c1'); pool.error('no more')"
    )
    ended = subprocess.run([sys.executable, "-c", retries], capture_output=True, text=True, timeout=60, check=True)
    assert "c1" not in ended.stderr
    assert "no more" in ended.stderr


def a_record(offset: int, key: bytes | None = b"acme/c1") -> ConsumerRecord:
    return ConsumerRecord("calls.ended.v1", 11, offset, key, b"{}")


def lines_of(work: Callable[[logging.Logger], None]) -> list[dict[str, Any]]:
    """What it logs, as lines of JSON."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines("listen"))
    logger = logging.Logger("one of ours")
    logger.addHandler(handler)
    work(logger)
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_line_of_json_says_what_its_thread_is_at_and_nothing_afterwards() -> None:
    def work(logger: logging.Logger) -> None:
        with at_records([a_record(7)]):
            logger.warning("one\nline of %s", "two")
            other = threading.Thread(target=lambda: logger.warning("of another thread"))
            other.start()
            other.join()
        with at_records([a_record(8, None)]):
            logger.warning("no call")
        with at_records([a_record(9), a_record(10)]):
            logger.warning("several")
        logger.warning("later")

    first, other, no_call, several, later = lines_of(work)
    assert first.pop("ts").endswith("+00:00")
    assert first == {
        "level": "WARNING",
        "logger": "one of ours",
        "stage": "listen",
        "topic": "calls.ended.v1",
        "partition": 11,
        "offset": 7,
        "tenant_id": "acme",
        "call_id": "c1",
        "message": "one\nline of two",
    }
    assert (no_call["offset"], "call_id" in no_call) == (8, False)
    assert (several["messages"], "offset" in several) == (2, False)
    for line in (other, later):
        assert line.keys() == {"ts", "level", "logger", "stage", "message"}


def test_an_error_in_a_line_of_json_is_its_class_and_its_frames() -> None:
    def work(logger: logging.Logger) -> None:
        try:
            fail()
        except ValueError:
            logger.exception("something broke")

    (line,) = lines_of(work)
    assert line["error"]["class"] == "builtins.ValueError"
    assert line["error"]["frames"][-1].endswith("in fail")
    assert CALLERS_WORDS not in json.dumps(line, ensure_ascii=False)


@pytest.mark.processes
def test_a_command_logs_json_where_it_is_told_to() -> None:
    code = (
        "import logging; from streams.runtime.logs import configure_logging; "
        "configure_logging('INFO', 'json', 'judge'); logging.getLogger('x').info('there')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) | {"ts": ""} == {
        "ts": "",
        "level": "INFO",
        "logger": "x",
        "stage": "judge",
        "message": "there",
    }
