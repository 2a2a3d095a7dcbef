"""A clock that is ahead, for what happens only after a while."""

from datetime import datetime, timedelta

from streams.ports import SystemClock


class LaterClock:
    """The machine's clock, so far ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead
