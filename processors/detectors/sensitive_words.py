"""What the agent must not say (R41, R49): the sensitive words of the packs that apply to the call."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import finding_in_words
from processors.detectors.base.rule_detector import LANGUAGE_NOT_SUPPORTED
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.rules.rulebook import Rulebook, Rulebooks
from processors.rules.word_matcher import WordHit, keep_claimed
from processors.text.conversation import NO_SPEECH, SPEAKER_UNKNOWN
from processors.text.passages import Passage
from schemas.messages.finding import Finding


@dataclass(frozen=True)
class SensitiveWordsDetector:
    """One finding for each forbidden word that the agent claims; negated, asked and quoted ones are none.

    `sensitive_words` counts them. It is not measured where there is speech of an unknown speaker, which is not guessed
    to be the agent's. `attributes`: `segment_id`, `match_start`, `match_end`; `word` as the rule has it; `pack`;
    `advice` for the agent; and `last_segment_id`, `last_match_end` where the words go on in a later segment.
    `confidence` is the share of letters written as in the rule: below 1, the word was recognised by its sound.
    """

    name: ClassVar[str] = "sensitive_words"
    measures: ClassVar[tuple[str, ...]] = ("sensitive_words",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    rulebooks: Rulebooks

    def process(self, context: CallContext) -> Iterable[Result]:
        spoken = context.spoken
        if spoken.is_silent:
            return [NotMeasured("sensitive_words", NO_SPEECH)]
        book = self.rulebooks.of(context)
        if book is None:
            return [NotMeasured("sensitive_words", LANGUAGE_NOT_SUPPORTED)]
        findings = tuple(_findings(context, book))
        if context.why_not_told_apart == SPEAKER_UNKNOWN:
            return [*findings, NotMeasured("sensitive_words", SPEAKER_UNKNOWN)]
        return of_sides(context, [*findings, Measure("sensitive_words", len(findings))])


def _findings(context: CallContext, book: Rulebook) -> Iterator[Finding]:
    spoken = context.spoken
    for passage, places in zip(spoken.passages, spoken.places(book.index), strict=True):
        if passage.role == "agent":
            text = passage.utterance.normalized
            for hit in keep_claimed(book.words.find(text, places, context.transcript.call.course_type)):
                yield _finding(context, passage, text.source_span(hit.start, hit.end), hit)


def _finding(context: CallContext, passage: Passage, span: tuple[int, int], hit: WordHit) -> Finding:
    rule, pack = hit.term.rule, hit.term.pack
    return finding_in_words(
        context.transcript,
        passage,
        span,
        detector=SensitiveWordsDetector.name,
        rule_id=hit.term.rule_id,
        rule_version=str(pack.version),
        category=rule.category,
        severity=rule.severity,
        score_delta=rule.score_delta,
        confidence=hit.confidence,
        attributes={"word": hit.term.phrase.text, "pack": pack.pack, "advice": rule.advice}
        | ({"name": rule.name} if rule.name else {}),
    )


def detector(context: DetectorContext) -> SensitiveWordsDetector:
    """The detector, with the rules in force."""
    return SensitiveWordsDetector(context.rulebooks)
