"""How long a call is kept: one function decides, whether `keep` hears of the call or `retain adopt` finds it stored."""

from collections.abc import Collection
from datetime import datetime

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import TELEPHONY, HoldScope, Open, telephony_case
from processors.custody.retention import (
    DecidedBy,
    Keep,
    RetentionTerm,
    Waiting,
    first_day_after,
    may_go_early,
    terms_of,
)
from processors.judging.retention import JudgedCall, fitting_classes
from schemas.config.retention import LEAST_DAYS, RetentionClass, RetentionPolicy
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallFacts
from streams.adapters.register.holds import HoldOutcome, RegisterCases
from streams.adapters.register.retentions import KeepDecision, TenantCall

CONTRACT = "contract_id"
"""The field of `crm` that names the contract of a call."""

LEGAL_HOLD = "legal_hold"


def decision_of_event(policy: RetentionPolicy, call: CallFacts) -> KeepDecision:
    """What is known when a call ends."""
    terms, waiting = _terms(fitting_classes(policy, call), policy, call, "capture")
    return _decision(call, Keep(terms, waiting))


def decision_of_analysis(policy: RetentionPolicy, analysis: CallAnalysis) -> KeepDecision:
    """What is known when a call was judged."""
    return decision_of_judged(
        policy,
        JudgedCall(
            analysis.call,
            analysis.outcome,
            None if analysis.audio is None else analysis.audio.duration_ms,
            analysis.retention_class,
            analysis.retention_days,
            analysis.retention_classes,
        ),
    )


def decision_of_judged(policy: RetentionPolicy, judged: JudgedCall) -> KeepDecision:
    """By the event, by what was said, by the rules of its industry.

    The days that the analysis names hold, too, where its class is that of a rule pack, or has since become shorter.
    """
    call = judged.call
    by_id = {one.id: one for one in policy.classes}
    named = [by_id[one] for one in judged.class_ids if one in by_id]
    classes = {one.id: one for one in (*fitting_classes(policy, call), *named)}
    terms, waiting = _terms(classes.values(), policy, call, "judged")
    if judged.retention_class is not None and judged.retention_days is not None:
        known = by_id.get(judged.retention_class)
        floor_days = LEAST_DAYS if known is None else known.floor_days
        terms += (
            RetentionTerm(
                judged.retention_class,
                judged.retention_days,
                call.ended_at,
                first_day_after(call.ended_at, judged.retention_days),
                first_day_after(call.ended_at, floor_days),
                policy.version,
                "judged",
                0 if known is None else known.archive_days or 0,
            ),
        )
    early_on = may_go_early(policy, call, judged.outcome, judged.duration_ms)
    return _decision(call, Keep(terms, waiting, early_on is not None, early_on))


def hold_for_telephony(cases: RegisterCases, call: TenantCall, now: datetime) -> HoldOutcome:
    """The case of a call whose event says `legal_hold`. Opens nothing where it is open, or was released.

    Raises `HoldRefusedError` for a call that was destroyed, and what `RegisterCases.tell` does.
    """
    tenant_id, call_id = call
    case_id = telephony_case(call_id)
    entry = AuditEntry(
        at=now,
        actor=TELEPHONY,
        role="",
        action="hold_opened",
        tenant_id=tenant_id,
        result="done",
        client="callstream",
        call_id=call_id,
        object_kind="case",
        object_id=case_id,
        purpose=LEGAL_HOLD,
    )
    command = Open(HoldScope(frozenset({call_id})), LEGAL_HOLD, TELEPHONY, now)
    return cases.tell(tenant_id, case_id, command, entry)


def _terms(
    classes: Collection[RetentionClass], policy: RetentionPolicy, call: CallFacts, by: DecidedBy
) -> tuple[tuple[RetentionTerm, ...], tuple[Waiting, ...]]:
    return terms_of(classes, policy.version, call.ended_at, by)


def _decision(call: CallFacts, command: Keep) -> KeepDecision:
    return KeepDecision(call.tenant_id, call.call_id, call.ended_at, command, call.customer.key, call.crm.get(CONTRACT))
