"""What the agent must not say (R41, R49): the words of the lexicons that apply to the call."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from processors.case import Case
from processors.conversation import NO_SPEECH, SPEAKER_UNKNOWN
from processors.detectors import DetectorContext, Measure, NotMeasured, Result
from processors.findings import finding_id
from processors.lexicon import Hit, Lexicons, Matcher
from processors.utterances import Utterance, utterances
from schemas.finding import Finding
from schemas.transcript import Transcript

LANGUAGE_NOT_SUPPORTED = "language_not_supported"


@dataclass(frozen=True)
class SensitiveWordsDetector:
    """One finding for each forbidden word that the agent claims; negated, asked and quoted ones are none.

    `sensitive_words` counts them. It is not measured where there is speech of an unknown speaker, which is not guessed
    to be the agent's. `attributes`: `segment_id`, `match_start`, `match_end`; `word` as the lexicon has it; `lexicon`;
    `advice` for the agent; and `last_segment_id`, `last_match_end` where the words go on in a later segment.
    `confidence` is the share of letters written as in the lexicon: below 1, the word was recognised by its sound.
    """

    name: ClassVar[str] = "sensitive_words"
    measures: ClassVar[tuple[str, ...]] = ("sensitive_words",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    lexicons: Lexicons

    def process(self, case: Case) -> Iterable[Result]:
        transcript = case.transcript
        if not any(segment.text.strip() for segment in transcript.segments):
            return [NotMeasured("sensitive_words", NO_SPEECH)]
        matcher = self.lexicons.matcher(transcript.language, transcript.call.industry)
        if matcher is None:
            return [NotMeasured("sensitive_words", LANGUAGE_NOT_SUPPORTED)]
        findings = tuple(_findings(transcript, matcher))
        if any(segment.role == "unknown" and segment.text.strip() for segment in transcript.segments):
            return [*findings, NotMeasured("sensitive_words", SPEAKER_UNKNOWN)]
        return [*findings, Measure("sensitive_words", len(findings))]


def _findings(transcript: Transcript, matcher: Matcher) -> Iterator[Finding]:
    for utterance in utterances(transcript.segments, "agent"):
        for hit in matcher.find(utterance.normalized):
            if hit.stance == "claimed":
                yield _finding(transcript, utterance, hit)


def _finding(transcript: Transcript, utterance: Utterance, hit: Hit) -> Finding:
    start, end = utterance.normalized.source_span(hit.start, hit.end)
    place = utterance.place(start, end)
    start_ms, end_ms = utterance.time_ms(start, end)
    rule, lexicon = hit.term.rule, hit.term.lexicon
    attributes: dict[str, str | int | float | bool] = {
        "segment_id": place.segment_id,
        "match_start": place.start,
        "match_end": place.end,
        "word": hit.term.word,
        "lexicon": lexicon.lexicon,
        "advice": rule.advice,
    }
    if place.last_segment_id != place.segment_id:
        attributes |= {"last_segment_id": place.last_segment_id, "last_match_end": place.last_end}
    return Finding(
        finding_id=finding_id(
            transcript,
            SensitiveWordsDetector.name,
            hit.term.rule_id,
            str(lexicon.version),
            f"{place.segment_id}:{place.start}-{place.last_segment_id}:{place.last_end}",
        ),
        detector=SensitiveWordsDetector.name,
        rule_id=hit.term.rule_id,
        rule_version=str(lexicon.version),
        category=rule.category,
        role=utterance.role,
        start_ms=start_ms,
        end_ms=end_ms,
        quote=utterance.quote(start, end),
        matched=utterance.text[start:end],
        severity=rule.severity,
        score_delta=rule.score_delta,
        confidence=hit.confidence,
        attributes=attributes,
    )


def detector(context: DetectorContext) -> SensitiveWordsDetector:
    """With the lexicons of the judge."""
    return SensitiveWordsDetector(context.lexicons)
