"""Misheard characters are put right by what is usually said before and after, and nothing else is touched."""

from itertools import product
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.listening.respelling import (
    ALPHABET,
    EDGES,
    LEAST_PRICE,
    NEVER_CHANGED,
    PRICE_OF_A_DRAW,
    STEPS_PER_NAT,
    SpellingWeightsError,
    load_spelling,
    price_of,
)
from processors.text.phonetic import USUAL_MERGERS, Sounds
from processors.text.syllables import syllables
from training.spelling import train

SHIPPED = load_spelling()
SOUNDS = Sounds(USUAL_MERGERS)
SAID = (
    *("我要退款", "我要退款", "我要退课", "我的优惠券", "我的优惠券怎么领", "退款券", "我的手机坏了", "手机坏了"),
    *("要不要退", "不要退款", "我有两张券", "优惠有两天", "退款要两天"),
)
SMALL = train(SAID)
SURE = 0.4
HAN = st.text(alphabet="我要药腰退推款课可优有又惠会汇券圈劝不部步两良凉手首机鸡坏怀", max_size=7)


def sounds_of(letter: str) -> set[str]:
    return {SOUNDS.merge(one) for one in syllables().get(letter, ())}


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("这个号的优惠圈怎么领", "这个号的优惠券怎么领"),
        ("您好，请问有什么可以帮您，工号8023", "您好，请问有什么可以帮您，工号8023"),
        ("我现在要申请推换货", "我现在要申请退换货"),
        ("I want a refund", "I want a refund"),
        ("", ""),
    ],
)
def test_what_was_misheard_is_put_right_and_the_rest_stays(heard: str, said: str) -> None:
    assert SHIPPED.respell(heard, [0.6] * len(heard)) == said


def test_what_the_recogniser_is_sure_of_stays() -> None:
    heard = "您打负可以吗"
    assert SHIPPED.respell(heard, [0.3] * len(heard)) != heard
    assert SHIPPED.respell(heard, [0.9999] * len(heard)) == heard
    assert price_of(0.9999) == price_of(1) > price_of(0.9) > price_of(0.5) == PRICE_OF_A_DRAW
    assert price_of(0) == price_of(0.01) == LEAST_PRICE


@given(st.one_of(HAN, st.text(max_size=12)), st.floats(0, 1))
def test_a_text_keeps_its_length_its_sounds_its_negations_and_its_numerals(heard: str, sure: float) -> None:
    for model in (SHIPPED, SMALL):
        said = model.respell(heard, [sure] * len(heard))
        assert len(said) == len(heard)
        for before, after in zip(heard, said, strict=True):
            if before != after:
                assert sounds_of(before) & sounds_of(after)
                assert not {before, after} & NEVER_CHANGED


def probability(before: str, letter: str) -> float:
    """Of a letter after at most two others, by the counts of `SAID`; of three in a row only those seen twice count."""
    rows = [EDGES[0] + text + EDGES[1] for text in SAID]
    alphabet = {letter for row in rows for letter in row}
    if not before:
        counted = sum(len(row) for row in rows) - len(rows)
        return (sum(row.count(letter) for row in rows) + 0.5) / (counted + len(alphabet) / 2)
    length, least = len(before) + 1, 2 if len(before) == 2 else 1
    pieces = [row[place : place + length] for row in rows for place in range(len(row) - length + 1)]
    following = [piece[-1] for piece in pieces if piece[:-1] == before and pieces.count(piece) >= least]
    shorter = probability(before[1:], letter)
    if not following:
        return shorter
    return (following.count(letter) + len(set(following)) * shorter) / (len(following) + len(set(following)))


@given(st.text(alphabet="我要退款课可优有惠会券圈", min_size=1, max_size=5))
def test_the_spelling_is_the_most_probable_of_all(heard: str) -> None:
    """Every spelling is tried; logarithms in bytes are wrong by a twelfth of a nat for each letter at most."""
    letters = {letter for text in SAID for letter in text}

    def score(spelling: tuple[str, ...]) -> float:
        row = EDGES[0] + "".join(spelling) + EDGES[1]
        price = price_of(SURE) * sum(one != other for one, other in zip(heard, spelling, strict=True))
        return sum(log(probability(row[max(0, at - 2) : at], row[at])) for at in range(1, len(row))) - price

    choices = [
        [letter, *(other for other in sorted(letters) if other != letter and sounds_of(other) & sounds_of(letter))]
        if letter not in NEVER_CHANGED
        else [letter]
        for letter in heard
    ]
    if not all(letter in letters for letter in heard):
        return  # of a letter that the model does not know it believes what it does of the rarest
    best = max(map(score, product(*choices)))
    assert score(tuple(SMALL.respell(heard, [SURE] * len(heard)))) >= best - (len(heard) + 1) * 3 / STEPS_PER_NAT


def test_the_same_text_teaches_the_same_model_and_a_file_gives_it_back(tmp_path: Path) -> None:
    SMALL.save(tmp_path / "spelling.npz")
    again = load_spelling(tmp_path / "spelling.npz")
    assert again.version == SMALL.version == train(SAID).version != SHIPPED.version
    assert np.array_equal(again.triples, SMALL.triples)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_file_that_is_no_model_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "spelling.npz").write_bytes(content)
    with pytest.raises(SpellingWeightsError, match="make heads"):
        load_spelling(tmp_path / "spelling.npz")


def test_the_shipped_model_knows_no_more_letters_than_fit_into_a_key() -> None:
    assert len(set(SHIPPED.letters)) == len(SHIPPED.letters) <= ALPHABET
