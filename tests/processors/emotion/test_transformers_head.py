"""Checkpoints in place of a head, with tiny ones that are built from a config."""

import sys
from pathlib import Path

import numpy as np
import pytest

from processors.emotion.fusion import Fusion, Witness
from processors.emotion.reading import VALENCE_OF_CLASS, HeadReading
from processors.emotion.segments import EmotionModel, HeardSegment
from processors.emotion.transformers_head import (
    CLASS_OF_LABEL,
    CheckpointError,
    TransformersSoundHead,
    TransformersTextHead,
    classes_of,
)
from processors.listening.audio import ChannelSound
from processors.listening.engine_port import SpeechClip
from schemas.messages.emotion import SegmentEmotion
from tests.processors.emotion.tiny_checkpoints import build_sound_checkpoint, build_text_checkpoint
from tests.processors.emotion.voices import RATE_HZ, calm, samples_of


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        pytest.param(["Anger", "NEUTRAL"], ("angry", "neutral"), id="in any case"),
        pytest.param(["生气/angry", "开心/happy"], ("angry", "happy"), id="two languages in one label"),
        pytest.param(["anger", "annoyance", "curiosity"], ("angry", "angry", "other"), id="fine-grained labels"),
    ],
)
def test_labels_of_public_checkpoints_are_understood(labels: list[str], classes: tuple[str, ...]) -> None:
    assert classes_of("model", labels) == classes


@pytest.mark.parametrize("labels", [["LABEL_0", "LABEL_1"], ["positive", "negative"], ["anger"]])
def test_labels_without_anger_are_refused_with_the_remedy(labels: list[str]) -> None:
    with pytest.raises(CheckpointError, match=r"id2label") as caught:
        classes_of("some/model", labels)

    assert "some/model" in str(caught.value)


def test_every_label_means_a_class_with_a_valence() -> None:
    assert set(CLASS_OF_LABEL.values()) <= set(VALENCE_OF_CLASS)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(CheckpointError, match=r"callstream\[transformers\]"):
        TransformersTextHead("any")


@pytest.fixture(scope="module")
def text_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer over single characters."""
    return build_text_checkpoint(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def sound_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wav2vec2 of one layer."""
    return build_sound_checkpoint(tmp_path_factory.mktemp("sound"))


def check(reading: HeadReading) -> None:
    assert set(reading.classes) == {"neutral", "angry", "happy", "other"}
    assert sum(reading.classes.values()) == pytest.approx(1)
    assert np.isfinite(reading.evidence)
    assert -1 <= reading.valence <= 1


@pytest.mark.transformers
def test_a_text_checkpoint_judges_words(text_checkpoint: Path) -> None:
    head = TransformersTextHead(str(text_checkpoint))

    first, second = head.read("你们太过分了"), head.read("好的谢谢")

    assert first is not None
    assert second is not None
    check(first)
    assert first != second
    assert head.read("你们太过分了") == first
    assert head.read("  ") is None


@pytest.mark.transformers
def test_the_share_of_anger_in_training_is_taken_out_of_the_evidence(text_checkpoint: Path) -> None:
    rare = TransformersTextHead(str(text_checkpoint), agitated_share=0.1).read("好的谢谢")
    even = TransformersTextHead(str(text_checkpoint)).read("好的谢谢")

    assert rare is not None
    assert even is not None
    assert rare.evidence - even.evidence == pytest.approx(np.log(0.25 / 0.75) - np.log(0.1 / 0.9))


@pytest.mark.transformers
def test_a_sound_checkpoint_judges_sound_and_names_silence(sound_checkpoint: Path) -> None:
    head = TransformersSoundHead(str(sound_checkpoint))

    reading = head.of_speaker().read(samples_of(calm(1)), None)

    assert isinstance(reading, HeadReading)
    check(reading)
    assert head.read(np.zeros(16_000, dtype=np.float32), None) == "silent"
    assert head.read(np.ones(100, dtype=np.float32), None) == "too_short"


@pytest.mark.transformers
def test_checkpoints_stand_in_for_both_heads(sound_checkpoint: Path, text_checkpoint: Path) -> None:
    fusion = Fusion(Witness(0.6, 0.1), Witness(0.5, 0.1), 0.38, 0.35)
    model = EmotionModel(
        TransformersSoundHead(str(sound_checkpoint)), TransformersTextHead(str(text_checkpoint)), fusion
    )
    clip = SpeechClip(0, 0, 1_000, ChannelSound(calm(1), RATE_HZ))

    (emotion,) = model.judge([HeardSegment(0, clip, None, "好的谢谢")])

    assert isinstance(emotion, SegmentEmotion)
    assert emotion.source == "fused"


@pytest.mark.transformers
def test_a_checkpoint_for_another_sample_rate_is_refused(tmp_path: Path) -> None:
    folder = build_sound_checkpoint(tmp_path, sampling_rate_hz=8_000)

    with pytest.raises(CheckpointError, match="hears 8000 Hz"):
        TransformersSoundHead(str(folder))


@pytest.mark.transformers
@pytest.mark.parametrize("head", [TransformersTextHead, TransformersSoundHead])
def test_a_folder_that_is_no_checkpoint_is_named(
    tmp_path: Path, head: type[TransformersTextHead] | type[TransformersSoundHead]
) -> None:
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        head(str(tmp_path))


@pytest.mark.transformers
def test_a_checkpoint_that_is_overwritten_has_another_identity(tmp_path: Path) -> None:
    first = TransformersTextHead(str(build_text_checkpoint(tmp_path / "a" / "model"))).identity
    same = TransformersTextHead(str(build_text_checkpoint(tmp_path / "b" / "model"))).identity
    other = TransformersTextHead(str(build_text_checkpoint(tmp_path / "a" / "model", seed=1))).identity

    assert first == same
    assert first != other
    assert first.startswith("model@")


@pytest.mark.transformers
def test_a_device_that_is_not_there_is_named(text_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="the device cuda:99 cannot run"):
        TransformersTextHead(str(text_checkpoint), device="cuda:99")
