"""Digits and letters that no rule takes are hidden by what stands around them; amounts, counts and hotlines stay."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.pii.conversation import Line, read_numbers
from processors.pii.learned_digits import BUCKETS, DigitReader, DigitWeightsError, load_digits, runs_left
from processors.pii.masking import MaskSettings, found_by_rules, mask
from processors.pii.match import fold
from schemas.messages.call_ended import Role
from tests.processors.transcripts import said


def lines_of(*turns: tuple[Role, str]) -> list[Line]:
    return [Line(fold(text), role, 5_000 * place, 5_000 * place + 4_000) for place, (role, text) in enumerate(turns)]


def left(*turns: tuple[Role, str]) -> list[list[str]]:
    """The runs that rules leave in each line."""
    lines = lines_of(*turns)
    reading = read_numbers(lines)
    runs = list(runs_left(lines, reading, found_by_rules(lines, reading)))
    return [[lines[run.line].text[run.start : run.end] for run in runs if run.line == at] for at in range(len(lines))]


def masked(*turns: tuple[Role, str]) -> list[str]:
    return [segment.text for segment in mask(said(*turns).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    ("asked", "told", "secrets"),
    [
        ("礼品卡背面刮开没有", "刮坏了一个，五幺七，看不清，后面是Q，再一个八", ("五幺七", "Q")),
        ("验证的话您说一下", "头一个是六，第二个是幺，第三个看不清，第四个是九", ("六", "幺", "九")),
        ("短信里那几个数您念我听", "分两条发的，一条写着六零，还有一条是七七", ("六零", "七七")),
    ],
)
def test_pieces_in_an_answer_are_hidden(asked: str, told: str, secrets: tuple[str, ...]) -> None:
    assert any(left(("agent", asked), ("customer", told))[1]), "rules leave nothing here: the case proves nothing"
    _, shown = masked(("agent", asked), ("customer", told))
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize(
    "text",
    [
        "我三点钟到的，等了两个多小时",
        "楼上那家五个人住着",
        "这个套餐一百二十八，太贵了",
        "你们再这样我就打12315",
        "买二送一的那个活动还有没有",
        "用的是安卓的app，版本三点二",
        "第二个孩子在读小学六年级",
    ],
)
def test_amounts_counts_and_hotlines_stay(text: str) -> None:
    assert masked(("agent", "您好，请讲"), ("customer", text))[1] == text


def test_what_was_asked_for_names_the_placeholder() -> None:
    shown = masked(("agent", "验证码您报一下"), ("customer", "头一个是六，第二个是幺，第三个看不清，第四个是九"))[1]
    assert shown == "头一个是[验证码]，第二个是[验证码]，第三个看不清，第四个是[验证码]"


RUNS = "我你的码是三五零幺两俩个 ,abc123点那一"


@given(st.lists(st.tuples(st.sampled_from(("agent", "customer")), st.text(RUNS, max_size=24)), max_size=5))
def test_runs_are_in_order_and_never_what_is_taken(turns: list[tuple[Role, str]]) -> None:
    lines = lines_of(*turns)
    reading = read_numbers(lines)
    taken = found_by_rules(lines, reading)
    before = (-1, 0)
    for run in runs_left(lines, reading, taken):
        assert before <= (run.line, run.start) < (run.line, run.end) <= (run.line, len(lines[run.line].text))
        assert all(run.end <= match.start or match.end <= run.start for match in taken[run.line])
        assert run.seen
        assert 0 <= run.seen[0] <= run.seen[-1] < BUCKETS
        before = (run.line, run.end)


def test_it_is_what_its_weights_say() -> None:
    weights = np.zeros(BUCKETS, dtype=np.int8)
    weights[[3, 9]] = (100, -20)
    reader = DigitReader(weights, -1.0, 0.05, 0.3)
    assert reader.probability((3, 5, 9, 11)) == pytest.approx(1 / (1 + np.exp(-(-1.0 + 0.05 * 80 / 2))))


def test_weights_are_written_and_read(tmp_path: Path) -> None:
    load_digits().save(tmp_path / "digits.npz")
    again = load_digits(tmp_path / "digits.npz")
    assert (again.bias, again.scale, again.threshold) == (
        load_digits().bias,
        load_digits().scale,
        load_digits().threshold,
    )
    assert np.array_equal(again.weights, load_digits().weights)


def test_weights_that_cannot_be_used_say_what_to_do(tmp_path: Path) -> None:
    shutil.copy(Path(__file__), tmp_path / "digits.npz")
    for file in (tmp_path / "digits.npz", tmp_path / "none.npz"):
        with pytest.raises(DigitWeightsError, match="run `make heads`"):
            load_digits(file)


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    about = np.array('{"format": 0, "bias": 0.0, "scale": 1.0, "threshold": 0.3}')
    np.savez(tmp_path / "old.npz", about=about, weights=np.zeros(BUCKETS, dtype=np.int8))
    with pytest.raises(DigitWeightsError, match="made for another version"):
        load_digits(tmp_path / "old.npz")
