"""Findings and skipped measures for tests of what is concluded from them."""

from itertools import count

from schemas.messages.call_analysis import SkippedAnalysis
from schemas.messages.call_ended import Role
from schemas.messages.finding import Finding, Severity

_NUMBERS = count()


def finding(
    category: str,
    severity: Severity = "high",
    *,
    role: Role = "agent",
    confidence: float = 1,
    rule_id: str = "pack.rule",
    name: str | None = None,
    quote: str = "这是来电者说的话",
) -> Finding:
    """A finding of that category; every one is another one."""
    number = next(_NUMBERS)
    return Finding(
        finding_id=f"finding-{number}",
        detector="written",
        rule_id=rule_id,
        rule_version="1",
        category=category,
        role=role,
        start_ms=number,
        end_ms=number + 1,
        quote=quote,
        severity=severity,
        confidence=confidence,
        attributes={} if name is None else {"name": name},
    )


def skipped(**reasons: str) -> tuple[SkippedAnalysis, ...]:
    """Measure → reason."""
    return tuple(SkippedAnalysis(measure=measure, reason=reason) for measure, reason in reasons.items())
