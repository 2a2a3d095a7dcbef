"""What systemd is told of a worker, where it has started it and asks (`Type=notify`, `WatchdogSec=`)."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

TELL_EVERY_S = 5.0


class ServiceManager:
    """Tells it that the process runs, for as long as `keep_up` is called. Does nothing where nobody asks."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._monotonic_s = monotonic_s
        self._next_s = 0.0

    def started(self) -> None:
        """The process is up; systems that it waits for are no reason to end it."""
        self._tell("READY=1")

    def keep_up(self) -> None:
        """It runs. Call this often."""
        now_s = self._monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + TELL_EVERY_S
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """It was asked to end, and does."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as telling:
            telling.sendto(state.encode(), self._address)
