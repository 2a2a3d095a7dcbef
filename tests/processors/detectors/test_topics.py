"""Topics come from reading where the reader knows them, and from phrases where it does not or may not read."""

import logging
import shutil
from pathlib import Path

import pytest

from processors.detectors.base.contract import DetectorContext
from processors.detectors.reading import ReadingSettings
from processors.detectors.topics import (
    TopicsDetector,
    detector,
    most_telling,
    not_too_many,
    phrases_said,
    topics_by_phrase,
)
from processors.judging.call_context import CallContext
from processors.reading.call_reader import WEIGHTS
from processors.reading.topic_heads import SAID_OFTEN, TOPICS_FILE
from processors.rules.conditions import RuleHit
from schemas.messages.call_analysis import TopicMention
from schemas.messages.transcript import Transcript
from tests.processors.transcripts import heard, said
from tests.support.reading import as_of_an_earlier_release
from tests.support.shipped_rules import shipped_rules

READS = detector(DetectorContext(shipped_rules()))
BY_PHRASE = detector(DetectorContext(shipped_rules(), (ReadingSettings(reading=False),)))
SLOW = said(
    ("agent", "您好，请问有什么可以帮您"),
    ("customer", "我买的东西都八天了，一直停在中转站，物流也不更新，到底什么时候能到啊"),
    ("agent", "不好意思，我帮您催一下快递"),
    industry="ecommerce",
)


def mentions(topics: TopicsDetector, transcript: Transcript) -> list[TopicMention]:
    return [one for one in topics.process(CallContext(transcript)) if isinstance(one, TopicMention)]


def test_what_was_read_says_so_and_how_sure_it_is() -> None:
    found = mentions(READS, SLOW)
    assert [one.name for one in found][:1] == ["物流延迟"]
    assert READS.reader is not None
    for one in found:
        assert one.model == READS.reader.version
        assert READS.reader.threshold - 0.0001 <= one.confidence < 1
        assert any(one.quote in segment.text for segment in SLOW.segments)
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)


def test_phrases_decide_alone_where_reading_is_switched_off() -> None:
    found = mentions(BY_PHRASE, SLOW)
    assert "物流延迟" in [one.name for one in found]
    assert {(one.model, one.confidence) for one in found} == {(None, 1.0)}


def test_phrases_decide_alone_where_speakers_are_not_told_apart() -> None:
    unknown = heard([("unknown", 0, 4_000, "我的快递一直没更新，到现在还没收到")], industry="ecommerce")
    assert {one.model for one in mentions(READS, unknown)} == {None}


def test_topics_of_an_earlier_release_are_read_by_the_shipped_heads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in WEIGHTS.glob("*.npz"):
        shutil.copy(file, tmp_path)
    as_of_an_earlier_release(tmp_path / TOPICS_FILE.name)
    with caplog.at_level(logging.WARNING):
        own = detector(DetectorContext(shipped_rules(), (ReadingSettings(reading_weights=tmp_path),)))
    assert mentions(own, SLOW) == mentions(READS, SLOW)
    assert "topics.npz was made for another version of callstream" in caplog.text


@pytest.mark.parametrize(
    ("specific", "general", "named"),
    [
        pytest.param(0.9, 0.9, "物流延迟", id="as likely"),
        pytest.param(0.8, 0.9, "物流延迟", id="somewhat less likely"),
        pytest.param(0.4, 0.9, "物流查询", id="far less likely"),
        pytest.param(1.0, 1.0, "物流延迟", id="both by their phrases"),
    ],
)
def test_a_more_specific_topic_takes_the_place_of_a_general_one_unless_it_is_far_less_likely(
    specific: float, general: float, named: str
) -> None:
    context = CallContext(SLOW)
    book = READS.rulebooks.of(context)
    assert book is not None
    confidence_of = {"物流延迟": specific, "物流查询": general}
    found = {
        topic_id: (topic, RuleHit(hit.passage, hit.start, hit.end, hit.matched, confidence_of[topic.entry.name]))
        for topic_id, (topic, hit) in topics_by_phrase(book.topics, book.hearing(context)).items()
        if topic.entry.name in confidence_of
    }
    assert len(found) == 2
    assert [topic.entry.name for topic, _ in most_telling(found, {})] == [named]


@pytest.mark.parametrize(
    ("phrases", "named"),
    [
        pytest.param({"物流查询": SAID_OFTEN}, {"物流查询"}, id="said often, the specific one not"),
        pytest.param({"物流查询": SAID_OFTEN, "物流延迟": 1}, {"物流延迟"}, id="a phrase of both"),
        pytest.param({"物流查询": SAID_OFTEN - 1}, {"物流延迟"}, id="not said so often"),
    ],
)
def test_a_topic_that_was_said_often_takes_the_place_of_a_more_specific_one_that_was_only_read(
    phrases: dict[str, int], named: set[str]
) -> None:
    context = CallContext(SLOW)
    book = READS.rulebooks.of(context)
    assert book is not None
    found = {
        topic_id: one
        for topic_id, one in topics_by_phrase(book.topics, book.hearing(context)).items()
        if one[0].entry.name in ("物流延迟", "物流查询")
    }
    assert {topic.entry.name for topic, _ in most_telling(found, phrases)} == named


def test_a_third_topic_is_believed_where_it_was_said_often_or_reading_does_not_decide() -> None:
    def named(name: str, confidence: float, model: str | None = "heads") -> TopicMention:
        return TopicMention(
            topic_id=f"t.{name}", name=name, role="customer", quote="", confidence=confidence, model=model
        )

    of_rule = named("own", 1.0, None)
    first, second, third, often = named("a", 0.9), named("b", 0.8), named("c", 0.7), named("d", 0.6)
    found = list(not_too_many([of_rule, first, second, third, often], {"c": SAID_OFTEN - 1, "d": SAID_OFTEN}))
    assert found == [of_rule, first, second, often]
    assert list(not_too_many([often, first, second], {"d": SAID_OFTEN})) == [often, first, second]


def test_phrases_that_overlap_are_one() -> None:
    context = CallContext(said(("customer", "我要退货，退货，全额退款，我要退货"), industry="ecommerce"))
    book = READS.rulebooks.of(context)
    assert book is not None
    hearing = book.hearing(context)
    assert phrases_said(topics_by_phrase(book.topics, hearing).values(), hearing)["退款退货"] == 4
