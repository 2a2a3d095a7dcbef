"""Stretches of speech: when their characters were said."""

from itertools import pairwise

import pytest

from processors.text.utterances import Utterance
from schemas.messages.transcript import Segment, Word

Timed = tuple[int, int, str]


def utterance(text: str, *words: Timed) -> Utterance:
    spoken = tuple(Word(start_ms=start, end_ms=end, text=said, confidence=1) for start, end, said in words)
    segment = Segment(
        segment_id=0, channel=0, role="agent", start_ms=1_000, end_ms=2_000, text=text, words=spoken, confidence=1
    )
    return Utterance("agent", (segment,))


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        pytest.param(
            "您好再见", [(1_100, 1_400, "您好"), (1_500, 1_900, "再见")], (1_500, 1_900), id="words_as_the_text"
        ),
        pytest.param("您好 再见", [(1_100, 1_400, "您好"), (1_500, 1_900, " 再见")], (1_500, 1_900), id="with_spaces"),
        pytest.param(
            "您好，再见", [(1_100, 1_400, "您好"), (1_500, 1_900, "再见")], (1_500, 1_900), id="a_mark_is_no_word"
        ),
        pytest.param("您好再见", [(1_100, 1_400, "您好")], (1_500, 2_000), id="not_in_words_by_its_share"),
        pytest.param("您好再见", [], (1_500, 2_000), id="no_words"),
    ],
)
def test_the_time_of_words(text: str, words: list[Timed], expected: tuple[int, int]) -> None:
    start = text.index("再")
    assert utterance(text, *words).time_ms(start, start + 2) == expected


def test_nothing_is_said_outside_of_the_bounds_not_even_words_that_stand_outside_of_their_segment() -> None:
    assert utterance("您好再见", (900, 1_400, "您好"), (1_500, 2_300, "再见")).bounds_ms == (900, 2_300)
    assert utterance("您好再见", (1_100, 1_400, "您好")).bounds_ms == (1_000, 2_000)


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [
        pytest.param("保本", "这款保本。", id="between_two_ends"),
        pytest.param("您好", "您好！", id="at_the_start"),
        pytest.param("再见", "再见", id="without_an_end"),
    ],
)
def test_the_sentence_around_a_quote(quoted: str, expected: str) -> None:
    text = "您好！这款保本。再见"
    start = text.index(quoted)
    assert utterance(text).quote(start, start + len(quoted)) == expected


def test_clauses_begin_after_marks_and_after_pauses() -> None:
    said = utterance("您好，那个").segments + utterance("我们保本。不用").segments + utterance("担心").segments
    text = Utterance("agent", said)
    letters = text.normalized.letters
    pieces = [letters[start:end] for start, end in pairwise([*text.clause_starts, len(letters)])]
    assert pieces == ["您好", "那个", "我们保本", "不用", "担心"]
