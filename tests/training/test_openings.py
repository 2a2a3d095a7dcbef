"""Openings follow their format, and what does not is named by file and line."""

from pathlib import Path

import pytest

from training.dialogues import DialogueError
from training.openings import load_openings


def write(folder: Path, name: str, text: str) -> Path:
    (folder / "part").mkdir(exist_ok=True)
    (folder / "part" / name).write_text(text, encoding="utf-8")
    return folder


def test_all_that_there_are_can_be_read() -> None:
    assert len(load_openings()) > 4_000


def test_an_opening_has_the_topic_above_it(tmp_path: Path) -> None:
    (first, second) = load_openings(
        write(tmp_path, "telecom.txt", "# 网速慢\n看剧老是转圈\n\n# 携号转网\n号不换能换家不\n")
    )
    assert (first.part, first.industry, first.topic, first.text) == ("part", "telecom", "网速慢", "看剧老是转圈")
    assert second.topic == "携号转网"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        pytest.param("telecom.txt", "# 钓鱼\n", r"telecom\.txt:1: 钓鱼 is no topic of telecom", id="no such topic"),
        pytest.param("telecom.txt", "你好\n", r"part/telecom\.txt:1: text before the first topic", id="no topic"),
        pytest.param("fishing.txt", "", r"part/fishing\.txt: the name of a file is that of an industry", id="industry"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(DialogueError, match=problem):
        load_openings(write(tmp_path, name, text))
