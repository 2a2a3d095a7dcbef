"""`callstream emotion`: options, and errors that a person can mend."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processors.emotion.corpora import DataError
from processors.emotion.labels import LABEL_COLUMNS, LABELS
from processors.emotion.training import TrainingError
from streams.cli.emotion import emotion_app
from tests.processors.emotion.voices import write_labelled_calls


def run(*arguments: str) -> str:
    result = CliRunner().invoke(emotion_app, list(arguments), catch_exceptions=False, terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_documents_the_format_of_labels(command: str) -> None:
    text = " ".join(run(command, "--help").replace("│", " ").split())

    assert "labels.csv" in text
    assert all(name in text for name in (*LABEL_COLUMNS, *LABELS))


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_wrong_rows_are_named_before_a_model_is_loaded(tmp_path: Path, command: str) -> None:
    (tmp_path / "labels.csv").write_text("file,start_ms\nx,1\n", encoding="utf-8")
    out = ["--out", str(tmp_path / "out")] if command == "train" else []

    with pytest.raises(DataError, match=r"labels\.csv: the first row must name the columns"):
        run(command, "--data", str(tmp_path), *out, "--whisper-model", "/nowhere")


@pytest.mark.model
def test_calls_are_trained_with_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="training needs callstream[train]")
    monkeypatch.setenv("CALLSTREAM_CACHE_DIR", str(tmp_path / "cache"))
    data = str(write_labelled_calls(tmp_path / "calls", calls=3, turns=6, text=False))
    heads = str(tmp_path / "heads")

    written = run("train", "--data", data, "--out", heads)
    figures = json.loads(run("evaluate", "--data", data, "--heads", heads, "--json"))

    assert "18 sounds of 3 speakers (9 agitated), 0 texts" in written
    assert [each["name"] for each in figures] == ["sound", "sound, prosody only"]
    assert figures[0]["accuracy"]["value"] >= 0.9
    with pytest.raises(TrainingError, match="give one of them"):
        run("evaluate", "--data", data, "--heads", heads, "--leave-one-speaker-out")
