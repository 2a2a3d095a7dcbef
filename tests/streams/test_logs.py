"""What a caller said must not reach a log line, whoever logs it."""

import io
import logging
from collections.abc import Iterator

import pytest

from streams.logs import WithoutExceptionText, describe

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
