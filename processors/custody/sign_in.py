"""How often somebody may try to sign in, and how long a session lasts. Pure.

A try counts before the password is looked at, so that many at once are not one; who gets it right is forgiven.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FREE_OF_ACCOUNT = 5
"""Wrong passwords for one name; each further one doubles the wait."""

FREE_OF_ADDRESS = 20
"""Wrong passwords from one address, whatever the names."""

LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=24)
"""Without another try."""

IDLE = timedelta(minutes=30)
"""A session that nobody uses ends after that."""

LONGEST_SESSION = timedelta(hours=12)
"""However much it is used."""

SIGN_IN_WITHIN = timedelta(minutes=10)
"""So long an OpenID provider may take to send somebody back."""


@dataclass(frozen=True)
class Tries:
    """Of one name or one address: how many were not right, and until when no other is looked at."""

    count: int = 0
    last_at: datetime | None = None
    waits_until: datetime | None = None


def waits_s(tries: Tries, now: datetime) -> float:
    """For how many seconds no try is looked at; 0 where the next one is."""
    return max(0.0, (tries.waits_until - now).total_seconds()) if tries.waits_until is not None else 0.0


def after_try(tries: Tries, free: int, now: datetime) -> Tries:
    """One more that is not known to be right."""
    if tries.last_at is not None and now - tries.last_at >= FORGOTTEN_AFTER:
        tries = Tries()
    count = tries.count + 1
    wait = timedelta(0) if count < free else min(LONGEST_WAIT, timedelta(seconds=2 ** min(count - free, 20)))
    return Tries(count, now, now + wait if wait else None)


def forgiven(tries: Tries) -> Tries:
    """The last one was right: it does not count. Waiting is over, too."""
    return replace(tries, count=max(0, tries.count - 1), waits_until=None)


@dataclass(frozen=True)
class SessionTimes:
    """When a session was opened and used last."""

    opened_at: datetime
    used_at: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it is still open. A clock that was put back opens none again for longer."""
        return now < self.opened_at + LONGEST_SESSION and now < self.used_at + IDLE
