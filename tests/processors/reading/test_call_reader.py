"""Heads read a call: the same words give the same numbers, and files that do not fit are refused with a sentence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processors.reading.call_reader import (
    AGENT_HEADS,
    CALL_HEADS,
    CUSTOMER_HEADS,
    MAX_STRETCH_LETTERS,
    WEIGHTS,
    CallReader,
    CallReading,
    UtteranceReading,
    heaviest_stretch,
    shortest_passage,
)
from processors.reading.features import Said
from processors.reading.grams import BUCKETS
from processors.reading.heads import ReadingWeightsError, load_heads, log_odds_of, save_heads
from processors.text.normalized_text import normalize

READER = CallReader.load()
ANGRY = [
    Said("agent", "您好请问有什么可以帮您"),
    Said("customer", "你们到底管不管我都打了八遍电话了气死我了再不解决我就打12315投诉你们"),
    Said("agent", "您要投诉就去投诉吧爱找谁找谁"),
    Said("unknown", "嗯"),
]
CALM = [
    Said("agent", "您好请问有什么可以帮您"),
    Said("customer", "你好我想问一下我的快递到哪里了"),
    Said("agent", "好的您稍等我帮您查一下今天下午就会派送的"),
    Said("customer", "好的谢谢你再见"),
]


def test_several_doubtful_utterances_of_a_kind_make_it_likely_in_the_call() -> None:
    nothing = dict.fromkeys(AGENT_HEADS, 0.0)
    rude = UtteranceReading("agent", nothing | {"violation": 0.4, "rude": 0.3, "rights": 0.1})
    other = UtteranceReading("agent", nothing | {"violation": 0.2, "rights": 0.5})
    customer = UtteranceReading("customer", dict.fromkeys(CUSTOMER_HEADS, 0.9))
    kinds = CallReading({}, (rude, None, customer, rude, other)).kinds()
    assert kinds["rude"] == pytest.approx(1 - (1 - 0.4 * 0.75) ** 2)
    assert kinds["rights"] == pytest.approx(1 - (1 - 0.4 * 0.25) ** 2 * (1 - 0.2))
    assert kinds["threat"] == 0
    assert set(CallReading({}, ()).kinds().values()) == {0}


def test_an_angry_call_is_told_from_a_calm_one() -> None:
    angry, calm = READER.read(ANGRY).probabilities, READER.read(CALM).probabilities
    assert all(angry[head] > calm[head] for head in CALL_HEADS)
    assert angry["select"] > 0.5 > calm["select"]


def test_each_utterance_is_read_by_the_heads_of_its_side() -> None:
    agent, customer, _, unknown = READER.read(ANGRY).utterances
    assert agent is not None
    assert customer is not None
    assert tuple(agent.probabilities) == AGENT_HEADS
    assert tuple(customer.probabilities) == CUSTOMER_HEADS
    assert unknown is None
    assert customer.probabilities["threat"] > 0.5


def test_reading_is_repeatable() -> None:
    assert READER.read(ANGRY) == READER.read(ANGRY)


@pytest.mark.parametrize("said", [[], [Said("unknown", "你好")], [Said("agent", "")], [Said("customer", "")]])
def test_a_call_of_which_there_is_nothing_to_read_has_probabilities(said: list[Said]) -> None:
    reading = READER.read(said)
    assert set(reading.probabilities) == set(CALL_HEADS)
    assert all(0 <= probability <= 1 for probability in reading.probabilities.values())
    assert len(reading.utterances) == len(said)


def test_the_stretch_that_weighs_most_is_short_and_never_empty() -> None:
    letters = "您好" * 40 + "您要投诉就去投诉吧爱找谁找谁"
    start, end = READER.weightiest(letters, "violation")
    assert 0 <= start < end <= len(letters)
    assert end - start <= MAX_STRETCH_LETTERS


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param([-1, 1, 2, -9, 1], (1, 3), id="around the heaviest"),
        pytest.param([-3, -1, -2], (1, 2), id="the least bad of all that speak against it"),
        pytest.param([0.0, 0.0], (0, 1), id="nothing weighs"),
        pytest.param([1.0] * 60, (0, MAX_STRETCH_LETTERS), id="no longer than is shown"),
    ],
)
def test_the_heaviest_stretch(weights: list[float], expected: tuple[int, int]) -> None:
    assert heaviest_stretch(np.array(weights, dtype=np.float32)) == expected


@pytest.mark.parametrize(
    ("weights", "clauses", "expected"),
    [
        pytest.param([0.1] * 6 + [1] * 5 + [0.1] * 9, [6, 11], (6, 11), id="a clause"),
        pytest.param([0.1] * 3 + [1] * 3 + [1] * 3 + [0.1] * 9, [3, 6, 9], (3, 9), id="two clauses"),
        pytest.param([0.1] * 8 + [1] * 4 + [0.1] * 8, [], (8, 12), id="letters where there are no clauses"),
        pytest.param([0.1] * 8 + [1] * 4 + [0.1] * 8, [2], (8, 12), id="letters where the clause is most of it"),
        pytest.param([0.0] * 9 + [5.0] + [0.0] * 9, [], (6, 10), id="no fewer than four letters"),
        pytest.param([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [], (0, 5), id="no scrap is left of a clause"),
        pytest.param([-1.0, 1.0, 1.0, 1.0, 1.0, -9.0, -9.0, -9.0, -9.0, 0.1], [1, 5], (1, 5), id="what speaks for it"),
        pytest.param([1.0] * 10, [], (0, 6), id="the first of equally short ones"),
        pytest.param([1.0] * 60, [], (0, MAX_STRETCH_LETTERS), id="no longer than is shown"),
        pytest.param([-3.0, -1.0, -2.0], [1], (1, 2), id="nothing speaks for it"),
        pytest.param([1.0, 1.0], [], (0, 2), id="a text of two letters"),
    ],
)
def test_the_shortest_passage(weights: list[float], clauses: list[int], expected: tuple[int, int]) -> None:
    assert shortest_passage(np.array(weights, dtype=np.float32), clauses) == expected


def test_a_passage_of_a_sentence_is_its_clause() -> None:
    text = normalize("单子在我手上，再不还钱我就去你单位闹。")
    start, end = READER.weightiest(text.letters, "violation", text.clause_starts)
    assert text.letters[start:end] == "再不还钱我就去你单位闹"


def test_what_was_saved_reads_the_same(tmp_path: Path) -> None:
    READER.save(tmp_path)
    again = CallReader.load(tmp_path)
    assert again.read(ANGRY) == READER.read(ANGRY)
    assert again.version == READER.version


def test_a_call_that_was_heard_is_sooner_worth_hearing_than_the_same_text_from_outside(tmp_path: Path) -> None:
    assert READER.heard_offset is not None
    told, heard = READER.read(ANGRY), READER.read(ANGRY, heard=True)
    odds = [log_odds_of(np.array([one.probabilities["select"]], np.float32))[0] for one in (told, heard)]
    assert odds[1] - odds[0] == pytest.approx(READER.heard_offset, abs=1e-3)
    assert heard.utterances == told.utterances
    plain = replace(READER, heard_offset=None)
    assert plain.read(ANGRY, heard=True) == told
    plain.save(tmp_path)
    again = CallReader.load(tmp_path)
    assert again.heard_offset is None
    assert again.version == plain.version != READER.version


def test_other_weights_are_another_version() -> None:
    other = replace(READER, call=replace(READER.call, biases=READER.call.biases + 1))
    assert other.version != READER.version


class TestFilesThatDoNotFit:
    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(ReadingWeightsError, match=r"agent\.npz does not exist: name a folder"):
            CallReader.load(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
    def test_no_weights(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "agent.npz").write_bytes(content)
        with pytest.raises(ReadingWeightsError, match="cannot be read as weights"):
            load_heads(tmp_path / "agent.npz", AGENT_HEADS, BUCKETS)

    def test_other_heads(self) -> None:
        with pytest.raises(ReadingWeightsError, match="has other heads"):
            load_heads(WEIGHTS / "agent.npz", CUSTOMER_HEADS, BUCKETS)

    def test_parts_of_other_lengths(self, tmp_path: Path) -> None:
        save_heads(replace(READER.customer, slopes=np.ones(1, dtype=np.float32)), tmp_path / "customer.npz")
        with pytest.raises(ReadingWeightsError, match="do not fit together"):
            load_heads(tmp_path / "customer.npz", CUSTOMER_HEADS, BUCKETS)

    def test_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "agent.npz", about=np.array([{"a": 1}], dtype=object))
        with pytest.raises(ReadingWeightsError, match="cannot be read"):
            load_heads(tmp_path / "agent.npz", AGENT_HEADS, BUCKETS)
