"""What must be found in the example calls, and how to see it in a judgement, wherever it was read from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript


@dataclass(frozen=True)
class Judged:
    """A judgement as `callstream analyze` prints it, or as it stands in ClickHouse."""

    outcome: str
    measures: Mapping[str, float | None]
    words: Sequence[str]
    topics: Sequence[str]
    risk: str | None
    retention_class: str | None
    pii: frozenset[str]

    @staticmethod
    def of(transcript: Transcript, analysis: CallAnalysis) -> "Judged":
        """As the models have it."""
        return Judged(
            analysis.outcome,
            {name: None if value is None else float(value) for name, value in analysis.measures.items()},
            [str(f.attributes["word"]) for f in analysis.findings if f.detector == "sensitive_words"],
            [topic.name for topic in analysis.topics],
            analysis.risk.level if analysis.risk else None,
            analysis.retention_class,
            frozenset(span.kind for span in transcript.pii),
        )


def _measure(name: str) -> Callable[[Judged], object]:
    return lambda judged: judged.measures[name]


READ: Mapping[str, Callable[[Judged], object]] = {
    "outcome": lambda judged: judged.outcome,
    "sensitive": lambda judged: sorted(judged.words),
    "topics": lambda judged: sorted(judged.topics),
    "risk": lambda judged: judged.risk,
    "retention_class": lambda judged: judged.retention_class,
    "pii": lambda judged: sorted(judged.pii),
    "interruptions": lambda judged: judged.measures["agent_interruptions"] or judged.measures["customer_interruptions"],
    "identity_verified": _measure("identity_verified_before_disclosure"),
    "backchannels": _measure("customer_back_channels"),
    **{
        name: _measure(name)
        for name in (
            "recording_notice",
            "risk_warning",
            "unsubscribe_notice",
            "complaint_threat",
            "refund_rules_complete",
            "agent_interruptions",
            "customer_interruptions",
            "excused_silences",
            "unexcused_silences",
        )
    },
}
"""Name in the `expect` block of a call → how it is read off a judgement."""

PII_KINDS = {"phone": "mobile"}


def expected_value(name: str, value: object) -> object:
    """The value of an `expect` block as `READ` gives it."""
    if isinstance(value, list):
        words = [str(one) for one in value]
        return sorted(PII_KINDS.get(one, one) for one in words) if name == "pii" else sorted(words)
    return float(value) if isinstance(value, bool | int) else value
