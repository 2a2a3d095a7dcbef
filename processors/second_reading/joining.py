"""An analysis with what the second reader found, or why it did not read."""

from datetime import timedelta
from typing import Any, Literal

from processors.detectors.base.findings import finding_in_words
from processors.second_reading.question import Question
from processors.second_reading.verification import SecondReading, VerifiedQuote
from schemas.messages.call_analysis import CallAnalysis, MeasureValue, SkippedAnalysis
from schemas.messages.classes import FindingSource
from schemas.messages.finding import SEVERITIES, Finding

SECOND_READER: Literal["second_reader"] = "second_reader"
"""The detector of its findings; what it measures and finds is named after it."""

FINDINGS, DROPPED, DISAGREES = "second_reader_findings", "second_reader_dropped", "second_reader_disagrees"
MEASURES = (FINDINGS, DROPPED, DISAGREES)

SUSPECTING = frozenset({"like", "reading", SECOND_READER})
"""Detectors whose findings nobody has confirmed."""

AFTER = timedelta(milliseconds=1)
"""How much later the joined analysis is than the one that it was made of: it replaces that one, and no later one."""


def is_joined(analysis: CallAnalysis) -> bool:
    """Whether it says already what became of the second reading."""
    return FINDINGS in analysis.measures


def with_reading(
    analysis: CallAnalysis,
    question: Question,
    reading: SecondReading,
    model: str,
    source: FindingSource = SECOND_READER,
) -> CallAnalysis:
    """The analysis with these findings. Scores and risk stay: what the reader says is a suspicion."""
    findings = [_finding(question, each, model, source) for each in reading.quotes]
    measures: dict[str, MeasureValue] = {
        FINDINGS: len(findings),
        DROPPED: reading.dropped,
        DISAGREES: _alleges_violation(question, reading) != _found_violation(analysis),
    }
    every = sorted((*analysis.findings, *findings), key=lambda f: (f.start_ms, f.end_ms, f.rule_id, f.finding_id))
    return _changed(analysis, measures=analysis.measures | measures, findings=tuple(every))


def without_reading(analysis: CallAnalysis, reason: str) -> CallAnalysis:
    """The analysis that says why the call was not read."""
    skipped = tuple(SkippedAnalysis(measure=measure, reason=reason) for measure in MEASURES)
    return _changed(
        analysis,
        measures=analysis.measures | dict.fromkeys(MEASURES),
        skipped_analysis=(*analysis.skipped_analysis, *skipped),
    )


def _changed(analysis: CallAnalysis, **update: Any) -> CallAnalysis:
    return analysis.model_copy(update={"analyzed_at": analysis.analyzed_at + AFTER, **update})


def _finding(question: Question, quote: VerifiedQuote, model: str, source: FindingSource) -> Finding:
    name = f"{SECOND_READER}_{quote.kind}"
    return finding_in_words(
        question.context.transcript,
        question.passages[quote.turn],
        (quote.start, quote.end),
        detector=SECOND_READER,
        rule_id=name,
        rule_version=question.pack.name,
        category=name,
        severity="info",
        confidence=quote.confidence,
        attributes={"model": model, "prompt": question.pack.name, "source": source},
    )


def _alleges_violation(question: Question, reading: SecondReading) -> bool:
    about_agents = {kind.id for kind in question.pack.kinds if kind.role == "agent"}
    return any(quote.kind in about_agents for quote in reading.quotes)


def _found_violation(analysis: CallAnalysis) -> bool:
    """Whether the rules found words of the agent that are worse than `low`; what is missing has no words."""
    return any(
        finding.role == "agent"
        and finding.quote
        and finding.detector not in SUSPECTING
        and SEVERITIES.index(finding.severity) > SEVERITIES.index("low")
        for finding in analysis.findings
    )
