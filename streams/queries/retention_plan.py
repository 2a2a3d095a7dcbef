"""What the stage `keep` would do until a day, and what holds keep it from: a look that changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from processors.custody.listed_call import Listed
from processors.custody.retention import DueAction, DueReason
from streams.adapters.register.holds import RegisterHolds
from streams.adapters.register.retentions import DueKey, RegisterRetentions

READ_AT_ONCE = 1_000
"""Calls."""


@dataclass(frozen=True)
class PlannedCall:
    """What is to be done with a call, from which day on, and why; `cases` hold it, and then nothing is done."""

    tenant_id: str
    call_id: str
    on: date
    action: DueAction
    reason: DueReason
    retention_class: str
    policy_version: int
    cases: Sequence[str]

    @property
    def is_held(self) -> bool:
        return bool(self.cases)


def planned(
    retentions: RegisterRetentions,
    holds: RegisterHolds,
    until: date,
    tenant_id: str | None = None,
    at_once: int = READ_AT_ONCE,
    listed: Listed = lambda _calls: {},
) -> Iterator[PlannedCall]:
    """What is due until that day, the longest due first. `listed` is what the exchange's list says of calls. Raises
    `RetryableError` and `OperatorError`."""
    behind: DueKey | None = None
    while page := retentions.due(until, behind, at_once, tenant_id):
        calls = [one.call for one in page]
        held = holds.among(calls, listed(calls))
        for one in page:
            due = one.due
            assert due is not None  # noqa: S101 - it is in a list of what is due
            behind = (due.on, one.tenant_id, one.call_id)
            yield PlannedCall(
                one.tenant_id,
                one.call_id,
                due.on,
                due.action,
                due.reason,
                due.retention_class,
                due.policy_version,
                held.get(one.call, ()),
            )
