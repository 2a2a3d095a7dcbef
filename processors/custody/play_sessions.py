"""Plays: many ranges of one recording that somebody asks for within minutes are one entry in the audit log."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Literal, get_args

ListeningPurpose = Literal[
    "complaint", "sampling", "training", "coaching", "appeal", "dispute", "investigation", "audit", "verification"
]
"""What a recording may be listened to for; a closed list, so that it can be counted and says nothing of a person."""
LISTENING_PURPOSES: tuple[ListeningPurpose, ...] = get_args(ListeningPurpose)

SESSION = timedelta(minutes=10)
"""Counted from the entry: who listens for an hour has one every ten minutes."""

MOST_SESSIONS = 100_000
_STRIPES = 64

SessionKey = tuple[str | None, ...]
"""Who, which call, what for: whatever must be equal for two requests to be one session."""


class PlaySessions:
    """The sessions of one process, in memory: who asks another one is entered again. Safe between threads."""

    def __init__(self) -> None:
        self._began: dict[SessionKey, datetime] = {}
        self._lock = Lock()
        self._stripes = tuple(Lock() for _ in range(_STRIPES))

    def begin(self, key: SessionKey, now: datetime, enter: Callable[[], None]) -> bool:
        """Call `enter` unless a session of that key is open; whether it did.

        Of two at once one enters and the other waits for it. What `enter` raises passes through: then there is no
        session.
        """
        with self._stripes[hash(key) % _STRIPES]:
            with self._lock:
                began = self._began.get(key)
            if began is not None and timedelta() <= now - began < SESSION:
                return False
            enter()
            with self._lock:
                if len(self._began) >= MOST_SESSIONS:
                    self._began = {each: at for each, at in self._began.items() if timedelta() <= now - at < SESSION}
                self._began[key] = now
            return True
