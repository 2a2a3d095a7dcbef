"""What the exchange's own list says of a call. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

RECORDING_MAY_COME = timedelta(days=31)
"""So long after a call its recording may still come by itself, where the list says that there is one: as long as
`reconcile` looks for it, and longer than Kafka keeps its event."""


@dataclass(frozen=True)
class ListedCall:
    """A call as the list has it, in all its versions. `customer_keys` are of whoever it was, none where the number was
    withheld. `recorded`: by the list there is a recording of it. `is_alone`: nobody else knows the call, no event of it
    has come, so that nothing is kept of it but the row of the list."""

    customer_keys: frozenset[str] = field(repr=False)
    ended_at: datetime
    recorded: bool = True
    is_alone: bool = False

    @property
    def tells_all(self) -> bool:
        """Whether it is known whose call it is, though nothing was decided of it."""
        return self.is_alone and bool(self.customer_keys)

    def may_be_recorded_until(self) -> datetime | None:
        """Of a call that the list alone knows: until when a recording of it may come, which the law would keep; None
        where there is none."""
        return self.ended_at + RECORDING_MAY_COME if self.recorded else None


Listed = Callable[[Collection[tuple[str, str]]], Mapping[tuple[str, str], ListedCall]]
"""What the exchange's list says of these calls (tenant and call id), those that it has."""
