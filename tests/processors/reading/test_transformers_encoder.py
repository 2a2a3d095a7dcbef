"""Checkpoints of transformers that read sentences, with tiny ones of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest

from processors.reading.encoded_reader import ReadSentence
from processors.reading.transformers_encoder import (
    READ_AT_ONCE,
    WEIGHTS_FILE,
    EncoderError,
    FineTuning,
    TransformersEncoder,
    fine_tune,
    require_trainable,
)
from tests.processors.reading.test_adapting import HOUSE
from tests.support.tiny_encoders import build_encoder, characters_of

pytestmark = pytest.mark.transformers

SENTENCES = [
    ReadSentence("客服您好请讲", "。我问一下"),
    ReadSentence("客户好", ""),
    ReadSentence("客服" + "好" * 500, "好" * 500),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("checkpoints") / "tiny-bert", characters_of(HOUSE))


@pytest.fixture
def changed(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def tuned(checkpoint: Path, folder: Path) -> TransformersEncoder:
    tuning = FineTuning(checkpoint, "cpu", 3, 2e-3)
    encoder, report = fine_tune(tuning, HOUSE[:60], HOUSE[60:80], folder, lambda _: None)
    assert report.base == "tiny-bert"
    assert report.sentences == 4 * 60
    assert list(report.class_weights) == pytest.approx([100 / 20, 2])
    assert report.losses[report.kept_epoch - 1] == min(report.losses)
    return encoder


def test_the_same_calls_make_the_same_encoder_and_it_reads_from_its_folder_as_it_did(
    checkpoint: Path, tmp_path: Path
) -> None:
    first, second = tuned(checkpoint, tmp_path / "first"), tuned(checkpoint, tmp_path / "second")
    assert first.files == second.files
    first.save(tmp_path / "copy")
    copy = TransformersEncoder(tmp_path / "copy", expected=first.files)
    assert np.array_equal(copy.logits(SENTENCES), first.logits(SENTENCES))
    assert {file.suffix for file in (tmp_path / "copy").iterdir()} <= {".json", ".txt", ".safetensors"}


def test_a_sentence_reads_alike_whatever_stands_in_its_batch(checkpoint: Path) -> None:
    encoder = TransformersEncoder(checkpoint)
    alone = np.concatenate([encoder.logits([one]) for one in SENTENCES])
    many = encoder.logits(SENTENCES * READ_AT_ONCE)
    assert many == pytest.approx(np.tile(alone, (READ_AT_ONCE, 1)), abs=1e-5)
    assert encoder.logits([]).shape == (0, 2)


def test_an_encoder_that_was_changed_after_it_was_published_is_refused(changed: Path) -> None:
    files = TransformersEncoder(changed).files
    with (changed / WEIGHTS_FILE).open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x01")
    with pytest.raises(EncoderError, match="damaged or was changed"):
        TransformersEncoder(changed, expected=files)


def test_pickled_weights_are_not_read(changed: Path) -> None:
    (changed / WEIGHTS_FILE).rename(changed / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"has no model\.safetensors.*may run code"):
        require_trainable(changed, "cpu")


def test_code_that_comes_with_a_checkpoint_is_not_run(changed: Path) -> None:
    (changed / "own.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    config = json.loads((changed / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.M"}}
    (changed / "config.json").write_text(json.dumps(config | own))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        require_trainable(changed, "cpu")
    assert not list(changed.rglob("ran"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"model_type": "no-such-architecture"}, "cannot be loaded", id="an unknown architecture"),
        pytest.param({"num_hidden_layers": 3}, "lacks 16 of the weights", id="a layer that it does not have"),
        pytest.param({"model_type": None}, "cannot be loaded", id="no architecture"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_config_is_refused(
    changed: Path, change: dict[str, object], sentence: str
) -> None:
    file = changed / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(EncoderError, match=sentence):
        require_trainable(changed, "cpu")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        pytest.param("config.json", b"{", "is not JSON", id="config"),
        pytest.param("config.json", b"[]", "names no model_type", id="config of another kind"),
        pytest.param(WEIGHTS_FILE, b"cut", "cannot be loaded", id="weights"),
        pytest.param("tokenizer.json", b"{}", "cannot be loaded", id="tokenizer"),
    ],
)
def test_a_damaged_checkpoint_is_named(changed: Path, name: str, content: bytes, sentence: str) -> None:
    (changed / name).write_bytes(content)
    with pytest.raises(EncoderError, match=sentence) as refused:
        require_trainable(changed, "cpu")
    assert str(changed) in str(refused.value)


def test_a_device_that_is_not_there_is_named(checkpoint: Path) -> None:
    with pytest.raises(EncoderError, match="the device cuda:99 cannot run"):
        require_trainable(checkpoint, "cuda:99")


def test_a_rate_that_is_too_high_is_said(checkpoint: Path, tmp_path: Path) -> None:
    tuning = FineTuning(checkpoint, "cpu", 2, 1e30)
    with pytest.raises(EncoderError, match="lower --learning-rate"):
        fine_tune(tuning, HOUSE[:60], HOUSE[60:80], tmp_path / "tuned", lambda _: None)


def test_fine_tuning_ends_when_the_calls_left_out_are_read_no_better(checkpoint: Path, tmp_path: Path) -> None:
    tuning = FineTuning(checkpoint, "cpu", 50, 1e-2)
    told: list[str] = []
    _, report = fine_tune(tuning, HOUSE[:30], HOUSE[60:80], tmp_path / "tuned", told.append)
    assert len(report.losses) == report.kept_epoch + 2 < 50
    assert len(told) == len(report.losses)
