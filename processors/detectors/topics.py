"""What the call is about: the demands of the taxonomy (R60, R61), by their phrases and by what sentences mean."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, Result
from processors.detectors.base.rule_detector import applies, ask_rules
from processors.judging.call_context import CallContext
from processors.rules.conditions import Hearing, RuleHit, order
from processors.rules.rulebook import Compiled, Rulebook, Rulebooks
from processors.text.passages import Passage
from processors.text.sentences import Meanings, SentenceModel
from schemas.config.rule_pack import TopicRule
from schemas.messages.call_analysis import TopicMention

TopicHit = tuple[Compiled[TopicRule], RuleHit]
"""A topic with the place that shows it first."""


@dataclass(frozen=True)
class TopicsDetector:
    """One mention for each demand, with the sentence that first shows it; `topics` counts them. A demand that says more
    takes the place of the ones that it names in `instead_of`.

    With a sentence model, demands of which no phrase was said are found by sentences that mean the same; `confidence`
    is then the cosine between the two.
    """

    name: ClassVar[str] = "topics"
    measures: ClassVar[tuple[str, ...]] = ("topics",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    rulebooks: Rulebooks
    sentence_model: SentenceModel | None = None
    sentence_min_cosine: float = 1.0
    _meanings: dict[int, Meanings] = field(default_factory=dict, compare=False, repr=False)

    def process(self, context: CallContext) -> Iterable[Result]:
        ready = ask_rules(context, self.rulebooks, self.measures)
        if isinstance(ready, list):
            return ready
        book, hearing = ready
        found = topics_by_phrase(book.topics, hearing)
        if self.sentence_model is not None:
            for topic, hit in self._by_meaning(book, hearing, self.sentence_model):
                found.setdefault(topic.entry.id, (topic, hit))
        mentions = [mention(topic, hit) for topic, hit in most_telling(found)]
        return [*mentions, Measure("topics", len(mentions))]

    def _by_meaning(self, book: Rulebook, hearing: Hearing, model: SentenceModel) -> Iterable[TopicHit]:
        meanings = self._meanings.get(id(book))
        if meanings is None:
            meanings = self._meanings[id(book)] = Meanings(book.topics, model, self.sentence_min_cosine)
        hits = [hit for passage in hearing.spoken.passages if passage.role != "agent" for hit in _sentences(passage)]
        for alike in meanings.alike([hit.matched for hit in hits]):
            if alike.topic.entry.by != "agent" and applies(alike.topic, hearing):
                yield alike.topic, hits[alike.sentence]._replace(confidence=min(1.0, alike.cosine))


def _sentences(passage: Passage) -> Iterator[RuleHit]:
    """The sentences of a turn."""
    normalized = passage.utterance.normalized
    for match in _SENTENCE.finditer(passage.utterance.text):
        start, end = normalized.letters_of(*match.span())
        if start < end:
            yield RuleHit(passage, start, end, match.group())


_SENTENCE = re.compile(r"[^。！？!?；;\n]+")


def topics_by_phrase(topics: Iterable[Compiled[TopicRule]], hearing: Hearing) -> dict[str, TopicHit]:
    """Id → the topics of which a phrase, or what they look for, was said."""
    found: dict[str, TopicHit] = {}
    for topic in topics:
        if not applies(topic, hearing):
            continue
        hits = [
            hit for path in ("phrases", "find") if path in topic.nodes for hit in hearing.look(topic.nodes[path]).hits
        ]
        if hits:
            found[topic.entry.id] = (topic, min(hits, key=order))
    return found


def most_telling(found: Mapping[str, TopicHit]) -> list[TopicHit]:
    """The topics without those that a more specific one covers, in the order in which they come up."""
    outdone = {other for topic, _ in found.values() for other in topic.entry.instead_of}
    return sorted(
        (one for topic_id, one in found.items() if topic_id not in outdone),
        key=lambda one: (order(one[1]), one[0].rule_id),
    )


def mention(topic: Compiled[TopicRule], hit: RuleHit) -> TopicMention:
    """A topic with the sentence that shows it."""
    return TopicMention(
        topic_id=topic.rule_id,
        name=topic.entry.name,
        role=hit.passage.role,
        quote=hit.passage.utterance.quote(*hit.span),
        confidence=hit.confidence,
    )


def detector(context: DetectorContext) -> TopicsDetector:
    """The detector, with the rules in force and the sentence model."""
    return TopicsDetector(context.rulebooks, context.sentence_model, context.sentence_min_cosine)
