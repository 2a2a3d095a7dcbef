"""The settings of emotion: which heads judge, and what is said where they cannot."""

from pathlib import Path

import pytest

from processors.emotion.heads import FUSION_FILE, HeadsError, load_heads
from processors.emotion.segments import EmotionModel
from processors.emotion.transformers_head import CheckpointError
from streams.analysis import build_emotion
from streams.settings import load_settings
from tests.processors.emotion.tiny_checkpoints import build_sound_checkpoint, build_text_checkpoint
from tests.processors.listening.scripted_engine import ScriptedEngine

SHIPPED = EmotionModel.of_heads(load_heads(), ScriptedEngine().identity.model).settings


def built(**settings: object) -> dict[str, str] | None:
    """What changes the judgements of the model that these settings give; None where they give none."""
    environ = {f"CALLSTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    model = build_emotion(load_settings(environ).settings, ScriptedEngine())
    return model.settings if model else None


def test_without_settings_the_shipped_heads_judge() -> None:
    assert built() == SHIPPED


def test_emotion_can_be_switched_off() -> None:
    assert built(emotion="false") is None


def test_heads_of_a_folder_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    assert built(emotion_heads=tmp_path) == SHIPPED
    (tmp_path / FUSION_FILE).write_bytes(b"cut")

    with pytest.raises(HeadsError, match=r"fusion\.npz is no file of emotion heads"):
        built(emotion_heads=tmp_path)


@pytest.mark.parametrize("setting", ["emotion_text_checkpoint", "emotion_sound_checkpoint"])
def test_a_checkpoint_that_cannot_be_loaded_stops_the_start(setting: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"callstream\[transformers\]|cannot be loaded"):
        built(**{setting: tmp_path})


@pytest.mark.transformers
def test_checkpoints_take_the_place_of_the_shipped_heads(tmp_path: Path) -> None:
    sound, text = build_sound_checkpoint(tmp_path / "hears"), build_text_checkpoint(tmp_path / "reads")

    by_text, by_both = (
        built(emotion_text_checkpoint=text),
        built(emotion_text_checkpoint=text, emotion_sound_checkpoint=sound),
    )

    assert by_text is not None
    assert by_both is not None
    assert by_text["emotion_text"].startswith("reads@")
    assert by_text["emotion_sound"] == SHIPPED["emotion_sound"]
    assert by_both["emotion_sound"].startswith("hears@")
