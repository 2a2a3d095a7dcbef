"""What custody asks of the outside: keys that are kept somewhere, and keys that wrap them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

from schemas.errors import InvalidMessageError, OperatorError

Purpose = Literal["audio", "transcript", "received"]
"""What a data key opens. Each purpose has keys of its own, so that who may read transcripts cannot open audio.

`transcript` is masked text; `received` is text from outside before it is masked.
"""

PURPOSES: tuple[Purpose, ...] = ("audio", "transcript", "received")


class KeyGoneError(Exception):
    """There is no such key: it was never made, or it has been destroyed, and what it sealed with it."""


class KeyRefusedError(OperatorError):
    """A wrapped key does not open: it was changed, belongs elsewhere, or the wrapping key is another one."""


class CallPurgedError(OperatorError):
    """The call was destroyed, or is erased and may be used no more: its tombstone outranks whatever comes of it later.

    A stage drops the message; whoever sends the call again is told that it is gone.
    """

    exit_code = 1

    def __init__(self) -> None:
        super().__init__("the call was destroyed, or erased for every use: nothing of it is taken in or made any more")


class CallKeyRefusedError(InvalidMessageError, KeyRefusedError):
    """The key of one call does not open under the key of its day, which does: its row was changed or exchanged.

    That call alone cannot go on; a stage makes a dead letter of it and goes on with the others.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                "the key of the call does not open: its row in the register was changed or exchanged; put it back from "
                "a backup, and send the call again"
            ]
        )


@dataclass(frozen=True)
class WrappedKey:
    """A key that only a key wrapper opens. `version` names the wrapping key; no secret."""

    version: str
    blob: bytes


class KeyWrapper(Protocol):
    """Wrapping keys of each purpose, kept where this process may use them: a file, the environment, a service.

    Which version wraps now is not decided here (`processors.custody.rotation`). `context` is bound to what is wrapped:
    it opens under the same purpose and context alone. Every method may raise `RetryableError` when a service does not
    answer and `OperatorError` when it refuses us.
    """

    def versions(self, purpose: Purpose) -> Sequence[str]:
        """The wrapping keys that there are, the newest last."""
        ...

    def make_version(self, purpose: Purpose) -> str:
        """A new wrapping key, durable when this returns. Raises `OperatorError` where keys are made elsewhere."""
        ...

    def remove_version(self, purpose: Purpose, version: str) -> None:
        """Destroy a wrapping key; whatever it wrapped is lost. Does nothing where there is none.

        Raises `OperatorError` where keys are destroyed elsewhere.
        """
        ...

    def wrap(self, purpose: Purpose, version: str, key: bytes, context: bytes) -> WrappedKey:
        """Raises `KeyGoneError` for a version that there is not."""
        ...

    def unwrap(self, purpose: Purpose, wrapped: WrappedKey, context: bytes) -> bytes:
        """Raises `KeyGoneError` for a version that there is not, and `KeyRefusedError`."""
        ...


class DataKeys(Protocol):
    """The data keys of calls: 32 bytes for each call and purpose, made once, kept wrapped.

    `day` is the UTC day on which the call ended; keys are filed by it. Every method may raise `RetryableError`,
    `OperatorError`, and `CallKeyRefusedError`, which is one.
    """

    def make(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """The key of the call, a new one where there is none. Durable when this returns; the same every time.

        Raises `CallPurgedError` for a call with a tombstone: nothing more is sealed of it.
        """
        ...

    def get(self, tenant_id: str, call_id: str, day: date, purpose: Purpose) -> bytes:
        """Raises `KeyGoneError`."""
        ...

    def destroy(self, tenant_id: str, call_id: str, day: date) -> None:
        """Every key of the call, for ever. Does nothing where there are none."""
        ...


ObjectRole = Literal["recording", "converted", "peaks", "seek_index", "transcript", "received", "result"]
"""What a sealed object is of its call. `received` is a transcript from outside as it came, not masked; `result`,
in the archive, is what was said, masked, and found, as Parquet."""

PURPOSE_OF: Mapping[ObjectRole, Purpose] = {
    "recording": "audio",
    "converted": "audio",
    "peaks": "audio",
    "seek_index": "audio",
    "transcript": "transcript",
    "received": "received",
    "result": "transcript",
}
"""Which key seals it."""


@dataclass(frozen=True)
class SealedIdentity:
    """What a sealed object is, bound to every byte of it: under any other identity it does not open.

    `version` tells objects of the same call and role apart; it stands in the object's key in the store.
    """

    tenant_id: str
    call_id: str
    role: ObjectRole
    version: str


class SealBrokenError(Exception):
    """A sealed object does not open: it was changed, cut, exchanged, or sealed under another key."""


class Holds(Protocol):
    """Legal holds: each belongs to a case, and a call is free only when every case let go of it."""

    def cases(self, tenant_id: str, call_id: str) -> Sequence[str]:
        """The cases that hold the call, sorted; none where it is free. Raises `RetryableError` and `OperatorError`."""
        ...


class Tombstones(Protocol):
    """Calls that were destroyed. A tombstone outranks every later message of its call."""

    def among(self, calls: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of these calls, as (tenant, call id), that were purged, or may be used no more because they were erased
        and wait for the end of a statutory floor. Raises `RetryableError` and `OperatorError`.
        """
        ...
