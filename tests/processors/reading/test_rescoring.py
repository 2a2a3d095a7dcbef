"""What is said, rescored in the light of the call."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from processors.digest import digest_of
from processors.reading.call_reader import VIOLATION, CallReader
from processors.reading.features import Said
from processors.reading.grams import RECIPE
from processors.reading.heads import LinearHeads, ReadingWeightsError
from processors.reading.rescoring import Rescoring, in_their_call

RESCORING = Rescoring(offset=-1.0, own=0.8, call=(0.5, -0.2))
SHIPPED = CallReader.load()


def said(doubtful: str, *others: str) -> list[Said]:
    return [Said("agent", doubtful), Said("customer", "好吧"), *(Said("agent", other) for other in others)]


def violation(reader: CallReader, call: list[Said], place: int = 0) -> float:
    reading = reader.read(call).utterances[place]
    assert reading is not None
    return reading.probabilities[VIOLATION]


def test_every_utterance_is_weighed_with_its_call() -> None:
    chance = random.Random(4)
    own = [chance.uniform(-5, 5) for _ in range(12)]
    select, upset = chance.uniform(-5, 5), chance.uniform(-5, 5)
    expected = [0.8 * one + 0.5 * select - 0.2 * upset - 1.0 for one in own]
    assert RESCORING.log_odds(np.array(own), [select, upset]).tolist() == pytest.approx(expected)


def test_a_call_in_which_an_agent_says_nothing_has_no_rows() -> None:
    assert in_their_call(np.zeros(0), [1.0]).shape == (0, 2)


def test_one_reading_however_sure_does_not_decide_for_all_others() -> None:
    assert in_their_call(np.array([-2.0, 40.0]), [60.0]).tolist() == [[-2.0, 6.0], [6.0, 6.0]]


def test_a_doubtful_sentence_is_worse_in_a_bad_call_than_in_a_harmless_one() -> None:
    doubtful = "这个您就放心吧大家都是这么弄的"
    bad = said(doubtful, "您把钱转到我个人微信上走公司账要交税", "您不今天交这个名额就没了别跟您爱人说")
    harmless = said(doubtful, "您的订单明天上午送到", "好的祝您生活愉快再见")
    once = replace(SHIPPED, rescoring=None)
    assert violation(once, bad) == pytest.approx(violation(once, harmless))
    in_bad, in_harmless = violation(SHIPPED, bad), violation(SHIPPED, harmless)
    assert in_bad / (1 - in_bad) > 2 * in_harmless / (1 - in_harmless)


def test_the_call_is_read_with_what_was_read_first() -> None:
    call = said("您把钱转到我个人微信上走公司账要交税", "好的")
    once = replace(SHIPPED, rescoring=None)
    assert SHIPPED.read(call).probabilities == once.read(call).probabilities
    assert SHIPPED.version != once.version


def test_heads_of_a_folder_without_a_rescoring_do_not_rescore(tmp_path: Path) -> None:
    replace(SHIPPED, rescoring=None).save(tmp_path)
    loaded = CallReader.load(tmp_path)
    assert loaded.rescoring is None
    SHIPPED.save(tmp_path)
    assert CallReader.load(tmp_path).rescoring == SHIPPED.rescoring
    replace(SHIPPED, rescoring=None).save(tmp_path)
    assert CallReader.load(tmp_path).rescoring is None


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    SHIPPED.save(tmp_path)
    (tmp_path / "rescoring.npz").write_bytes(content)
    with pytest.raises(ReadingWeightsError, match=r"rescoring\.npz cannot be read"):
        CallReader.load(tmp_path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rescoring.npz", format=np.array(2), weights=np.zeros(3))
    with pytest.raises(ReadingWeightsError, match="cannot be read"):
        Rescoring.load(tmp_path / "rescoring.npz", 1)
    np.savez(tmp_path / "rescoring.npz", format=np.array(1), weights=np.zeros(4))
    with pytest.raises(ReadingWeightsError, match="cannot be read"):
        Rescoring.load(tmp_path / "rescoring.npz", 1)


def test_customers_are_weighed_with_their_call_too() -> None:
    question = "那我的钱谁来还我"
    angry = [
        Said("customer", question),
        Said("agent", "不知道"),
        Said("customer", "你们就是骗子我要去投诉你们气死我了"),
    ]
    calm = [Said("customer", question), Said("agent", "不知道"), Said("customer", "好的那我知道了谢谢您再见")]
    rescoring = Rescoring(offset=0.0, own=1.0, call=(0.0, 0.5, 0.0))
    once, rescored = (replace(SHIPPED, upset_rescoring=one) for one in (None, rescoring))

    def upset(reader: CallReader, call: list[Said]) -> float:
        reading = reader.read(call).utterances[0]
        assert reading is not None
        return reading.probabilities["upset"]

    assert upset(once, angry) == pytest.approx(upset(once, calm))
    assert upset(rescored, angry) > upset(rescored, calm)
    assert once.read(angry).probabilities == rescored.read(angry).probabilities


def test_heads_from_before_a_rescoring_of_customers_keep_their_name(tmp_path: Path) -> None:
    """Thresholds of a tenant are those of one model, by its name."""

    @dataclass(frozen=True)
    class Former:
        agent: LinearHeads
        customer: LinearHeads
        call: LinearHeads
        rescoring: Rescoring | None

    before = replace(SHIPPED, upset_rescoring=None, heard_offset=None)
    former = Former(before.agent, before.customer, before.call, before.rescoring)
    assert before.version == digest_of((RECIPE, former))
    assert replace(before, upset_rescoring=RESCORING).version != before.version
    before.save(tmp_path)
    assert CallReader.load(tmp_path).version == before.version
