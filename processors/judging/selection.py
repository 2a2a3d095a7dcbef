"""Which calls a person should review: triggers that select by themselves, whatever the risk (R49). Pure."""

from collections.abc import Mapping, Sequence

from schemas.config.selection import (
    SelectionOverride,
    SelectionRules,
    TriggerFindings,
    TriggerMeasure,
    TriggerRule,
)
from schemas.messages.call_analysis import MeasureValue, Selection, Trigger
from schemas.messages.call_ended import CallEnded
from schemas.messages.finding import SEVERITIES, Finding, Severity


def select(
    rules: SelectionRules, call: CallEnded, measures: Mapping[str, MeasureValue], findings: Sequence[Finding]
) -> Selection:
    """The selection of a call that was heard, with every trigger that was pulled, in the order of their names.

    Reasons name counts, never what was said.
    """
    overrides = [override for override in rules.overrides if _is_for(override, call)]
    pulled = [_pull(rule, overrides, measures, findings) for rule in rules.triggers if _is_active(rule, overrides)]
    triggers = sorted((trigger for trigger in pulled if trigger is not None), key=lambda trigger: trigger.name)
    return Selection(selected=bool(triggers), triggers=tuple(triggers), rules_version=rules.version)


def _is_for(override: SelectionOverride, call: CallEnded) -> bool:
    return (not override.tenants or call.tenant_id in override.tenants) and (
        not override.industries or call.industry in override.industries
    )


def _is_active(rule: TriggerRule, overrides: Sequence[SelectionOverride]) -> bool:
    return next((one.active[rule.id] for one in reversed(overrides) if rule.id in one.active), rule.active)


def _pull(
    rule: TriggerRule,
    overrides: Sequence[SelectionOverride],
    measures: Mapping[str, MeasureValue],
    findings: Sequence[Finding],
) -> Trigger | None:
    """The trigger where something pulls it."""
    if rule.only_if is not None and _pulling_value(rule.only_if, measures) is None:
        return None
    found: list[str] = []
    if rule.findings is not None:
        usual = rule.findings.min_severity
        least = next((one.min_severity[rule.id] for one in reversed(overrides) if rule.id in one.min_severity), usual)
        found = [finding.finding_id for finding in findings if _pulls(rule.findings, least, finding)]
    value = _pulling_value(rule.measure, measures) if rule.measure is not None else None
    if not found and value is None:
        return None
    return Trigger(
        name=rule.id,
        reason=f"{rule.name} {len(found)} 处" if len(found) > 1 else rule.name,
        finding_ids=tuple(found),
        measure=rule.measure.name if rule.measure is not None and value is not None else None,
        value=value,
    )


def _pulls(rule: TriggerFindings, least: Severity, finding: Finding) -> bool:
    is_meant = finding.category in rule.categories or finding.rule_id in rule.rules
    is_said = not rule.roles or finding.role in rule.roles
    is_grave = finding.severity != "info" and SEVERITIES.index(finding.severity) >= SEVERITIES.index(least)
    return is_meant and is_said and is_grave and finding.rule_id not in rule.except_rules


def _pulling_value(rule: TriggerMeasure, measures: Mapping[str, MeasureValue]) -> MeasureValue:
    """The value of the measure where it pulls the trigger, else null."""
    value = measures.get(rule.name)
    if value is None:
        return None
    pulls = value > rule.above if rule.above is not None else value is rule.equals
    return value if pulls else None
