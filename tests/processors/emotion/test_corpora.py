"""Labelled data: the layouts that are known, and rows that cannot be used."""

import json
from pathlib import Path

import numpy as np
import pytest

from processors.emotion.corpora import DataError, LabelledSound, histories, read_labelled
from tests.processors.emotion.voices import calm, write_labelled_calls, write_wav

HEADER = "file,start_ms,end_ms,channel,speaker,label"


def labels(folder: Path, *rows: str, header: str = HEADER) -> Path:
    write_wav(folder / "call.wav", [calm(0)])
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def test_own_calls_are_read_row_by_row(tmp_path: Path) -> None:
    data = read_labelled(labels(tmp_path, "call.wav,0,500,0,anna,angry", "call.wav,500,900,0,anna,calm"))

    assert data.sounds == (
        LabelledSound(tmp_path.name, tmp_path / "call.wav", 0, (0, 500), "anna", "angry"),
        LabelledSound(tmp_path.name, tmp_path / "call.wav", 0, (500, 900), "anna", "calm"),
    )
    assert [each.is_agitated for each in data.sounds] == [True, False]
    assert data.texts == ()


def test_the_text_column_also_makes_labelled_texts(tmp_path: Path) -> None:
    row = "call.wav,0,500,0,anna,agitated,太差了"

    data = read_labelled(labels(tmp_path, row, header=f"{HEADER},text"))

    assert [(each.text, each.label) for each in data.texts] == [("太差了", "agitated")]
    assert data.sounds[0].text == "太差了"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param("missing.wav,0,500,0,a,angry", "file must name a recording", id="a file that is not there"),
        pytest.param(",0,500,0,a,angry", "file must name a recording", id="no file"),
        pytest.param("call.wav,0.5,500,0,a,angry", "start_ms must be a whole number", id="seconds, not milliseconds"),
        pytest.param("call.wav,-1,500,0,a,angry", "start_ms must be a whole number", id="before the recording"),
        pytest.param("call.wav,0,,0,a,angry", "end_ms must be a whole number", id="an empty end"),
        pytest.param("call.wav,500,500,0,a,angry", "end_ms must be greater", id="nothing between start and end"),
        pytest.param("call.wav,0,500,left,a,angry", "channel must be a whole number", id="a channel by its name"),
        pytest.param("call.wav,0,500,0,,angry", "speaker is empty", id="no speaker"),
        pytest.param("call.wav,0,500,0,a,furious", "label must be one of angry, fear", id="a label nobody knows"),
        pytest.param("call.wav,0,500", "label must be one of", id="a row that ends early"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_file_and_the_remedy(
    tmp_path: Path, row: str, problem: str
) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        read_labelled(labels(tmp_path, "call.wav,0,500,0,a,calm", row))

    assert "labels.csv" in str(caught.value)
    assert "row 3:" in str(caught.value)


def test_no_value_of_a_row_is_repeated(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_labelled(labels(tmp_path, "13800138000,x,y,z,,我姓王"))

    assert "138" not in str(caught.value)
    assert "王" not in str(caught.value)


def test_at_most_twenty_problems_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="and 10 more"):
        read_labelled(labels(tmp_path, *["call.wav,0,500,0,a,wrong"] * 30))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing: speaker, label"):
        read_labelled(labels(tmp_path, header="file,start_ms,end_ms,channel"))


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    labels(tmp_path)
    (tmp_path / "labels.csv").write_bytes(f"{HEADER},text\ncall.wav,0,500,0,a,calm,好的".encode("gbk"))

    with pytest.raises(DataError, match="not UTF-8"):
        read_labelled(tmp_path)


@pytest.mark.parametrize("exists", [True, False], ids=["an empty folder", "no folder"])
def test_a_folder_without_labelled_data_says_so(tmp_path: Path, exists: bool) -> None:
    with pytest.raises(DataError, match="holds no labelled data" if exists else "does not exist"):
        read_labelled(tmp_path if exists else tmp_path / "nowhere")


def test_the_layouts_of_public_corpora_are_found_below_a_folder(tmp_path: Path) -> None:
    for path in ("zh/anna/angry/1.wav", "zh/anna/neutral/1.wav", "zh/anna/unknown/1.wav", "de/03a01Wa.wav", "de/x.wav"):
        write_wav(tmp_path / path, [calm(0)])
    (tmp_path / "zh" / "texts.txt").write_text("1. 就是下雨也去。\n", encoding="utf-8")
    (tmp_path / "texts").mkdir()
    items = [{"id": 1, "content": "气死了", "label": "angry"}, {"id": 2, "content": "?", "label": "other language"}]
    (tmp_path / "texts" / "train.txt").write_text(json.dumps(items), encoding="utf-8")

    data = read_labelled(tmp_path)

    assert [(each.corpus, each.speaker, each.label, each.text) for each in data.sounds] == [
        ("de", "03", "angry", None),
        ("zh", "anna", "angry", "就是下雨也去。"),
        ("zh", "anna", "neutral", "就是下雨也去。"),
    ]
    # What actors say is the same in every emotion: it is no labelled text.
    assert [(each.text, each.label) for each in data.texts] == [("气死了", "angry")]


def test_lines_that_are_negative_or_positive_are_texts_of_their_own(tmp_path: Path) -> None:
    lines = ["labels,text", "negative,我要 投诉", "positive,谢谢 你", "neither,好"]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    data = read_labelled(tmp_path)

    assert [(each.text, each.label) for each in data.polar] == [("我要投诉", "negative"), ("谢谢你", "positive")]
    assert (data.sounds, data.texts) == ((), ())


def sound(file: str, start_ms: int | None, speaker: str = "a") -> LabelledSound:
    extent_ms = None if start_ms is None else (start_ms, start_ms + 100)
    return LabelledSound("c", Path(file), 0, extent_ms, speaker, "calm")


def test_segments_of_one_call_are_heard_in_the_order_of_time() -> None:
    examples = [sound("1.wav", 500), sound("1.wav", 0), sound("2.wav", 300), sound("2.wav", 100)]

    groups = histories(examples, range(4))

    assert [(group.rows, group.is_ordered) for group in groups] == [((1, 0), True), ((3, 2), True)]
    assert groups[0].order(np.random.default_rng(0)) == [1, 0]


def test_utterances_in_files_of_their_own_are_one_history_for_each_speaker() -> None:
    examples = [sound("1.wav", None, "a"), sound("2.wav", None, "b"), sound("3.wav", None, "a"), sound("4.wav", 0, "a")]

    groups = histories(examples, range(4))

    assert [(group.rows, group.is_ordered) for group in groups] == [((0, 2, 3), False), ((1,), False)]
    assert sorted(groups[0].order(np.random.default_rng(0))) == [0, 2, 3]


def test_synthetic_calls_are_what_the_reader_reads(tmp_path: Path) -> None:
    data = read_labelled(write_labelled_calls(tmp_path / "own", calls=2, turns=4))

    assert len(data.sounds) == len(data.texts) == 8
    assert sum(each.is_agitated for each in data.sounds) == 4
