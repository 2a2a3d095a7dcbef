"""The dialogues that heads learn from follow their format, and what does not is named by file and line."""

from pathlib import Path

import pytest

from training import dialogues
from training.dialogues import DialogueError, load_dialogues

CALL = """@ a-1 ecommerce inbound
topics: 物流延迟
select: yes
flags: upset threat
A [greet] 您好
C 我要投诉到12315 ##U ##T
A 爱去哪去哪 ##V rude high 爱去哪去哪
C 我叫张三丰 ##P name 张三丰
"""


def load(folder: Path, text: str) -> tuple[dialogues.Dialogue, ...]:
    (folder / "part").mkdir()
    (folder / "part" / "01.txt").write_text(text, encoding="utf-8")
    return load_dialogues(folder)


def test_all_that_there_are_can_be_read() -> None:
    found = load_dialogues()
    assert len(found) > 5_000
    assert len({one.part for one in found}) >= 5
    without = sum(not any(turn.violations for turn in one.turns) for one in found)
    assert without > len(found) / 2


def test_each_part_is_left_out_once_and_whole_in_groups_of_about_the_same_size() -> None:
    sizes = {name: size for size, name in enumerate("abcdefgh", start=3)}
    groups = dialogues.folds(sizes)
    assert sorted(part for group in groups for part in group) == sorted(sizes)
    held = [sum(sizes[part] for part in group) for group in groups]
    assert len(groups) == dialogues.FOLDS
    assert max(held) - min(held) <= max(sizes.values())
    assert dialogues.folds({"only": 9, "two": 1}) == [{"only"}, {"two"}]


def test_parts_that_no_head_learned_from_stand_apart() -> None:
    learned, unseen = load_dialogues(), load_dialogues(dialogues.DIALOGUES.parent / "unseen")
    assert unseen
    assert {one.part for one in learned}.isdisjoint(one.part for one in unseen)
    said = {tuple(turn.text for turn in one.turns) for one in learned}
    assert said.isdisjoint(tuple(turn.text for turn in one.turns) for one in unseen)


def test_labels_are_read(tmp_path: Path) -> None:
    (one,) = load(tmp_path, CALL)
    assert (one.id, one.part, one.industry, one.topics, one.select) == ("a-1", "part", "ecommerce", ("物流延迟",), True)
    assert [turn.role for turn in one.turns] == ["agent", "customer", "agent", "customer"]
    assert one.turns[0].acts == {"greet"}
    assert (one.turns[1].upset, one.turns[1].threat, one.turns[1].text) == (True, True, "我要投诉到12315")
    assert one.turns[2].violations == (dialogues.Mark("rude", "high", "爱去哪去哪"),)
    assert one.turns[3].personal == (dialogues.Mark("name", "", "张三丰"),)


def test_a_twin_is_its_original_with_what_it_replaces(tmp_path: Path) -> None:
    first, twin = load(tmp_path, CALL + "@ a-2 from a-1\n~2 A [sorry] 真对不住\n")
    assert twin.twin_of == "a-1"
    assert [turn.text for turn in twin.turns] == ["您好", "我要投诉到12315", "真对不住", "我叫张三丰"]
    assert first.turns[2].violations != ()
    assert twin.turns[2].violations == ()


def test_a_twin_does_not_give_the_words_of_one_side_to_the_other(tmp_path: Path) -> None:
    with pytest.raises(DialogueError) as error:
        load(tmp_path, CALL + "@ a-2 from a-1\n~2 C 真对不住\n~3 A 我叫张三丰\n")
    assert error.value.problems == (
        "part/01.txt:10: ~2 is said by the customer, and the turn that it replaces by the agent",
        "part/01.txt:11: ~3 is said by the agent, and the turn that it replaces by the customer",
    )


@pytest.mark.parametrize(
    ("line", "replaced_by", "problem"),
    [
        ("@ a-1 ecommerce inbound", "@ a-1 space inbound", "part/01.txt:1: no such industry"),
        ("@ a-1 ecommerce inbound", "@ a-1 ecommerce", "part/01.txt:1: a header is"),
        ("@ a-1 ecommerce inbound", "@ a-1 from a-0", "part/01.txt:1: no call a-0 before"),
        ("topics: 物流延迟", "topics: 天气", "part/01.txt:2: no such topic: 天气"),
        ("select: yes", "select: maybe", "select is missing"),
        ("select: yes", "select: no", "a violation, and the call is not selected"),
        ("flags: upset threat", "flags: threat", "the flag upset and ##U disagree"),
        ("flags: upset threat", "flags: upset", "the flag threat and ##T disagree"),
        ("flags: upset threat", "flags: sad", "no such flag: sad"),
        ("A [greet] 您好", "A [sing] 您好", "part/01.txt:5: no such act: sing"),
        ("A [greet] 您好", "A [greet] ", "part/01.txt:5: a turn without words"),
        ("A [greet] 您好", "您好", "part/01.txt:5: no turn: 您好"),
        ("A [greet] 您好", "~7 A 您好", "~7 has nothing to replace"),
        ("A [greet] 您好", "A 您好 ##U", "##U on what the agent says"),
        ("##V rude high 爱去哪去哪", "##V rude high 别的", "a quote that is not in the turn"),
        ("##V rude high 爱去哪去哪", "##V rude grave 爱去哪去哪", "no such label"),
        ("C 我叫张三丰 ##P name", "C 我叫张三丰 ##V rude high", "a violation in what the customer says"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, replaced_by: str, problem: str) -> None:
    assert line in CALL
    with pytest.raises(DialogueError) as error:
        load(tmp_path, CALL.replace(line, replaced_by))
    assert problem in str(error.value)


def test_an_id_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="the id a-1 is there twice"):
        load(tmp_path, CALL + CALL)
