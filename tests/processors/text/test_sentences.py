from collections.abc import Sequence

import numpy as np
import pytest

from processors.detectors.topics import TopicsDetector
from processors.judging.call_context import CallContext
from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.rulebook import Rulebooks
from processors.text.sentences import SentenceModel, Vectors, universal_sentence_encoder
from schemas.messages.call_analysis import TopicMention
from tests.processors.rules.rule_packs import Line, called, pack_of
from tests.processors.transcripts import NOW


class SharedLetters:
    """A model that a person can follow: sentences are alike by the letters that they share."""

    name = "letters"

    def embed(self, sentences: Sequence[str]) -> Vectors:
        rows = np.zeros((len(sentences), 512), dtype=np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            for letter in set(sentence):
                row[ord(letter) % 512] = 1
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)


@pytest.fixture(scope="module", params=["letters", pytest.param("use", marks=pytest.mark.model)], ids=["fake", "real"])
def model(request: pytest.FixtureRequest) -> SentenceModel:
    return SharedLetters() if request.param == "letters" else universal_sentence_encoder()


class TestEveryModel:
    """The contract of `SentenceModel`."""

    def test_gives_one_row_of_length_one_for_each_sentence(self, model: SentenceModel) -> None:
        vectors = model.embed(["我的快递还没到", "我要退款", "x"])
        assert vectors.dtype == np.float32
        assert vectors.shape[0] == 3
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)

    def test_gives_the_same_for_the_same(self, model: SentenceModel) -> None:
        alone, among = model.embed(["我要退款"]), model.embed(["我的快递还没到", "我要退款"])
        assert np.allclose(alone[0], among[1], atol=1e-3)

    def test_puts_nearer_what_means_nearly_the_same(self, model: SentenceModel) -> None:
        refund, again, parcel = model.embed(["钱什么时候退给我", "退给我的钱什么时候到", "包裹送到哪里了"])
        assert refund @ again > refund @ parcel


PACK = pack_of(
    topics=[
        {
            "id": "refund_when",
            "name": "退款时间",
            "phrases": ["退款时效"],
            "sentences": ["钱什么时候退给我"],
            "match": ["退款时效"],
            "no_match": ["你好"],
        },
        {
            "id": "parcel",
            "name": "物流查询",
            "phrases": ["查物流"],
            "sentences": ["我的包裹送到哪里了"],
            "match": ["查物流"],
            "no_match": ["你好"],
        },
    ]
)


def topics(*lines: Line, min_cosine: float = 0.7) -> list[TopicMention]:
    detector = TopicsDetector(Rulebooks([PACK]), None, SharedLetters(), min_cosine)
    return [result for result in detector.process(CallContext(called(*lines))) if isinstance(result, TopicMention)]


def test_a_sentence_that_means_the_same_shows_the_topic_with_its_words_and_the_cosine() -> None:
    (mention,) = topics(("customer", "你好。钱什么时候能退给我？谢谢"))
    assert (mention.topic_id, mention.role, mention.quote) == ("own.refund_when", "customer", "钱什么时候能退给我？")
    assert 0.7 <= mention.confidence < 1


def test_a_phrase_goes_before_a_meaning() -> None:
    (mention,) = topics(("customer", "钱什么时候退给我。退款时效是多久"))
    assert (mention.quote, mention.confidence) == ("退款时效是多久", 1)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([("customer", "今天天气真不错呀")], id="something else"),
        pytest.param([("agent", "钱什么时候退给我")], id="said by the agent"),
        pytest.param([("customer", "退给我")], id="too short to compare"),
    ],
)
def test_what_does_not_mean_the_same_shows_nothing(lines: list[Line]) -> None:
    assert topics(*lines) == []


def test_the_model_is_named_with_the_rules() -> None:
    judge = Judge(JudgeSettings(sentence_model=SharedLetters()), rulebooks=Rulebooks([PACK]))
    assert judge.judge(called(("agent", "您好")), NOW).lexicon_version.endswith("+letters")
