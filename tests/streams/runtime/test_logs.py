"""What a caller said must not reach a log line, whoever logs it."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streams.runtime.logs import NotAgainAndAgain, WithoutExceptionText, describe

CALLERS_WORDS = "我的卡号是六二二二零二"


@pytest.fixture
def log_text() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(WithoutExceptionText("%(levelname)s %(name)s: %(message)s"))
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
