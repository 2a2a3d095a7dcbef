"""How findings are built: the same id on every delivery, quote and time from the words that were hit."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from processors.text.passages import Passage
from schemas.messages.call_ended import Role
from schemas.messages.finding import Finding, Severity
from schemas.messages.transcript import Transcript

Attributes = dict[str, str | int | float | bool]


def finding_id(transcript: Transcript, detector: str, rule_id: str, rule_version: str, place: str | None) -> str:
    """uuid5 of call, detector, rule, rule version and place: the same on every delivery and after every replay.

    `place` is whatever tells apart the findings of one rule in one call, such as segment and characters, or a stretch
    of time; None for a rule that is about the call as a whole and found once in it.
    """
    parts = (transcript.tenant_id, transcript.call_id, detector, rule_id, rule_version, *([place] if place else []))
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
    attributes: Mapping[str, str | int | float | bool],
) -> Finding:
    """A finding at characters `span` of the text of a turn.

    Adds to the attributes `segment_id`, `match_start`, `match_end`, and `last_segment_id`, `last_match_end` where the
    words go on in a later segment.
    """
    start, end = span
    utterance = passage.utterance
    place = utterance.place(start, end)
    start_ms, end_ms = utterance.time_ms(start, end)
    where: Attributes = {
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
    attributes: Mapping[str, str | int | float | bool],
) -> Finding:
    """A finding without words: something is missing, or concerns the call as a whole or a stretch of it."""
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


@dataclass(frozen=True)
class CodeRule:
    """What a detector finds by code, not by a rule of a pack. `version` rises with each change of what is found."""

    detector: str
    category: str
    version: str

    def finding(
        self,
        transcript: Transcript,
        place: str,
        *,
        role: Role,
        start_ms: int,
        end_ms: int,
        severity: Severity,
        attributes: Attributes,
        quote: str = "",
        matched: str = "",
    ) -> Finding:
        """A finding of this rule, whose id is `<detector>.<category>`; `place` as in `finding_id`."""
        rule_id = f"{self.detector}.{self.category}"
        return Finding(
            finding_id=finding_id(transcript, self.detector, rule_id, self.version, place),
            detector=self.detector,
            rule_id=rule_id,
            rule_version=self.version,
            category=self.category,
            role=role,
            start_ms=start_ms,
            end_ms=end_ms,
            quote=quote,
            matched=matched,
            severity=severity,
            attributes=attributes,
        )
