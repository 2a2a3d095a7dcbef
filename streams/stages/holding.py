"""Legal holds and events of retention as people ask for them: allowed or refused, entered in the audit log, done."""

from dataclasses import dataclass, replace
from datetime import datetime

from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Action, Actor, Target, authorize
from processors.custody.holds import TELEPHONY, Extend, HoldRefusedError, HoldScope, Open, Release
from processors.custody.retention import EventCame
from schemas.errors import OperatorError
from streams.adapters.register.holds import HoldOutcome, RegisterCases
from streams.adapters.register.ports import EntryWithinOrBefore
from streams.adapters.register.retentions import EventTold, RegisterRetentions
from streams.ports import Clock

NO_ROLE = "none"
"""In the audit log: who asks has no role there."""


class NotAllowedToHoldError(OperatorError):
    """Who asks may not do it there."""

    exit_code = 1


@dataclass(frozen=True)
class Asking:
    """Who asks, through what, and for which matter. `operator` is who they are besides, for what their own account may
    not: whoever owns the data directory of this machine."""

    actor: Actor
    client: str
    ticket: str | None = None
    operator: Actor | None = None


@dataclass(frozen=True)
class Holding:
    """Every method raises `NotAllowedToHoldError` once the refusal is entered, `RetryableError` and `OperatorError`."""

    cases: RegisterCases
    retentions: RegisterRetentions
    audit: EntryWithinOrBefore
    clock: Clock

    def open(self, asking: Asking, tenant_id: str, case_id: str, scope: HoldScope, reason: str) -> HoldOutcome:
        """Hold these calls for a case. Raises `HoldRefusedError`."""
        if case_id.startswith(f"{TELEPHONY}:"):
            raise HoldRefusedError(f"ids that begin with {TELEPHONY}: are of calls whose event asks for a hold")
        actor, role = self._allowed(asking, "hold", "hold_opened", tenant_id)
        command = Open(scope, reason, actor.actor_id, self.clock.now())
        entry = self._entry(asking, actor, role, "hold_opened", tenant_id, purpose=reason, kind="case", of=case_id)
        return self.cases.tell(tenant_id, case_id, command, replace(entry, details=_counts(scope)))

    def extend(self, asking: Asking, tenant_id: str, case_id: str, scope: HoldScope) -> HoldOutcome:
        """Hold these, too. Raises `HoldRefusedError`."""
        actor, role = self._allowed(asking, "hold", "hold_extended", tenant_id)
        entry = self._entry(asking, actor, role, "hold_extended", tenant_id, kind="case", of=case_id)
        return self.cases.tell(tenant_id, case_id, Extend(scope), replace(entry, details=_counts(scope)))

    def release(self, asking: Asking, tenant_id: str, case_id: str, reason: str) -> HoldOutcome:
        """Let go of all calls of a case: what is due is destroyed in the next round. Raises `HoldRefusedError`."""
        actor, role = self._allowed(asking, "release", "hold_released", tenant_id)
        entry = self._entry(asking, actor, role, "hold_released", tenant_id, purpose=reason, kind="case", of=case_id)
        return self.cases.tell(tenant_id, case_id, Release(actor.actor_id, is_person=True), entry)

    def tell_event(
        self,
        asking: Asking,
        tenant_id: str,
        event: str,
        at: datetime,
        *,
        call_id: str | None = None,
        contract_id: str | None = None,
    ) -> EventTold:
        """What classes wait for has come, of a call or of a contract. Raises `UnknownCallError`, `ValueError` for
        neither and for both.
        """
        if (call_id is None) == (contract_id is None):
            raise ValueError("an event is of a call or of a contract")
        told = "retention_event_told"
        actor, role = self._allowed(asking, "administer", told, tenant_id, call_id)
        kind = "contract" if call_id is None else None
        entry = self._entry(
            asking, actor, role, told, tenant_id, purpose=event, call_id=call_id, kind=kind, of=contract_id
        )
        command = EventCame(event, at)
        if call_id is not None:
            return self.retentions.tell_of_call(tenant_id, call_id, command, entry, self.audit)
        assert contract_id is not None  # noqa: S101 - asked above
        return self.retentions.tell_of_contract(tenant_id, contract_id, command, entry, self.audit)

    def _allowed(
        self, asking: Asking, action: Action, entered_as: str, tenant_id: str, call_id: str | None = None
    ) -> tuple[Actor, str]:
        """As whom, and by which role, it is allowed."""
        target = Target(tenant_id)
        decision = authorize(asking.actor, action, target)
        if decision.allowed:
            return asking.actor, decision.role
        if asking.operator is not None and (besides := authorize(asking.operator, action, target)).allowed:
            return asking.operator, besides.role
        entry = self._entry(asking, asking.actor, decision.role or NO_ROLE, entered_as, tenant_id, call_id=call_id)
        self.audit.append(replace(entry, result="refused", refusal=decision.reason))
        raise NotAllowedToHoldError(
            f"you may not do that to calls of {tenant_id}: no role of yours has `{action}` there"
        )

    def _entry(
        self,
        asking: Asking,
        actor: Actor,
        role: str,
        action: str,
        tenant_id: str,
        *,
        purpose: str | None = None,
        call_id: str | None = None,
        kind: str | None = None,
        of: str | None = None,
    ) -> AuditEntry:
        return AuditEntry(
            at=self.clock.now(),
            actor=actor.actor_id,
            role=role,
            action=action,
            tenant_id=tenant_id,
            result="done",
            client=asking.client,
            call_id=call_id,
            object_kind=kind,
            object_id=of,
            purpose=purpose,
            ticket=asking.ticket,
        )


def _counts(scope: HoldScope) -> dict[str, str | int]:
    return {"calls": len(scope.calls), "customers": len(scope.customers)}
