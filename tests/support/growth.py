"""Whether work takes time in proportion to its size, told by processor time of the same run and never by a limit."""

import time
from collections.abc import Callable

SMALL, LARGE = 200, 800
MOST_TIMES_AS_LONG = 16
"""Four times as much: in proportion it takes four times as long, with the cube of the size 64 times."""
TRIES = 3
"""The shortest of them counts: the garbage collector, which may come in the middle of one, does not come in all."""
LEAST_S = 0.02


def takes_time_in_proportion(work: Callable[[int], object]) -> bool:
    """Whether `work` of 800 pieces takes less than sixteen times as long as of 200."""
    work(10)
    return _shortest_s(work, LARGE) < MOST_TIMES_AS_LONG * max(_shortest_s(work, SMALL), LEAST_S)


def _shortest_s(work: Callable[[int], object], count: int) -> float:
    return min(_processor_s(work, count) for _ in range(TRIES))


def _processor_s(work: Callable[[int], object], count: int) -> float:
    begin_s = time.process_time()
    work(count)
    return time.process_time() - begin_s
