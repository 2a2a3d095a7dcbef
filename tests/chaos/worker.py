"""`python -m tests.chaos.worker STAGE`: a worker whose clock is set from outside, and in which a bug may be planted.

`CHAOS_CLOCK_FILE` holds by how many seconds its clock is wrong, `CHAOS_BUG` the name of a bug of `planted.py`. Alerts
are tried again within a second, because a schedule lasts no longer. Everything else is the worker as it ships.
"""

import os
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from processors.alerts.delivery_queue import RetrySchedule
from streams.cli.main import main
from streams.ports import SystemClock
from tests.chaos.planted import plant

RETRY_WITHIN_S = 1.0


def wrong_clock(file: Path) -> Callable[[object], datetime]:
    """The machine's time, and what stands in the file on top of it."""

    def now(_clock: object) -> datetime:
        try:
            wrong_by_s = float(file.read_text(encoding="ascii") or 0)
        except (OSError, ValueError):
            wrong_by_s = 0
        return datetime.now(UTC) + timedelta(seconds=wrong_by_s)

    return now


def soon(_schedule: RetrySchedule, _failures: int, rng: random.Random) -> timedelta:
    """In place of `RetrySchedule.pause`."""
    return timedelta(seconds=rng.uniform(0, RETRY_WITHIN_S))


if __name__ == "__main__":
    setattr(SystemClock, "now", wrong_clock(Path(os.environ["CHAOS_CLOCK_FILE"])))  # noqa: B010 - mypy has it final
    setattr(RetrySchedule, "pause", soon)  # noqa: B010
    if bug := os.environ.get("CHAOS_BUG"):
        plant(bug)
    sys.argv = ["callstream", "worker", sys.argv[1]]
    main()
