"""The text head: what could have been heard, hashed; and what the shipped one makes of it."""

from dataclasses import replace

import pytest

from processors.emotion.heads import load_heads
from processors.emotion.text_head import gram_counts, spoken_characters


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        pytest.param("我不同意！", "我不同意", id="a recogniser writes punctuation or does not"),
        pytest.param("[泪]太差了", "太差了", id="an emoticon is written, not said"),
        pytest.param("//@某人:好 http://t.cn/abc", "好", id="names and addresses of a network"),
        pytest.param("OK 啦", "ok啦", id="letters in lower case"),
        pytest.param("這個東西壞了", "这个东西坏了", id="the transcript may be in traditional script"),
    ],
)
def test_only_what_can_be_said_counts(text: str, spoken: str) -> None:
    assert spoken_characters(text) == spoken


def test_grams_of_one_to_three_characters_are_counted_with_the_ends() -> None:
    # ^好的$ has 4 single characters, 3 pairs and 2 triples.
    assert sum(gram_counts("好的", 1 << 17).values()) == 9


def test_the_buckets_of_a_text_never_change() -> None:
    # The weights in the shipped file lie at these places: another hash would read noise.
    assert sorted(gram_counts("好！", 1 << 17)) == [19652, 50617, 68444, 78427, 103294, 105490]


@pytest.mark.parametrize("text", ["", "。", "嗯", "！？"])
def test_fewer_than_two_characters_say_nothing(text: str) -> None:
    assert load_heads().text.read(text) is None


def test_words_count_as_unpleasant_only_as_far_as_spoken_utterances_are_negative_with_them() -> None:
    head = load_heads().text
    text = "喂，你还在吗"
    doubted, believed = head.read(text), replace(head, negativity=None).read(text)

    assert doubted is not None
    assert believed is not None
    assert 0 < doubted.evidence < believed.evidence / 2
    assert believed.valence < doubted.valence < 0


def test_pleasant_words_are_what_they_are() -> None:
    head = load_heads().text

    assert head.read("好的，谢谢你") == replace(head, negativity=None).read("好的，谢谢你")


@pytest.mark.parametrize(
    ("agitated", "calm"),
    [
        ("你们这是骗人，气死我了", "好的，谢谢你"),
        ("什么破公司，太恶心了", "请问明天几点可以送到"),
        ("你们凭什么不给我退", "麻烦您帮我查一下"),
    ],
)
def test_the_shipped_head_finds_angry_words_more_agitated_than_calm_ones(agitated: str, calm: str) -> None:
    head = load_heads().text
    hot, cold = head.read(agitated), head.read(calm)

    assert hot is not None
    assert cold is not None
    assert hot.evidence > cold.evidence + 1
    assert hot.valence < cold.valence
    assert sum(hot.classes.values()) == pytest.approx(1)
