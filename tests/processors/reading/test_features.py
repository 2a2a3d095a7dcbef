"""Rows of n-grams: several kinds in one pass, and what heads make of them."""

import numpy as np
import pytest

from processors.reading.call_reader import CallReader
from processors.reading.features import (
    OWN_SOUND,
    Said,
    call_rows,
    calls_of,
    rows_of,
    topic_rows,
    utterance_rows,
    utterances_of,
)
from processors.reading.topic_heads import TopicHeads
from processors.text.syllables import as_it_sounds

CALL = (
    Said("agent", "您好请问有什么可以帮您"),
    Said("customer", "我要退款"),
    Said("customer", "退款退款"),
    Said("agent", ""),
    Said("agent", "好的马上给您退款"),
)


def test_several_kinds_in_one_pass_are_what_they_are_one_by_one() -> None:
    reader = CallReader.load()
    together = rows_of(
        [
            utterances_of(CALL, "agent", reader.agent.idf),
            utterances_of(CALL, "customer", None),
            calls_of([CALL], reader.call.idf),
        ]
    )
    apart = (
        utterance_rows(CALL, "agent", reader.agent.idf),
        utterance_rows(CALL, "customer", None),
        call_rows([CALL], reader.call.idf),
    )
    assert [rows.height for rows in together] == [3, 2, 1]
    for one, other in zip(together, apart, strict=True):
        assert [part.tolist() for part in one[:3]] == [part.tolist() for part in other[:3]]


def test_rows_come_in_their_order_with_the_length_of_their_blocks() -> None:
    rows = utterance_rows(CALL, "agent", None)
    assert np.all(np.diff(rows.rows) >= 0)
    # What is said, what the other side says before and after it, and what is said as it sounds, has the lengths 1, 0.4,
    # 0.4 and 0.6; where nothing is said the edges of the text remain.
    squares = np.bincount(rows.rows, rows.values.astype(np.float64) ** 2, minlength=rows.height)
    assert squares.tolist() == pytest.approx([1 + 0.16 + 0.16 + 0.36] * 3)


def test_what_is_misheard_shares_what_it_sounds_like_with_what_was_said() -> None:
    said, misheard, other = (
        dict(zip(rows.columns.tolist(), rows.values.tolist(), strict=True))
        for rows in (
            utterance_rows([Said("agent", text)], "agent", None) for text in ("保本保息", "宝苯包西", "退款退货")
        )
    )
    alike, unlike = (sum(said[column] * one.get(column, 0) for column in said) for one in (misheard, other))
    assert alike - unlike > OWN_SOUND.weight**2
    assert as_it_sounds("保本保息,a1") == as_it_sounds("宝苯包西,a1")
    assert as_it_sounds("保本保息,a1")[4:] == ",a1"


def test_of_no_text_there_are_no_rows() -> None:
    agent, customer = rows_of([utterances_of((), "agent", None), utterances_of((), "customer", None)])
    assert agent.height == customer.height == len(agent.values) == len(customer.values) == 0


def test_some_heads_alone_say_what_they_say_among_all() -> None:
    heads = TopicHeads.load().heads
    rows = topic_rows([CALL, CALL[:2]], heads.idf)
    assert heads.log_odds(rows, [7, 3]).tolist() == heads.log_odds(rows)[:, [7, 3]].tolist()
