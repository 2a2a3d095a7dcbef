"""Findings put together: the same id on every delivery, quote and time from the words that were hit."""

from collections.abc import Mapping
from uuid import NAMESPACE_URL, uuid5

from processors.spoken_text import Passage
from schemas.call_ended import Role
from schemas.finding import Finding, Severity
from schemas.transcript import Transcript

Attributes = Mapping[str, str | int | float | bool]


def finding_id(transcript: Transcript, detector: str, rule_id: str, rule_version: str, place: str) -> str:
    """uuid5 of call, detector, rule, rule version and place."""
    parts = (transcript.tenant_id, transcript.call_id, detector, rule_id, rule_version, place)
    return str(uuid5(NAMESPACE_URL, "callstream:finding/" + "/".join(parts)))


def finding_in_words(
    transcript: Transcript,
    passage: Passage,
    span: tuple[int, int],
    *,
    detector: str,
    rule_id: str,
    rule_version: str,
    category: str,
    severity: Severity,
    score_delta: float = 0,
    confidence: float = 1,
    attributes: Attributes,
) -> Finding:
    """A finding at characters `span` of the text of a turn.

    Adds to the attributes `segment_id`, `match_start`, `match_end`, and `last_segment_id`, `last_match_end` where the
    words go on in a later segment.
    """
    start, end = span
    utterance = passage.utterance
    place = utterance.place(start, end)
    start_ms, end_ms = utterance.time_ms(start, end)
    where: dict[str, str | int | float | bool] = {
        "segment_id": place.segment_id,
        "match_start": place.start,
        "match_end": place.end,
    }
    if place.last_segment_id != place.segment_id:
        where |= {"last_segment_id": place.last_segment_id, "last_match_end": place.last_end}
    named = f"{place.segment_id}:{place.start}-{place.last_segment_id}:{place.last_end}"
    return Finding(
        finding_id=finding_id(transcript, detector, rule_id, rule_version, named),
        detector=detector,
        rule_id=rule_id,
        rule_version=rule_version,
        category=category,
        role=passage.role,
        start_ms=start_ms,
        end_ms=end_ms,
        quote=utterance.quote(start, end),
        matched=utterance.text[start:end],
        severity=severity,
        score_delta=score_delta,
        confidence=confidence,
        attributes={**where, **attributes},
    )


def finding_of_call(
    transcript: Transcript,
    *,
    detector: str,
    rule_id: str,
    rule_version: str,
    category: str,
    severity: Severity,
    role: Role,
    score_delta: float = 0,
    confidence: float = 1,
    start_ms: int = 0,
    end_ms: int = 0,
    attributes: Attributes,
) -> Finding:
    """A finding without words: something is missing, or lies in the call as a whole or in a stretch of it."""
    return Finding(
        finding_id=finding_id(transcript, detector, rule_id, rule_version, f"{start_ms}-{end_ms}"),
        detector=detector,
        rule_id=rule_id,
        rule_version=rule_version,
        category=category,
        role=role,
        start_ms=start_ms,
        end_ms=end_ms,
        severity=severity,
        score_delta=score_delta,
        confidence=confidence,
        attributes=dict(attributes),
    )
