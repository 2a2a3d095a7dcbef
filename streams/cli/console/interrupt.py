"""SIGTERM for commands that run in the foreground."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sigterm_as_interrupt() -> Iterator[threading.Event]:
    """SIGTERM ends a foreground command as Ctrl-C does: in order, with every child stopped. The event tells of it."""
    stopped = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, former)
