"""Which alerts the judgement of a call raises."""

from collections.abc import Iterable, Mapping

from schemas.messages.alert import Alert
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import Role
from schemas.messages.finding import SEVERITIES, Finding, Severity

"""From the mildest to the gravest."""

RISK_RULE = "risk.high"
"""The rule id of the alert that the risk of a call as a whole is high; its version is that of the analysis."""

CATEGORY_NAMES: Mapping[str, str] = {
    "advertising_law": "违反广告法用语",
    "checklist_incomplete": "告知不完整",
    "claim_contradicted": "与事实不符的说法",
    "claim_without_entry": "未登记的说法",
    "complaint_handling": "投诉受理不当",
    "complaint_threat": "扬言投诉",
    "consumer_rights": "侵害消费者权益",
    "customer_agitated": "情绪激动",
    "duration_anomaly": "通话时长异常",
    "escalation": "情绪升级",
    "etiquette": "服务礼仪缺失",
    "fake_reviews": "诱导虚假评价",
    "forbidden_conduct": "禁止行为",
    "forbidden_promise": "违规承诺",
    "illegal_goods": "违禁商品",
    "improper_inducement": "不当诱导",
    "incomplete_notice": "告知缺失",
    "interruption": "抢话",
    "misleading_statement": "误导性陈述",
    "missing_script": "必说话术缺失",
    "over_promise": "过度承诺",
    "over_retention": "过度挽留",
    "patient_safety": "危及患者安全",
    "poor_service": "服务态度问题",
    "privacy": "侵犯隐私",
    "private_dealing": "私下交易",
    "procedure_broken": "流程未按顺序执行",
    "refund_handling": "退款处理不当",
    "repeated_contact": "重复来电",
    "review_threat": "扬言差评",
    "rude_words": "不文明用语",
    "safety": "反诈提醒缺失",
    "slow_response": "响应不及时",
    "soothing": "安抚不足",
    "soothing_found": "安抚到位",
    "suitability": "适当性了解缺失",
    "threat": "威胁言语",
    "unexcused_silence": "无故静默",
}
"""Category → how a title names it; a category that is not here is named by its rule alone."""

_ROLE_NAMES: Mapping[Role, str] = {"agent": "坐席", "customer": "客户", "unknown": "通话"}

_MAX_ADVICE = 500
_MAX_ID = 256


def at_least(severity: Severity, threshold: Severity) -> bool:
    """Whether a severity reaches the threshold."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(threshold)


def alerts_of(analysis: CallAnalysis, min_severity: Severity = "high") -> tuple[Alert, ...]:
    """The alerts of a judged call: one for each rule and version that was hit gravely enough, in order of time, and
    `risk.high` where the risk of the call is high.

    Several hits of a rule are one alert with the quote of the first. A call that is judged again gives alerts with the
    same ids, as long as the rules have the same versions.
    """
    by_rule: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(analysis.findings, key=lambda f: (f.start_ms, f.end_ms, f.finding_id)):
        if at_least(finding.severity, min_severity):
            by_rule.setdefault((finding.rule_id, finding.rule_version), []).append(finding)
    alerts = [_of_rule(analysis, findings) for findings in by_rule.values()]
    if analysis.risk is not None and analysis.risk.level == "high" and at_least("high", min_severity):
        alerts.append(_of_risk(analysis))
    return tuple(alerts)


def _of_rule(analysis: CallAnalysis, findings: list[Finding]) -> Alert:
    first = findings[0]
    category = CATEGORY_NAMES.get(first.category, "规则命中")
    rule = first.attributes.get("name")
    name = f"{category}：{rule}" if rule else category
    return _alert(
        analysis,
        rule_id=first.rule_id[:_MAX_ID],
        rule_version=first.rule_version[:_MAX_ID],
        category=first.category,
        severity=gravest(finding.severity for finding in findings),
        title=f"{_ROLE_NAMES[first.role]}{name}（{first.rule_id}）"[:500],
        advice=str(first.attributes.get("advice", ""))[:_MAX_ADVICE],
        role=first.role,
        start_ms=first.start_ms,
        end_ms=first.end_ms,
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
