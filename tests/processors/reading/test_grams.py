"""Texts as hashed n-grams: none reaches over the end of its text, and the same text gives the same grams."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from processors.reading.grams import BUCKETS, grams_of, weigh_letters

TEXTS = st.lists(st.text(alphabet="你好吗退款ab1\U0001f600", max_size=12), max_size=6)


def counted(texts: list[str], lengths: tuple[int, ...] = (1, 2, 3), gaps: tuple[int, ...] = ()) -> list[dict[int, int]]:
    """For each text, bucket → count."""
    grams = grams_of(texts, lengths, 0, gaps)
    found: list[dict[int, int]] = [{} for _ in texts]
    for text, bucket, count in zip(grams.texts.tolist(), grams.buckets.tolist(), grams.counts.tolist(), strict=True):
        found[text][bucket] = count
    return found


@given(TEXTS)
def test_each_text_has_the_grams_that_it_has_alone(texts: list[str]) -> None:
    assert counted(texts) == [counted([text])[0] for text in texts]
    assert counted(texts, (), (1, 2)) == [counted([text], (), (1, 2))[0] for text in texts]


@given(TEXTS)
def test_there_are_as_many_as_its_length_says(texts: list[str]) -> None:
    # With its two edges a text of n letters has n + 2, n + 1 and n grams of one, two and three.
    assert [sum(one.values()) for one in counted(texts)] == [3 * len(text) + 3 for text in texts]


def test_a_pair_with_a_gap_is_the_same_whatever_stands_between() -> None:
    (pair,) = set(counted(["退了款"], (), (1,))[0]) & set(counted(["退的款"], (), (1,))[0])
    assert pair not in counted(["退款", "退了的款"], (1, 2, 3), (1,))[0] | counted(["款了退"], (1, 2, 3), (1, 2))[0]
    assert pair not in counted(["退了的款"], (), (2,))[0]
    assert counted(["", "好"], (), (2,)) == [{}, {}]


def test_order_and_salt_matter() -> None:
    assert counted(["退款"]) != counted(["款退"])
    assert set(grams_of(["退款"], (2,), 0).buckets.tolist()) != set(grams_of(["退款"], (2,), 1).buckets.tolist())


def test_a_text_without_letters_has_only_its_edges() -> None:
    assert sum(counted([""], (1,))[0].values()) == 2
    assert counted([""], (3,)) == [{}]
    assert counted([]) == []


def test_buckets_are_within_the_table() -> None:
    buckets = grams_of(["今天天气不错" * 50], (1, 2, 3, 4), 2).buckets
    assert (buckets.min() >= 0, buckets.max() < BUCKETS) == (True, True)


def test_each_gram_shares_its_weight_out_among_its_letters() -> None:
    def only(word: str) -> list[float]:
        (wanted,) = set(grams_of([f"x{word}x"], (2,), 0).buckets.tolist()) - set(
            grams_of([f"x{word[0]}", f"{word[1]}x"], (2,), 0).buckets.tolist()
        )
        weights = weigh_letters(["不退款了"], (2,), 0, lambda buckets: (buckets == wanted).astype(np.float32))
        found: list[float] = weights[0].tolist()
        return found

    assert only("退款") == [0, 0.5, 0.5, 0]


def test_a_pair_with_a_gap_gives_nothing_to_what_stands_between() -> None:
    (wanted,) = set(counted(["退了款"], (), (1,))[0]) & set(counted(["退的款"], (), (1,))[0])

    def weight_of(buckets: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (buckets == wanted).astype(np.float32)
        return found

    assert weigh_letters(["不退了款"], (2,), 0, weight_of, (1,))[0].tolist() == [0, 0.5, 0, 0.5]


def test_letters_weigh_the_same_beside_other_texts() -> None:
    """Many texts at once give what each gives alone, the empty one and the short one too."""
    texts = ["不退款了", "", "好", "退款什么时候到账"]

    def weight_of(buckets: NDArray[np.int64]) -> NDArray[np.float32]:
        return (buckets % 7).astype(np.float32)

    together = weigh_letters(texts, (1, 2, 3), 0, weight_of)
    assert [len(one) for one in together] == [len(text) for text in texts]
    for text, one in zip(texts, together, strict=True):
        assert one.tolist() == weigh_letters([text], (1, 2, 3), 0, weight_of)[0].tolist()
