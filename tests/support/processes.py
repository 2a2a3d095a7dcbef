"""What tests ask of processes and of time: does it run, does it come true."""

import time
from collections.abc import Callable
from pathlib import Path


def runs(pid: int) -> bool:
    """Whether there is such a process; one that ended and was not yet reaped does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition: Callable[[], bool], give_up_after_s: float = 60) -> bool:
    """Wait until it comes true; False when it has not within the time."""
    deadline_s = time.monotonic() + give_up_after_s
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return condition()
