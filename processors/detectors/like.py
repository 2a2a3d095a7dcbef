"""Rules with `like:`: sentences that are like the examples of a rule, as suspicions beside what rules know."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import finding_in_words
from processors.detectors.base.rule_detector import (
    NOT_APPLICABLE,
    Doubt,
    applies,
    ask_rules,
    lacks_times,
    occasions,
    rule_attributes,
)
from processors.detectors.reading import SUSPECTED
from processors.detectors.threats import doubt_of
from processors.judging.call_context import CallContext
from processors.rules.conditions import RuleHit
from processors.rules.likeness import likeness_version
from processors.rules.rulebook import Compiled, Rulebooks
from schemas.config.rule_pack import ConversationRule
from schemas.messages.finding import Finding


@dataclass(frozen=True)
class LikeDetector:
    """`like_suspicions` counts the turns in which a sentence is like an example of a rule; null where no rule with
    `like:` is for the call, or agent and customer are not told apart where a rule asks who speaks.

    Findings are suspicions, as those of reading: `suspected_…` with the category of the rule, of severity `info`, worth
    no points. `confidence` is the similarity, which is no probability; `attributes` has the `example` and the `model`.
    """

    name: ClassVar[str] = "like"
    measures: ClassVar[tuple[str, ...]] = ("like_suspicions",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    rulebooks: Rulebooks
    doubt: Doubt | None = None

    def process(self, context: CallContext) -> Iterable[Result]:
        ready = ask_rules(context, self.rulebooks, self.measures)
        if isinstance(ready, list):
            return ready
        book, hearing = ready
        occasion = occasions(book, hearing, context, self.doubt) if book.suspecting else hearing
        results: list[Result] = []
        asked = False
        reason = NOT_APPLICABLE
        for rule in book.suspecting:
            if lacks_times(rule, hearing, context):
                continue
            if context.why_not_told_apart is not None and rule.asks_who_speaks:
                reason = context.why_not_told_apart
            elif applies(rule, occasion):
                asked = True
                hits = hearing.look(rule.nodes["find"]).hits
                results += [_suspicion(context, rule, hit) for hit in (hits if rule.entry.each_hit else hits[:1])]
        measure = Measure("like_suspicions", len(results)) if asked else NotMeasured("like_suspicions", reason)
        return [*results, measure]


def _suspicion(context: CallContext, rule: Compiled[ConversationRule], hit: RuleHit) -> Finding:
    return finding_in_words(
        context.transcript,
        hit.passage,
        hit.span,
        detector=LikeDetector.name,
        rule_id=rule.rule_id,
        rule_version=rule.rule_version,
        category=f"{SUSPECTED}{rule.entry.category}",
        severity="info",
        confidence=hit.confidence,
        attributes=rule_attributes(
            rule, example=hit.matched, similarity=hit.confidence, model=likeness_version(), advice=rule.entry.advice
        ),
    )


def detector(context: DetectorContext) -> LikeDetector:
    """The detector, with the rules in force. Raises `ReadingWeightsError`."""
    return LikeDetector(context.rulebooks, doubt_of(context))
