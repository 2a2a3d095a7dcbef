"""What lies in an inbox: a recording that telephony has finished, with what it says of the call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.errors import RetryableError

DONE, REFUSED = "done", "refused"
"""Beside what comes in: recordings that are kept after they were sealed, and those that could not be taken in."""

SIDE = ".json"
PROBLEM = ".problem.txt"


class StillWrittenError(RetryableError):
    """The recording changed while it was read: telephony has not finished it, whatever it looked like."""


class UnreadableError(Exception):
    """The recording cannot be read, or is none; the text is a sentence without its name."""


@dataclass(frozen=True)
class Arrival:
    """A recording that is finished. Its name may hold a phone number: it must not be logged."""

    name: str
    """Without folders."""
    size_bytes: int
    written_at: datetime
    """When its last byte was written, or the file beside it: what capturing is measured from."""
    side: bytes | None
    """The JSON file beside it."""
    chunks: Callable[[], Iterator[bytes]]
    """Its bytes. Raises `UnreadableError`, `StillWrittenError` and what the inbox raises."""
    finish: Callable[[], None]
    """It is sealed: what lies in clear is removed, or kept where the settings say so."""
    refuse: Callable[[str], None]
    """It cannot be taken in: it is put aside with the reason in a file beside it."""


class Inbox(Protocol):
    """Where recordings come in. Every method may raise `RetryableError` and `OperatorError`."""

    def arrivals(self) -> Iterator[Arrival]:
        """Those that are finished, each once; what lies aside is not among them. Those that are left come again."""
        ...

    def waiting(self) -> int:
        """How many were seen at the last look that are not finished yet."""
        ...
