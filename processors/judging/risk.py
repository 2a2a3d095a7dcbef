"""How urgently a person should look at a call: named parts that add up, with reasons in words (R49, R51). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from processors.judging.scoring import NOT_APPLICABLE
from schemas.config.risk import (
    VALUE,
    PointsOfFindings,
    RiskOverride,
    RiskPartRule,
    RiskPointsOfMeasure,
    RiskRules,
    Thresholds,
)
from schemas.messages.call_analysis import MeasureValue, Risk, RiskLevel, RiskPart, SkippedAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.finding import Finding

MAX_NAMES = 5
"""As many rules of one category are named in a reason."""


def assess(
    rules: RiskRules,
    call: CallEnded,
    measures: Mapping[str, MeasureValue],
    findings: Sequence[Finding],
    skipped: Iterable[SkippedAnalysis],
    *,
    roles_doubtful: bool = False,
) -> Risk:
    """The risk of a call that was heard.

    `score` is the sum of the points of `parts`, which are in order of weight; 0 or more, and no more than all
    `at_most` together. Reasons name rules, counts and measures, never what was said. `unmeasured` are the parts that
    could not be looked for: a low score says less the more there are. Where agent and customer may be exchanged
    (`roles_doubtful`), what was found on the side of the agent counts nothing, and its parts are unmeasured.
    """
    held_back = [finding for finding in findings if roles_doubtful and finding.role == "agent"]
    if held_back:
        findings = [finding for finding in findings if finding.role != "agent"]
    skipped_reasons = {one.measure: one.reason for one in skipped}
    overrides = [override for override in rules.overrides if _is_for(override, call)]
    parts: list[RiskPart] = []
    unmeasured: list[str] = []
    for rule in rules.parts:
        points, reason = _points(rule, measures, findings)
        points = round(points * prod(override.times.get(rule.id, 1) for override in overrides), 1)
        if points > 0:
            parts.append(RiskPart(part=rule.id, points=points, reason=reason))
        elif _counts_any(rule, held_back) or (
            measures.get(rule.needs) is None and skipped_reasons.get(rule.needs) != NOT_APPLICABLE
        ):
            unmeasured.append(rule.id)
    parts.sort(key=lambda part: -part.points)
    # Sums of tenths are not exact in binary; rounded, the score is what a person adds up.
    total = round(sum(part.points for part in parts), 1)
    thresholds = next((one.thresholds for one in reversed(overrides) if one.thresholds), rules.thresholds)
    return Risk(
        level=_level(total, thresholds),
        score=total,
        reasons=tuple(part.reason for part in parts),
        parts=tuple(parts),
        unmeasured=tuple(unmeasured),
        rules_version=rules.version,
    )


def _counts_any(rule: RiskPartRule, findings: Sequence[Finding]) -> bool:
    return rule.findings is not None and _of_findings(rule.findings, findings)[0] > 0


def _is_for(override: RiskOverride, call: CallEnded) -> bool:
    return (not override.tenants or call.tenant_id in override.tenants) and (
        not override.industries or call.industry in override.industries
    )


def _level(total: float, thresholds: Thresholds) -> RiskLevel:
    if total >= thresholds.high:
        return "high"
    return "medium" if total >= thresholds.medium else "low"


def _points(rule: RiskPartRule, measures: Mapping[str, MeasureValue], findings: Sequence[Finding]) -> tuple[float, str]:
    """The points of a part before overrides, and why in words."""
    by_findings, found = _of_findings(rule.findings, findings) if rule.findings else (0.0, "")
    by_measure, measured = _of_measure(rule.measure, measures) if rule.measure else (0.0, "")
    return min(rule.at_most, max(by_findings, by_measure)), f"{rule.name}：{found or measured}"


def _of_findings(rule: PointsOfFindings, findings: Iterable[Finding]) -> tuple[float, str]:
    """`违规承诺 2 处（承诺保本、承诺不亏损）、不当诱导 1 处`, and what they add up to."""
    points = 0.0
    names: dict[str, list[str]] = {}
    for finding in findings:
        label = rule.rules.get(finding.rule_id) or rule.categories.get(finding.category)
        if label is None or (rule.roles and finding.role not in rule.roles):
            continue
        worth = rule.points_of(finding.severity) * finding.confidence
        if worth > 0:
            points += worth
            names.setdefault(label, []).append(str(finding.attributes.get("name", "")))
    return points, "、".join(f"{label} {len(found)} 处{_in_brackets(found)}" for label, found in names.items())


def _in_brackets(names: Iterable[str]) -> str:
    """The names of the rules in brackets, each once; empty if they have none."""
    distinct = [name for name in dict.fromkeys(names) if name]
    more = "等" if len(distinct) > MAX_NAMES else ""
    return f"（{'、'.join(distinct[:MAX_NAMES])}{more}）" if distinct else ""


def _of_measure(rule: RiskPointsOfMeasure, measures: Mapping[str, MeasureValue]) -> tuple[float, str]:
    value = measures.get(rule.name)
    if value is None:
        return 0, ""
    if rule.each:
        points = rule.points * max(0.0, float(value))
    elif rule.above is not None:
        points = rule.points if value > rule.above else 0
    else:
        points = rule.points if value is rule.equals else 0
    shown = str(value) if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")
    return points, rule.says.replace(VALUE, shown)
