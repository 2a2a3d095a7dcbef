"""What heads learn from a verdict: which utterance it is about, and what is not known."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processors.reading.labels import (
    LabelledDataError,
    StoredCall,
    Verdict,
    label_calls,
    read_dialogues,
    without_missed,
)
from processors.rules.examples import segments_of_lines
from schemas.messages.call_ended import Role

LINES: list[tuple[Role, str]] = [
    ("agent", "您好请讲"),
    ("customer", "我的快递呢"),
    ("agent", "这个您自己跟快递说去，我的电话是[手机号]"),
    ("customer", "你们真行"),
    ("agent", "再见"),
]
SEGMENTS = segments_of_lines(LINES)
CALL = Verdict("call", "yes")


def labels_of(*verdicts: Verdict) -> tuple[bool | None, tuple[bool | None, ...]]:
    stored = StoredCall("c1", "a1", datetime(2026, 3, 5, tzinfo=UTC), SEGMENTS, verdicts)
    (found,) = label_calls([stored]).calls
    return found.worth_hearing, found.violations


@pytest.mark.parametrize(
    ("verdicts", "worth_hearing", "violations"),
    [
        pytest.param([CALL], True, (None, None, None), id="worth hearing says nothing of utterances"),
        pytest.param([Verdict("call", "no")], False, (False, False, False), id="not worth hearing: nothing is wrong"),
        pytest.param([CALL, CALL, Verdict("call", "no")], True, (None, None, None), id="two against one"),
        pytest.param(
            [CALL, Verdict("call", "no"), Verdict("missed", "yes", segment_id=2)], None, (None, True, None), id="a draw"
        ),
        pytest.param([Verdict("missed", "yes", segment_id=2)], None, (None, True, None), id="missed, by its segment"),
        pytest.param([Verdict("missed", "yes", quote="您自己跟快递说去")], None, (None, True, None), id="by its words"),
        pytest.param(
            [Verdict("missed", "yes", quote="我的电话是[手机号]")], None, (None, True, None), id="by masked words"
        ),
        pytest.param(
            [Verdict("finding", "no", "reading", SEGMENTS[2].start_ms + 5)], None, (None, False, None), id="wrong"
        ),
        pytest.param(
            [Verdict("call", "no"), Verdict("finding", "yes", "reading", SEGMENTS[2].start_ms)],
            False,
            (False, True, False),
            id="a suspicion that is right in a call not worth hearing",
        ),
        pytest.param(
            [CALL, Verdict("finding", "no", "sensitive_words", SEGMENTS[2].start_ms)],
            True,
            (None, None, None),
            id="heads do not learn from rules",
        ),
    ],
)
def test_what_is_known_of_the_utterances_of_the_agent(
    verdicts: list[Verdict], worth_hearing: bool | None, violations: tuple[bool | None, ...]
) -> None:
    assert labels_of(*verdicts) == (worth_hearing, violations)


def test_what_is_not_found_again_is_counted_and_a_call_of_one_side_is_left_out() -> None:
    moment = datetime(2026, 3, 5, tzinfo=UTC)
    lost = StoredCall("c1", "a1", moment, SEGMENTS, (CALL, Verdict("missed", "yes", quote="没有说过的话")))
    alone = StoredCall("c2", "a1", moment, SEGMENTS[:1], (CALL,))
    found = label_calls([lost, alone])
    assert ([one.call_id for one in found.calls], found.not_placed, found.not_read) == (["c1"], 1, 1)


DIALOGUE = {
    "id": "d1",
    "turns": [{"role": role, "text": text} for role, text in LINES],
    "labels": {"select": True, "violations": [{"turn": 2, "kind": "shirking"}]},
}


def write(folder: Path, content: object) -> Path:
    (folder / "calls.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def test_of_a_dialogue_everything_is_known(tmp_path: Path) -> None:
    (found,) = read_dialogues(write(tmp_path, [DIALOGUE])).calls
    assert (found.worth_hearing, found.violations) == (True, (False, True, False))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param({"id": "d1"}, "is no list of dialogues", id="no list"),
        pytest.param([DIALOGUE, DIALOGUE], "dialogue 1 has an id that occurred before", id="an id twice"),
        pytest.param(
            [DIALOGUE | {"turns": [{"role": "bot", "text": "王先生"}]}],
            r"0: turns\.0\.role: literal_error \(agent or customer\)$",
            id="a role",
        ),
        pytest.param(
            [DIALOGUE | {"turns": ["王先生"]}],
            r"turns\.0: model_type \(an object, in braces, with role, text\)$",
            id="a turn that is a text",
        ),
        pytest.param(["王"], r"dialogue 0: model_type \(an object, in braces, with id, ", id="a text"),
        pytest.param([DIALOGUE | {"labels": {"select": "maybe 王"}}], r"labels\.select: bool_parsing", id="a label"),
    ],
)
def test_a_dialogue_that_is_wrong_is_named_without_its_words(content: object, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(LabelledDataError, match=sentence) as refused:
        read_dialogues(write(tmp_path, content))
    assert "王" not in str(refused.value)


def test_a_folder_without_dialogues_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabelledDataError, match="holds no JSON file"):
        read_dialogues(tmp_path)


def test_what_was_missed_says_nothing_of_suspicions() -> None:
    verdicts = (CALL, Verdict("finding", "no", "reading", 5), Verdict("missed", "yes", segment_id=2))
    (kept,) = without_missed([StoredCall("c1", "a1", datetime(2026, 3, 5, tzinfo=UTC), SEGMENTS, verdicts)])
    assert kept.verdicts == verdicts[:2]
