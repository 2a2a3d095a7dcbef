"""Calls that were judged before the register decided how long calls are kept: adopted from what ClickHouse has of them.

It is decided by the same function as when `keep` hears of a call. A call whose event says `legal_hold` gets the case
of its hold first, so that its row, by which it may become due, is never there without it. What is decided is only added
to what is there, so that it may be killed anywhere and run again, also while `keep` runs.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from processors.custody.holds import HoldRefusedError
from processors.custody.retention import UNDECIDED, after, due
from processors.judging.retention import JudgedCall, fitting_classes
from schemas.config.retention import RetentionPolicy, TenantPolicies
from streams.adapters.clickhouse.judged_calls import CallPlace, StoredJudgement
from streams.adapters.register.errors import RegisterRefusedError
from streams.adapters.register.holds import Gone, RegisterCases
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions
from streams.ports import Clock
from streams.stages.deciding import decision_of_judged, hold_for_telephony

AT_ONCE = 500
"""Calls of one page; on SQLite nobody else writes while they are decided."""

FIRST = CallPlace(datetime(1970, 1, 1, tzinfo=UTC), "")
"""Before any call."""


class JudgedCalls(Protocol):
    """`streams.adapters.clickhouse.judged_calls.ClickHouseJudgedCalls`."""

    def tenants(self) -> Sequence[str]: ...

    def page(self, tenant_id: str, behind: CallPlace, until: datetime, most: int) -> Sequence[CallPlace]: ...

    def places(self, tenant_id: str, calls: Collection[str]) -> Sequence[CallPlace]: ...

    def read(
        self, tenant_id: str, places: Sequence[CallPlace], *, with_texts: bool
    ) -> Iterator[StoredJudgement | str]: ...


@dataclass
class Adopted:
    """What came of calls. `adopted` have a row now that had none, `added` one that says more: they were known by their
    event alone. Of these `held` are held by the case that their event asks for, and `due` are to be archived or
    destroyed already, unless something holds them. `passed` were known, `gone` destroyed. `refused` are calls, as
    tenant/id, that cannot be read or that the register refuses: they are kept for good."""

    adopted: int = 0
    added: int = 0
    held: int = 0
    due: int = 0
    passed: int = 0
    gone: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Adopter:
    """Every method may raise `RetryableError` and `OperatorError`: what was begun is gone on with by the next."""

    stored: JudgedCalls
    retentions: RegisterRetentions
    cases: RegisterCases
    gone: Gone
    policies: TenantPolicies
    clock: Clock
    at_once: int = AT_ONCE

    def adopt_all(
        self,
        tenants: Sequence[str],
        since: datetime,
        until: datetime,
        *,
        dry_run: bool = False,
        tell: Callable[[str, datetime, Adopted], object] = lambda _tenant_id, _until, _so_far: None,
    ) -> Adopted:
        """Every call of these tenants that ended from `since` on and before `until`. With `dry_run` nothing is written,
        and it is counted what would be. `tell` hears behind each page how far it is."""
        done = Adopted()
        for tenant_id in tenants:
            behind = CallPlace(since, "")
            while page := self.stored.page(tenant_id, behind, until, self.at_once):
                self._adopt(tenant_id, page, done, dry_run=dry_run)
                behind = page[-1]
                tell(tenant_id, behind.ended_at, done)
        return done

    def adopt(self, tenant_id: str, calls: Collection[str]) -> Adopted:
        """Those of these calls of which is stored what nobody has decided by."""
        done = Adopted()
        judged = self.retentions.decided_among([(tenant_id, call_id) for call_id in calls])
        unknown = [call_id for call_id in calls if not judged.get((tenant_id, call_id))]
        if unknown:
            self._adopt(tenant_id, self.stored.places(tenant_id, unknown), done, dry_run=False)
        return done

    def _adopt(self, tenant_id: str, places: Sequence[CallPlace], done: Adopted, *, dry_run: bool) -> None:
        calls = {(tenant_id, place.call_id) for place in places}
        judged = self.retentions.decided_among(calls)
        gone = self.gone(calls)
        left = [each for each in places if not judged.get((tenant_id, each.call_id))]
        done.passed += len(calls) - len({each.call_id for each in left})
        left = [each for each in left if (tenant_id, each.call_id) not in gone]
        done.gone += sum(1 for call in gone if not judged.get(call))
        if not left:
            return
        policy = self.policies.of(tenant_id)
        asks_texts = any(one.about is not None and one.about.phrases for one in policy.classes)
        decisions: list[KeepDecision] = []
        for stored in self.stored.read(tenant_id, left, with_texts=asks_texts):
            if isinstance(stored, str):
                done.refused.append(f"{tenant_id}/{stored}")
            elif dry_run:
                done.held += stored.call.legal_hold
                decisions.append(decision_of_stored(policy, stored))
            elif not stored.call.legal_hold or self._hold(stored, done):
                decisions.append(decision_of_stored(policy, stored))
        if not dry_run:
            decisions = self._decide(decisions, done)
        known = {each.call for each in decisions}
        done.added += len(known & judged.keys())
        done.adopted += len(known - judged.keys())
        today = self.clock.now().astimezone(UTC).date()
        for each in decisions:
            found = due(after(UNDECIDED, each.command), each.ended_at)
            done.due += found is not None and found.on <= today

    def _hold(self, stored: StoredJudgement, done: Adopted) -> bool:
        """Whether the call may be decided now."""
        call = (stored.call.tenant_id, stored.call.call_id)
        try:
            outcome = hold_for_telephony(self.cases, call, self.clock.now())
        except HoldRefusedError:
            done.gone += 1
            return False
        except RegisterRefusedError:
            done.refused.append("/".join(call))
            return False
        done.held += outcome.case.state == "open"
        return True

    def _decide(self, decisions: Sequence[KeepDecision], done: Adopted) -> list[KeepDecision]:
        """Halved until the one stands alone that the register refuses; those that were decided."""
        if not decisions:
            return []
        try:
            self.retentions.decide(decisions)
        except RegisterRefusedError:
            if len(decisions) == 1:
                done.refused.append("/".join(decisions[0].call))
                return []
            middle = len(decisions) // 2
            return [*self._decide(decisions[:middle], done), *self._decide(decisions[middle:], done)]
        return list(decisions)


def decision_of_stored(policy: RetentionPolicy, stored: StoredJudgement) -> KeepDecision:
    """How long a call is kept, by what is stored of it."""
    classes = fitting_classes(policy, stored.call, stored.topics, stored.texts)
    return decision_of_judged(
        policy,
        JudgedCall(
            stored.call,
            stored.outcome,
            stored.duration_ms,
            stored.retention_class,
            stored.retention_days,
            tuple(one.id for one in classes),
        ),
    )
