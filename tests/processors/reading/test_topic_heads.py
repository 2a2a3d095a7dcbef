"""Topics are read from all that was said; what reads them is saved, and refused where it does not fit."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processors.reading.features import Said
from processors.reading.heads import ReadingWeightsError
from processors.reading.topic_heads import NONE, SAID_OFTEN, TOPICS_FILE, TopicHeads, shares

READER = TopicHeads.load()
SLOW = [
    Said("agent", "您好请问有什么可以帮您"),
    Said("customer", "我家宽带这几天一到晚上网速就特别慢看个电视剧都一直转圈"),
    Said("agent", "好的我帮您测一下速您家是多少兆的套餐"),
    Said("customer", "两百兆啊测出来才十几兆"),
]
POSSIBLE = frozenset(READER.names)


def test_what_a_call_is_about_is_likelier_than_all_else() -> None:
    probabilities = READER.read(SLOW, POSSIBLE, ())
    assert max(probabilities, key=lambda name: probabilities[name]) == "网速慢"
    assert probabilities["网速慢"] >= READER.threshold


def test_only_topics_that_are_possible_are_read() -> None:
    assert set(READER.read(SLOW, {"网速慢", "退货", "一个自己的话题"}, ())) == {"网速慢"}
    assert READER.read(SLOW, (), ()) == {}


def test_a_phrase_speaks_for_its_topic() -> None:
    said, unsaid = (READER.read(SLOW, POSSIBLE, phrases)["宽带移机"] for phrases in ({"宽带移机"}, ()))
    assert said > unsaid


def test_less_has_to_be_read_where_a_phrase_was_said() -> None:
    """The probability has the phrase in it; what is left is what was read."""
    believed_from = {phrases: READER.threshold_of(phrases) for phrases in (0, 1, 2, SAID_OFTEN, SAID_OFTEN + 1)}
    assert all(0 < one < 1 for one in believed_from.values())
    none, one, two, often, more = (
        math.log(least / (1 - least)) - READER.phrase * (phrases > 0) for phrases, least in believed_from.items()
    )
    assert often == more < one == two < none


def test_it_shows_the_words_that_speak_for_a_topic() -> None:
    shown = READER.find_words(SLOW, "网速慢")
    assert shown is not None
    assert SLOW[shown.utterance].role == "customer"
    assert 0 <= shown.start < shown.end <= len(SLOW[shown.utterance].letters)


@pytest.mark.parametrize("said", [[], [Said("customer", "")]])
def test_a_call_in_which_nothing_is_said_shows_nothing(said: list[Said]) -> None:
    assert READER.find_words(said, "网速慢") is None
    assert all(0 <= probability <= 1 for probability in READER.read(said, POSSIBLE, ()).values())


def test_shares_add_up_to_one_in_each_row() -> None:
    found = shares(np.array([[3.0, 1.0, 1.0], [500.0, 500.0, -500.0]], dtype=np.float32))
    assert found.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert found[1].tolist() == pytest.approx([0.5, 0.5, 0])
    assert found[0, 0] / found[0, 1] == pytest.approx(np.exp(2), rel=1e-5)


def test_that_a_call_is_about_nothing_is_no_topic() -> None:
    assert NONE not in READER.names
    assert READER.read(SLOW, {NONE}, ()) == {}


def test_what_was_saved_reads_the_same(tmp_path: Path) -> None:
    READER.save(tmp_path / "topics.npz")
    again = TopicHeads.load(tmp_path / "topics.npz")
    assert again.read(SLOW, POSSIBLE, {"网速慢"}) == READER.read(SLOW, POSSIBLE, {"网速慢"})
    assert again.version == READER.version
    assert replace(READER, slope=READER.slope + 1).version != READER.version


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadingWeightsError, match="does not exist: name a folder"):
        TopicHeads.load(tmp_path / TOPICS_FILE.name)
    (tmp_path / TOPICS_FILE.name).write_bytes(b"no weights")
    with pytest.raises(ReadingWeightsError, match="cannot be read as weights"):
        TopicHeads.load(tmp_path / TOPICS_FILE.name)
    with pytest.raises(ReadingWeightsError, match="has other heads"):
        TopicHeads.load(TOPICS_FILE.with_name("agent.npz"))
