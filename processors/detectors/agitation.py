"""Where the speakers are agitated, whether the customer escalates, and how the customer's mood develops."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import Attributes, CodeRule
from processors.detectors.base.sentiment import SegmentWithEmotion, place_of, segments_with_emotion, why_no_emotion
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from schemas.messages.finding import Finding, Severity
from schemas.messages.transcript import Transcript

AGITATED_CUSTOMER = CodeRule("agitation", "customer_agitated", version="1")
ESCALATION = CodeRule("agitation", "escalation", version="1")

AGITATED = 0.5
VERY_AGITATED = 0.8
"""From which probability on a segment is agitated, and from which on that weighs `high`."""

ESCALATION_SEGMENTS = 2
ESCALATION_RISE = 0.3
"""How many agitated segments in a row are an escalation, and how far above the customer's earlier ones they must lie.
No published definition gives numbers: both are ours."""

TREND_SEGMENTS = 4
"""Quarters need as many segments."""


class AgitationDetector:
    """Agitated customers and agents, by the emotion of their segments.

    `customer_agitated_segments` counts customer segments with `agitated` ≥ 0.5; `customer_agitation_max` and
    `agent_agitation_max` are the highest of each side; `customer_sentiment_trend` is the mean valence of the last
    quarter of the customer's segments − that of the first, −2…2 (as quarters in Contact Lens), null with fewer than 4
    (`too_few_segments`). A side without any emotion is not measured (`no_emotion`).

    Findings: `customer_agitated` for each agitated customer segment, `high` from 0.8 on; `escalation` for each run of
    at least 2 agitated customer segments whose mean lies at least 0.3 above the mean of all that the customer said
    before: a customer who calls in anger escalates nothing. `attributes`: `segment_id`, `agitated`, and `source`
    or, of an escalation, `last_segment_id` and `rise`; `match_start` and `match_end` where there are words.
    """

    name: ClassVar[str] = "agitation"
    measures: ClassVar[tuple[str, ...]] = (
        "customer_agitated_segments",
        "customer_agitation_max",
        "customer_sentiment_trend",
        "agent_agitation_max",
    )
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    def process(self, context: CallContext) -> Iterable[Result]:
        return of_sides(context, [*_of_the_customer(context), _agent_maximum(context)])


def _of_the_customer(context: CallContext) -> Iterator[Result]:
    transcript = context.transcript
    felt = segments_with_emotion(transcript, "customer")
    reason = why_no_emotion(context, felt)
    if reason is not None:
        yield from (NotMeasured(measure, reason) for measure in AgitationDetector.measures[:3])
        return
    agitated = [each for each in felt if each.emotion.agitated >= AGITATED]
    yield from (_find_agitation(transcript, each) for each in agitated)
    yield from _escalations(transcript, felt)
    yield Measure("customer_agitated_segments", len(agitated))
    yield Measure("customer_agitation_max", max(each.emotion.agitated for each in felt))
    yield _trend(felt)


def _agent_maximum(context: CallContext) -> Measure | NotMeasured:
    felt = segments_with_emotion(context.transcript, "agent")
    reason = why_no_emotion(context, felt)
    if reason is not None:
        return NotMeasured("agent_agitation_max", reason)
    return Measure("agent_agitation_max", max(each.emotion.agitated for each in felt))


def _trend(felt: Sequence[SegmentWithEmotion]) -> Measure | NotMeasured:
    if len(felt) < TREND_SEGMENTS:
        return NotMeasured("customer_sentiment_trend", "too_few_segments")
    quarter = len(felt) // 4
    first = fmean(each.emotion.valence for each in felt[:quarter])
    last = fmean(each.emotion.valence for each in felt[-quarter:])
    return Measure("customer_sentiment_trend", round(last - first, 4))


def _escalations(transcript: Transcript, felt: Sequence[SegmentWithEmotion]) -> Iterator[Finding]:
    run: list[SegmentWithEmotion] = []
    before_sum = 0.0
    before_count = 0
    for each in (*felt, None):
        if each is not None and each.emotion.agitated >= AGITATED:
            run.append(each)
            continue
        if len(run) >= ESCALATION_SEGMENTS and before_count:
            rise = _mean_agitated(run) - before_sum / before_count
            if rise >= ESCALATION_RISE:
                yield _escalation(transcript, run, rise)
        passed = run if each is None else [*run, each]
        before_sum += sum(one.emotion.agitated for one in passed)
        before_count += len(passed)
        run = []


def _find_agitation(transcript: Transcript, felt: SegmentWithEmotion) -> Finding:
    agitated = felt.emotion.agitated
    severity: Severity = "high" if agitated >= VERY_AGITATED else "medium"
    return _finding(transcript, AGITATED_CUSTOMER, [felt], severity, {"source": felt.emotion.source})


def _escalation(transcript: Transcript, run: Sequence[SegmentWithEmotion], rise: float) -> Finding:
    attributes: Attributes = {"rise": round(rise, 4), "last_segment_id": run[-1].segment.segment_id}
    return _finding(transcript, ESCALATION, run, "high", attributes)


def _finding(
    transcript: Transcript,
    rule: CodeRule,
    run: Sequence[SegmentWithEmotion],
    severity: Severity,
    attributes: Attributes,
) -> Finding:
    first, last = run[0].segment, run[-1].segment
    return rule.finding(
        transcript,
        str(first.segment_id),
        role="customer",
        start_ms=first.start_ms,
        end_ms=last.end_ms,
        severity=severity,
        attributes=place_of(first) | {"agitated": round(_mean_agitated(run), 4)} | attributes,
        quote=first.text,
        matched=first.text,
    )


def _mean_agitated(felt: Sequence[SegmentWithEmotion]) -> float:
    return fmean(each.emotion.agitated for each in felt)


def detector(_context: DetectorContext) -> AgitationDetector:
    """The detector; it needs nothing from the context."""
    return AgitationDetector()
