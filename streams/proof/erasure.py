"""The proof of an erasure: words and keys that only the erased calls have are looked for in all that was written,
before, after, and once more when the same calls were tried again in every way there is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streams.proof.searching import Searched


@dataclass
class ErasureProof:
    """What was found. `took_s` is from the order to when everything was read back and receipted."""

    before: list[Searched] = field(default_factory=list)
    after: list[Searched] = field(default_factory=list)
    tried_again: list[Searched] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def was_blind(self) -> bool:
        """Whether nothing was found even before: then it proves nothing that nothing is found later."""
        return not any(one.where for one in self.before)

    @property
    def left(self) -> list[str]:
        """Where something is, after all."""
        return sorted({part for one in (*self.after, *self.tried_again) for part in one.where})

    @property
    def holds(self) -> bool:
        """It was there, and it is nowhere any more, also after everything was tried again."""
        unread = [part for one in (*self.after, *self.tried_again) for part in one.unreadable]
        return not self.was_blind and not self.left and not unread


def prove_erasure(
    erase: Callable[[], object], search: Callable[[], Sequence[Searched]], try_again: Sequence[Callable[[], object]]
) -> ErasureProof:
    """Search, erase, search, deliver and replay what is told in `try_again`, search. Raises what they raise."""
    proof = ErasureProof(before=list(search()))
    began_s = time.monotonic()
    erase()
    proof.took_s = time.monotonic() - began_s
    proof.after = list(search())
    for attempt in try_again:
        attempt()
    proof.tried_again = list(search())
    return proof
