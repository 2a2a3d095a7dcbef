"""What a detector says of a call, as tests read it."""

from processors.detectors.base.contract import Detector, Measure, NotMeasured
from processors.judging.call_context import CallContext
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.finding import Finding
from schemas.messages.transcript import Transcript


def measured(detector: Detector, transcript: Transcript) -> dict[str, MeasureValue]:
    """The measures that have a value."""
    results = detector.process(CallContext(transcript))
    return {result.name: result.value for result in results if isinstance(result, Measure)}


def not_measured(detector: Detector, transcript: Transcript) -> dict[str, str]:
    """The measures that have none, with the reason."""
    results = detector.process(CallContext(transcript))
    return {result.measure: result.reason for result in results if isinstance(result, NotMeasured)}


def found(detector: Detector, transcript: Transcript) -> list[Finding]:
    """The findings, in the order of the call."""
    findings = [result for result in detector.process(CallContext(transcript)) if isinstance(result, Finding)]
    return sorted(findings, key=lambda finding: (finding.start_ms, finding.category))
