"""Which alerts the judgement of a call raises."""

from collections.abc import Iterable, Mapping, Sequence

from schemas.messages.alert import Alert
from schemas.messages.call_analysis import CallAnalysis, Trigger
from schemas.messages.call_ended import Role
from schemas.messages.finding import SEVERITIES, Finding, Severity

"""From the mildest to the gravest."""

RISK_RULE = "risk.high"
"""The rule id of the alert that the risk of a call as a whole is high; its version is that of the analysis."""

SELECTION_RULE = "selected"
"""The rule id of the alert that a call was selected for review; its version is that of the rules of selection."""

_ROLE_NAMES: Mapping[Role, str] = {"agent": "坐席", "customer": "客户", "unknown": "通话"}

_MAX_ADVICE = 500
_MAX_ID = 256


def at_least(severity: Severity, threshold: Severity) -> bool:
    """Whether a severity reaches the threshold."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(threshold)


def alerts_of(
    analysis: CallAnalysis, category_names: Mapping[str, str], min_severity: Severity = "high"
) -> tuple[Alert, ...]:
    """The alerts of a judged call: one for each rule and version that was hit gravely enough, in order of time, and
    `risk.high` where the risk of the call is high; last, whatever the least severity, that the call was selected for
    review, which only subscriptions to selected calls receive. A call that reading alone selected raises none.

    A suspicion raises one, of severity `high`, where it may (`Finding.may_alert`); no other does.

    `category_names` are those of the packs in force (`Rulebooks.category_names`), for titles; a category without a name
    is named by its rule alone. Several hits of a rule are one alert with the quote of the first. A call that is judged
    again gives alerts with the same ids, as long as the rules have the same versions. Where agent and customer may be
    exchanged (`roles_doubtful`), nothing that was found on the side of the agent raises one.
    """
    by_rule: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(analysis.findings, key=lambda f: (f.start_ms, f.end_ms, f.finding_id)):
        if at_least(_severity_told(finding), min_severity) and not (
            analysis.roles_doubtful and finding.role == "agent"
        ):
            by_rule.setdefault((finding.rule_id, finding.rule_version), []).append(finding)
    alerts = [_of_rule(analysis, findings, category_names) for findings in by_rule.values()]
    if analysis.risk is not None and analysis.risk.level == "high" and at_least("high", min_severity):
        alerts.append(_of_risk(analysis))
    if triggers := _triggers_told(analysis):
        alerts.append(_of_selection(analysis, triggers))
    return tuple(alerts)


def _severity_told(finding: Finding) -> Severity:
    """That of the alert. A suspicion is `info` so that it costs no points; one that may alert calls as a grave hit."""
    return "high" if finding.may_alert else finding.severity


def _triggers_told(analysis: CallAnalysis) -> tuple[Trigger, ...]:
    """Those that do not rest on a suspicion, nor on the side of an agent who may be the customer."""
    triggers = analysis.selection.certain if analysis.selection is not None else ()
    if not analysis.roles_doubtful:
        return triggers
    of_agent = {finding.finding_id for finding in analysis.findings if finding.role == "agent"}
    return tuple(one for one in triggers if not one.finding_ids or not of_agent.issuperset(one.finding_ids))


def _of_rule(analysis: CallAnalysis, findings: list[Finding], category_names: Mapping[str, str]) -> Alert:
    first = findings[0]
    category = category_names.get(first.category, "疑似违规" if first.may_alert else "规则命中")
    rule = first.attributes.get("name")
    # A moment that nobody knows would be a link to the wrong one.
    start_ms, end_ms = (first.start_ms, first.end_ms) if analysis.engine.knows_times else (None, None)
    name = f"{category}：{rule}" if rule else category
    return _alert(
        analysis,
        rule_id=first.rule_id[:_MAX_ID],
        rule_version=first.rule_version[:_MAX_ID],
        category=first.category,
        severity=gravest(map(_severity_told, findings)),
        title=f"{_ROLE_NAMES[first.role]}{name}（{first.rule_id}）"[:500],
        advice=str(first.attributes.get("advice", ""))[:_MAX_ADVICE],
        role=first.role,
        start_ms=start_ms,
        end_ms=end_ms,
        quote=first.quote,
        matched=first.matched,
        hits=sum(int(finding.attributes.get("hits", 1)) for finding in findings),
    )


def _of_risk(analysis: CallAnalysis) -> Alert:
    return _alert(
        analysis,
        rule_id=RISK_RULE,
        rule_version=str(analysis.analysis_version),
        category="risk",
        severity="high",
        title=f"高风险通话（{RISK_RULE}）",
        advice="请尽快复核这通录音。",
    )


def _of_selection(analysis: CallAnalysis, triggers: Sequence[Trigger]) -> Alert:
    """Of severity `info`: how grave the call is, its findings and its risk say."""
    return _alert(
        analysis,
        rule_id=SELECTION_RULE,
        rule_version=str((analysis.selection and analysis.selection.rules_version) or analysis.analysis_version),
        category=SELECTION_RULE,
        severity="info",
        title=f"入选复核：{'、'.join(trigger.reason for trigger in triggers)}（{SELECTION_RULE}）"[:500],
        advice="请安排质检员复核这通录音。",
        triggers=tuple(trigger.name for trigger in triggers),
    )


def _alert(analysis: CallAnalysis, *, rule_id: str, rule_version: str, **facts: object) -> Alert:
    call = analysis.call
    return Alert.model_validate(
        {
            "alert_id": Alert.id_of(analysis.tenant_id, analysis.call_id, rule_id, rule_version),
            "kind": "call",
            "tenant_id": analysis.tenant_id,
            "rule_id": rule_id,
            "rule_version": rule_version,
            "call_id": analysis.call_id,
            "agent_id": call.agent.id,
            "agent_team": call.agent.team,
            "queue": call.queue,
            "risk_level": analysis.risk.level if analysis.risk else None,
            "risk_reasons": analysis.risk.reasons if analysis.risk else (),
            "happened_at": call.ended_at,
            "raised_at": analysis.analyzed_at,
            **facts,
        }
    )


def gravest(severities: Iterable[Severity]) -> Severity:
    """The gravest of at least one."""
    return max(severities, key=SEVERITIES.index)
