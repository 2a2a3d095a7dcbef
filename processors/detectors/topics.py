"""What the call is about: the demands of the taxonomy (R60, R61), by phrases, by reading, by what sentences mean."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, Result
from processors.detectors.base.rule_detector import applies, ask_rules
from processors.detectors.reading import ReadingSettings, own_or_shipped, why_not_read
from processors.judging.call_context import CallContext
from processors.reading.call_reader import WEIGHTS
from processors.reading.features import Said
from processors.reading.topic_heads import MOST_READ, SAID_OFTEN, TOPICS_FILE, TopicHeads
from processors.rules.conditions import Hearing, RuleHit, order
from processors.rules.rulebook import Compiled, Rulebook, Rulebooks
from processors.text.passages import Passage
from processors.text.sentences import Meanings, SentenceModel
from schemas.config.rule_pack import TopicRule
from schemas.messages.call_analysis import TopicMention

FAR_LIKELIER = 4
"""How many times as likely, by the odds, a topic must be to stand against a more specific one."""

_CERTAIN = 1 - 1e-6

TopicHit = tuple[Compiled[TopicRule], RuleHit]
"""A topic with the place that shows it first."""


@dataclass(frozen=True)
class TopicsDetector:
    """One mention for each demand, the likeliest first, with the sentence that shows it; `topics` counts them. A demand
    that says more takes the place of the ones that it names in `instead_of`.

    Of the demands that the reader knows it decides, by all that was said and by whether a phrase was: `confidence` is
    its probability then, `model` its version; no more than two, but for those that were said often. Phrases alone
    decide of all others, and in calls that are not read: `confidence` is 1, or the phrase's own.

    With a sentence model, demands of which no phrase was said are found by sentences that mean the same; `confidence`
    is then the cosine between the two.
    """

    name: ClassVar[str] = "topics"
    measures: ClassVar[tuple[str, ...]] = ("topics",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = True

    rulebooks: Rulebooks
    reader: TopicHeads | None = None
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
        phrases = phrases_said(found.values(), hearing)
        read: dict[str, TopicHit] = {}
        if self.reader is not None and why_not_read(context) is None:
            read = topics_by_reading(self.reader, book.topics, hearing, found, phrases)
            known = frozenset(self.reader.names)
            found = {topic_id: one for topic_id, one in found.items() if one[0].entry.name not in known}
        version = self.reader.version if read and self.reader is not None else None
        mentions = [
            mention(topic, hit, version if topic.entry.id in read else None)
            for topic, hit in most_telling({**found, **read}, phrases)
        ]
        mentions.sort(key=lambda one: -one.confidence)
        mentions = list(not_too_many(mentions, phrases))
        return [*mentions, Measure("topics", len(mentions))]

    def _by_meaning(self, book: Rulebook, hearing: Hearing, model: SentenceModel) -> Iterable[TopicHit]:
        meanings = self._meanings.get(id(book))
        if meanings is None:
            meanings = self._meanings[id(book)] = Meanings(book.topics, model, self.sentence_min_cosine)
        hits = [hit for passage in hearing.spoken.passages if passage.role != "agent" for hit in _sentences(passage)]
        for alike in meanings.alike([hit.matched for hit in hits]):
            if alike.topic.entry.by != "agent" and applies(alike.topic, hearing):
                yield alike.topic, hits[alike.sentence]._replace(confidence=min(1.0, alike.cosine))


def not_too_many(mentions: Iterable[TopicMention], phrases: Mapping[str, int]) -> Iterator[TopicMention]:
    """The mentions, the likeliest first, without those that were only read beyond the first `MOST_READ` that were."""
    read = 0
    for one in mentions:
        if one.model is not None and phrases.get(one.name, 0) < SAID_OFTEN:
            if read >= MOST_READ:
                continue
            read += 1
        yield one


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
        if applies(topic, hearing) and (hits := _hits(topic, hearing)):
            found[topic.entry.id] = (topic, min(hits, key=order))
    return found


def phrases_said(topics: Iterable[TopicHit], hearing: Hearing) -> Counter[str]:
    """Name → how many phrases of a topic were said; those that overlap are one."""
    counts: Counter[str] = Counter()
    for topic, _ in topics:
        ends: dict[int, int] = {}
        said = 0
        for hit in sorted(_hits(topic, hearing), key=lambda hit: (hit.passage.number, hit.start, -hit.end)):
            if hit.start >= ends.get(hit.passage.number, 0):
                said += 1
                ends[hit.passage.number] = hit.end
        counts[topic.entry.name] = max(counts[topic.entry.name], said)
    return counts


def _hits(topic: Compiled[TopicRule], hearing: Hearing) -> list[RuleHit]:
    return [hit for path in ("phrases", "find") if path in topic.nodes for hit in hearing.look(topic.nodes[path]).hits]


def topics_by_reading(
    reader: TopicHeads,
    topics: Iterable[Compiled[TopicRule]],
    hearing: Hearing,
    by_phrase: Mapping[str, TopicHit],
    phrases: Mapping[str, int],
) -> dict[str, TopicHit]:
    """Id → the topics that are believed, each with the phrase that was said, or the words that speak most for it.

    `phrases` tells by name how many phrases of a topic were said.
    """
    passages = hearing.spoken.passages
    said = [Said(passage.role, passage.utterance.normalized.letters) for passage in passages]
    possible = [topic for topic in topics if applies(topic, hearing)]
    probabilities = reader.read(said, {topic.entry.name for topic in possible}, phrases)
    found: dict[str, TopicHit] = {}
    for topic in possible:
        probability = probabilities.get(topic.entry.name, 0.0)
        if probability < reader.threshold_of(phrases.get(topic.entry.name, 0)):
            continue
        confidence = round(probability, 4)
        if topic.entry.id in by_phrase:
            found[topic.entry.id] = (topic, by_phrase[topic.entry.id][1]._replace(confidence=confidence))
        elif (shown := reader.find_words(said, topic.entry.name)) is not None:
            passage = passages[shown.utterance]
            letters = said[shown.utterance].letters[shown.start : shown.end]
            found[topic.entry.id] = (topic, RuleHit(passage, shown.start, shown.end, letters, confidence))
    return found


def most_telling(found: Mapping[str, TopicHit], phrases: Mapping[str, int]) -> list[TopicHit]:
    """The topics without those that a more specific one covers, in the order in which they come up. A more specific
    one is passed over itself if it is far less likely than what it would take the place of, or if none of its own
    phrases was said, and of that so many that it is hardly said in passing.
    """
    outdone = set()
    for topic_id, (topic, hit) in found.items():
        for other in topic.entry.instead_of:
            if other in found and (
                _odds(found[other][1]) > FAR_LIKELIER * _odds(hit) or _is_said_often(found[other][0], topic, phrases)
            ):
                outdone.add(topic_id)
            else:
                outdone.add(other)
    return sorted(
        (one for topic_id, one in found.items() if topic_id not in outdone),
        key=lambda one: (order(one[1]), one[0].rule_id),
    )


def _is_said_often(one: Compiled[TopicRule], specific: Compiled[TopicRule], phrases: Mapping[str, int]) -> bool:
    return phrases.get(one.entry.name, 0) >= SAID_OFTEN and not phrases.get(specific.entry.name, 0)


def _odds(hit: RuleHit) -> float:
    confidence = min(hit.confidence, _CERTAIN)
    return confidence / (1 - confidence)


def mention(topic: Compiled[TopicRule], hit: RuleHit, model: str | None = None) -> TopicMention:
    """A topic with the sentence that shows it, and the version of what has read it."""
    return TopicMention(
        topic_id=topic.rule_id,
        name=topic.entry.name,
        role=hit.passage.role,
        quote=hit.passage.utterance.quote(*hit.span),
        confidence=hit.confidence,
        model=model,
    )


@cache
def _reader(file: Path) -> TopicHeads:
    """Read once a process: judges are made anew with every version of the rules. Raises `ReadingWeightsError`."""
    return own_or_shipped(TopicHeads.load, file, TOPICS_FILE)


def detector(context: DetectorContext) -> TopicsDetector:
    """The detector, with the rules in force, the heads of the settings, the sentence model. Raises
    `ReadingWeightsError`."""
    settings = context.part(ReadingSettings)
    own = (settings.reading_weights or WEIGHTS) / TOPICS_FILE.name
    reader = _reader(own if own.is_file() else TOPICS_FILE) if settings.reading else None
    return TopicsDetector(context.rulebooks, reader, context.sentence_model, context.sentence_min_cosine)
