"""Transcripts of releases before 0.4, sealed and filed by day."""

from dataclasses import dataclass, field

from streams.adapters.object_store.transcripts import TranscriptStore


@dataclass
class SealingReport:
    """How many were sealed, and the keys of what lies there and is no transcript."""

    sealed: int = 0
    left: list[str] = field(default_factory=list)


def seal_those_in_clear(transcripts: TranscriptStore) -> SealingReport:
    """All of them. May be done again at any time. Raises `RetryableError` and `OperatorError`."""
    report = SealingReport()
    for key in transcripts.in_clear():
        if transcripts.seal(key) is None:
            report.left.append(key)
        else:
            report.sealed += 1
    return report
