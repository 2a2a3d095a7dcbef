"""What the call is about: the demands of the taxonomy (R60, R61), by their phrases."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from processors.case import Case
from processors.conditions import Hearing, Hit
from processors.detectors import DetectorContext, Measure, Result
from processors.rule_detector import applies, hearing_of, not_measured
from processors.rulebook import Compiled, Rulebooks
from schemas.call_analysis import TopicMention
from schemas.rule_pack import Topic


@dataclass(frozen=True)
class TopicsDetector:
    """One mention for each demand, with the sentence that first shows it; `topics` counts them. A demand that says more
    takes the place of the ones that it names in `instead_of`.
    """

    name: ClassVar[str] = "topics"
    measures: ClassVar[tuple[str, ...]] = ("topics",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    rulebooks: Rulebooks

    def process(self, case: Case) -> Iterable[Result]:
        book = self.rulebooks.of(case)
        hearing = hearing_of(case, book)
        if isinstance(hearing, str):
            return not_measured(self.measures, hearing)
        assert book is not None, "there is a hearing"  # noqa: S101
        mentions = [mention(topic, hit) for topic, hit in found_topics(book.topics, hearing)]
        return [*mentions, Measure("topics", len(mentions))]


def found_topics(topics: Iterable[Compiled[Topic]], hearing: Hearing) -> list[tuple[Compiled[Topic], Hit]]:
    """The topics of a call in the order in which they come up, each with the place that shows it first."""
    found: dict[str, tuple[Compiled[Topic], Hit]] = {}
    for topic in topics:
        if not applies(topic, hearing):
            continue
        hits = [
            hit for path in ("phrases", "find") if path in topic.nodes for hit in hearing.look(topic.nodes[path]).hits
        ]
        if hits:
            found[topic.entry.id] = (topic, min(hits, key=lambda hit: (hit.time_ms[0], hit.start)))
    outdone = {other for topic, _ in found.values() for other in topic.entry.instead_of}
    return sorted(
        (one for topic_id, one in found.items() if topic_id not in outdone),
        key=lambda one: (one[1].time_ms[0], one[0].rule_id),
    )


def mention(topic: Compiled[Topic], hit: Hit) -> TopicMention:
    """A topic with the sentence around the place that shows it."""
    return TopicMention(
        topic_id=topic.rule_id,
        name=topic.entry.name,
        role=hit.turn.role,
        quote=hit.turn.utterance.quote(*hit.span),
        confidence=hit.confidence,
    )


def detector(context: DetectorContext) -> TopicsDetector:
    """With the rules of the judge."""
    return TopicsDetector(context.rulebooks)
