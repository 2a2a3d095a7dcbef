"""Work shared among processes of this machine, whose results come in the order of the work."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from schemas.errors import OperatorError

_SAFE_PATH = "PYTHONSAFEPATH"

W = TypeVar("W")
R = TypeVar("R")
W_contra = TypeVar("W_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

Work = Callable[[W], R]


class LostProcessError(OperatorError):
    """A process ended in the middle of its work, by a crash or for lack of memory."""

    exit_code = 5


class InOrder(Protocol[W_contra, R_co]):
    """Does work that is handed over bit by bit."""

    def __call__(self, works: Iterable[W_contra]) -> Iterator[R_co]:
        """A result for each, in the same order; only a few are taken ahead. Raises what the work raises."""
        ...


@contextmanager
def in_this_process(build: Callable[[], Work[W, R]]) -> Iterator[InOrder[W, R]]:
    """Without any other process."""
    work = build()
    yield lambda works: map(work, works)


@contextmanager
def in_processes(build: Callable[[], Work[W, R]], count: int) -> Iterator[InOrder[W, R]]:
    """In so many processes, each of which calls `build` once for what it then does.

    They are started anew, so that no lock and no connection of this one is in them, and end with this one, however that
    ends. `build`, work and results go between processes by pickle. Raises `LostProcessError` where one has gone.
    """
    # They begin with what stands in the folder of the user, unless Python is told otherwise (3.11 on).
    former = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin, initargs=(build,))

    def in_order(works: Iterable[W]) -> Iterator[R]:
        waiting: deque[Future[R]] = deque()
        try:
            for work in works:
                waiting.append(pool.submit(_do, work))
                if len(waiting) >= 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise LostProcessError(
                "a process that did part of the work has ended: see whether memory ran out"
            ) from None

    try:
        yield in_order
    finally:
        pool.shutdown(cancel_futures=True)
        if former is None:
            os.environ.pop(_SAFE_PATH, None)
        else:
            os.environ[_SAFE_PATH] = former


_work: Callable[[Any], Any] | None = None
"""What this process does."""


def _begin(build: Callable[[], Callable[[Any], Any]]) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the parent ends in order
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _work = build()


def _do(work: Any) -> Any:
    assert _work is not None, "the pool calls _begin first"  # noqa: S101
    return _work(work)


def _end_with_the_parent() -> None:
    """Without it, one whose parent was killed waits for work for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
