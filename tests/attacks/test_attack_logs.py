"""Attacks on the log filter: what a caller said, in an exception, by ways that no list or template is."""

import asyncio
import io
import logging
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streams.runtime.logs import WithoutExceptionText

CALLERS_WORDS = "我的卡号是六二二二零二"


@dataclass
class Failure:
    """As libraries keep what went wrong."""

    why: BaseException


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError(CALLERS_WORDS)


def caught() -> BaseException:
    try:
        try:
            raise KeyError(CALLERS_WORDS)
        except KeyError as cause:
            raise ValueError(CALLERS_WORDS) from cause
    except ValueError as error:
        return error


ERROR = caught()
TRACEBACK = "".join(traceback.format_exception(ERROR))
GROUP = ExceptionGroup(CALLERS_WORDS, [ValueError(CALLERS_WORDS)])
WAYS: dict[str, Callable[[logging.Logger], None]] = {
    "a queue": lambda log: log.error("failed: %s", deque([ERROR])),
    "values of a mapping": lambda log: log.error("failed: %s", {"why": ERROR}.values()),
    "items of a mapping": lambda log: log.error("failed: %s", {"why": ERROR}.items()),
    "the key of the one mapping": lambda log: log.error("failed: %s", {ERROR: 1}),
    "a record": lambda log: log.error("failed: %s", Failure(ERROR)),
    "a group of them": lambda log: log.error("failed: %r", GROUP),
    "a traceback as a text": lambda log: log.error("failed\n%s", TRACEBACK),
    "a traceback in the message": lambda log: log.error("failed\n" + TRACEBACK),
    "put into the message beside itself": lambda log: log.error(f"failed: {ERROR!r}", exc_info=ERROR),
    "the text of its cause": lambda log: log.error(f"failed: {ERROR.__cause__}", exc_info=ERROR),
    "a template that does not fit": lambda log: log.error("failed: %d", ERROR),
    "something that cannot be printed": lambda log: log.error("failed: %s", Unprintable()),
}


def logged(way: Callable[[logging.Logger], None]) -> str:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(WithoutExceptionText("%(levelname)s %(name)s: %(message)s"))
    logger = logging.Logger("a library")
    logger.addHandler(handler)
    way(logger)
    return text.getvalue()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_a_caller_said_stays_out_of_the_log(
    way: Callable[[logging.Logger], None], capsys: pytest.CaptureFixture[str]
) -> None:
    text = logged(way)
    assert text.startswith("ERROR a library: ")
    assert CALLERS_WORDS not in text
    assert CALLERS_WORDS not in capsys.readouterr().err, "logging prints what it could not format"


def test_a_task_that_nobody_waited_for_is_logged_by_asyncio_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError(CALLERS_WORDS)

    async def forget() -> None:
        task = asyncio.get_running_loop().create_task(fail())
        await asyncio.wait([task])
        asyncio.get_running_loop().call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
        )

    asyncio.run(forget())
    (record,) = [each for each in caplog.records if each.name == "asyncio"]
    assert CALLERS_WORDS in record.getMessage()
    assert CALLERS_WORDS not in WithoutExceptionText("%(message)s").format(record)
