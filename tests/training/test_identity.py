"""The labels of who asks and who discloses fit to the dialogues, and only what is labelled teaches the heads."""

from pathlib import Path

import numpy as np
import pytest

from training.dialogues import Dialogue, DialogueError, Turn, load_dialogues
from training.heads import example_of
from training.identity import Identity, load_identity

TURNS = (
    Turn("agent", "您好"),
    Turn("customer", "查一下余额"),
    Turn("agent", "您的姓名", acts=frozenset(("askid",))),
    Turn("customer", "张伟"),
    Turn("agent", "还有三千"),
)
CALL = Dialogue("x-1", "x", "finance", "inbound", select=False, turns=TURNS)
LINES = [(turn.role, turn.text) for turn in TURNS]


def test_what_is_shipped_fits_to_the_dialogues() -> None:
    identity = load_identity(load_dialogues())
    assert {one.verified for one in identity.values()} == {True, False, None}
    assert all(one.asks for one in identity.values() if one.verified)


def test_a_line_names_the_utterances(tmp_path: Path) -> None:
    file = tmp_path / "identity.txt"
    file.write_text("# a word\n\nx-1 yes ask 0,2 disclose 4\n", encoding="utf-8")
    assert load_identity([CALL], file) == {"x-1": Identity(True, frozenset((0, 2)), frozenset((4,)))}


@pytest.mark.parametrize("line", ["x-1 perhaps", "x-2 yes ask 0", "x-1 no disclose 1", "x-1 no disclose 9"])
def test_a_line_that_is_wrong_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "identity.txt"
    file.write_text(f"\n{line}\n", encoding="utf-8")
    with pytest.raises(DialogueError, match=r"identity\.txt:2: "):
        load_identity([CALL], file)


def test_in_a_labelled_call_what_bears_no_mark_is_none() -> None:
    example = example_of(
        CALL,
        LINES,
        identity={"x-1": Identity(True, frozenset((2,)), frozenset((4,)))},
    )
    assert example.known == {}
    assert example.agent["disclose"].tolist() == [False, False, True]


def test_in_others_nothing_is_known_of_it() -> None:
    example = example_of(CALL, LINES, identity={})
    np.testing.assert_array_equal(example.known["askid"], [False, True, False])
    np.testing.assert_array_equal(example.known["disclose"], [False, False, False])
