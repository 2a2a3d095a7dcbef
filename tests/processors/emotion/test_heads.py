"""Files of heads: the shipped ones, what is written and read again, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processors.emotion.fusion import Fusion, Witness
from processors.emotion.heads import (
    FUSION_FILE,
    PROSODY_FILE,
    STATES_FILE,
    TEXT_FILE,
    HeadsError,
    load_heads,
    save_fusion,
    save_sound_head,
    save_text_head,
)
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.reading import VALENCE_OF_CLASS
from processors.listening.engines.weights import find_weights

SHIPPED = resources.files("processors.emotion") / "weights"


@pytest.mark.parametrize(
    ("name", "most_bytes"),
    [(STATES_FILE, 200_000), (PROSODY_FILE, 200_000), (TEXT_FILE, 2_000_000), (FUSION_FILE, 10_000)],
)
def test_shipped_files_are_small(name: str, most_bytes: int) -> None:
    assert 0 < len((SHIPPED / name).read_bytes()) <= most_bytes


def test_the_shipped_heads_have_a_model_card() -> None:
    card = (SHIPPED / "MODEL_CARD.md").read_text(encoding="utf-8")

    assert all(part in card for part in ("## Data", "## Figures", "## Limits"))


def test_the_shipped_heads_give_probabilities() -> None:
    heads = load_heads()
    for head, size in ((heads.states, 1_024 + len(PROSODY_FEATURES)), (heads.prosody, len(PROSODY_FEATURES))):
        ear = head.of_speaker()
        for seed in range(5):
            reading = ear.read(head.prior.mean + np.random.default_rng(seed).normal(0, 1, size).astype(np.float32))
            assert np.isfinite(reading.evidence)
            assert -1 <= reading.valence <= 1
            assert sum(reading.classes.values()) == pytest.approx(1)
            assert set(reading.classes) <= set(VALENCE_OF_CLASS)


@pytest.mark.model
def test_the_shipped_states_head_is_that_of_the_packaged_recogniser(whisper_cache: Path) -> None:
    assert load_heads().states.encoder == find_weights("packaged", whisper_cache).name


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    shipped = load_heads()
    states = replace(shipped.states, encoder="another@1", slope=0.9, offset=0.5)
    fusion = Fusion(Witness(0.6, 0.1), Witness(0.5, 0.2, 0.7), base_rate=0.2, sound_share_of_valence=0.3)
    text = replace(shipped.text, slope=0.7)
    for file in (save_sound_head(states, tmp_path), save_text_head(text, tmp_path), save_fusion(fusion, tmp_path)):
        assert file.parent == tmp_path

    loaded = load_heads(tmp_path)

    assert loaded.fusion == fusion
    assert (loaded.states.encoder, loaded.states.slope, loaded.states.offset) == ("another@1", 0.9, 0.5)
    assert loaded.text.slope == 0.7
    features = shipped.states.prior.mean * 1.5
    assert loaded.states.of_speaker().read(features).classes == states.of_speaker().read(features).classes
    assert loaded.text.read("太差了吧") == text.read("太差了吧")


def test_a_head_that_a_folder_lacks_is_the_shipped_one(tmp_path: Path) -> None:
    assert load_heads(tmp_path).fusion == load_heads().fusion
    assert load_heads(tmp_path).states.encoder == load_heads().states.encoder


def rewrite(path: Path, **changes: Any) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    facts = {**json.loads(str(arrays["facts"])), **changes.pop("facts", {})}
    with path.open("wb") as target:
        np.savez(target, **{**arrays, "facts": np.array(json.dumps(facts)), **changes})


def write_states(folder: Path, **changes: Any) -> None:
    rewrite(save_sound_head(load_heads().states, folder), **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"facts": {"format": 99}}, "format 99", id="written by a later version"),
        pytest.param({"facts": {"prosody": ["pitch"]}}, "other prosody features", id="features have changed"),
        pytest.param({"facts": {"classes": ["angry", "bored"]}}, "unknown class bored", id="a class nobody knows"),
        pytest.param({"facts": {"classes": ["happy", "sad"]}}, "does not know the class angry", id="nothing agitated"),
        pytest.param({"mean": np.zeros(3, dtype=np.float32)}, "do not fit", id="arrays of different sizes"),
        pytest.param({"facts": {"encoder": None}}, "do not fit", id="a states head that says it needs none"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    write_states(tmp_path, **changes)

    with pytest.raises(HeadsError, match=problem) as caught:
        load_heads(tmp_path)

    assert STATES_FILE in str(caught.value)


def test_a_file_that_lacks_an_array_is_named(tmp_path: Path) -> None:
    path = save_fusion(load_heads().fusion, tmp_path)
    with np.load(path) as file:
        kept = {name: array for name, array in file.items() if name != "text"}
    with path.open("wb") as target:
        np.savez(target, **kept)

    with pytest.raises(HeadsError, match=r"fusion\.npz lacks text"):
        load_heads(tmp_path)


@pytest.mark.parametrize(
    ("save", "changes"),
    [
        pytest.param(save_fusion, {"sound": np.array([0.5, np.nan, 1.0])}, id="no number"),
        pytest.param(save_fusion, {"text": np.zeros(2)}, id="a witness without a weight"),
        pytest.param(save_text_head, {"negativity_biases": np.zeros(3, dtype=np.float32)}, id="words of three kinds"),
        pytest.param(save_sound_head, {"weights": np.full((6, 1_092), np.nan, np.float32)}, id="weights that are none"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(
    tmp_path: Path, save: Callable[[Any, Path], Path], changes: dict[str, Any]
) -> None:
    heads = load_heads()
    head = {save_fusion: heads.fusion, save_text_head: heads.text, save_sound_head: heads.states}[save]
    path = save(head, tmp_path)
    rewrite(path, **changes)

    with pytest.raises(HeadsError, match=f"{path.name}.* train it again"):
        load_heads(tmp_path)


def test_a_text_head_without_negativity_is_loaded_as_one(tmp_path: Path) -> None:
    save_text_head(replace(load_heads().text, negativity=None), tmp_path)

    assert load_heads(tmp_path).text.negativity is None


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 cut", b"not a zip at all"], ids=["empty", "cut off", "something else"]
)
def test_a_file_that_is_no_head_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TEXT_FILE).write_bytes(content)

    with pytest.raises(HeadsError, match=r"text\.npz is no file of emotion heads"):
        load_heads(tmp_path)


def test_wherever_a_file_is_damaged_it_is_named_or_still_whole(tmp_path: Path) -> None:
    whole = (SHIPPED / PROSODY_FILE).read_bytes()
    sentences: list[str] = []
    for place in range(0, len(whole), 37):
        (tmp_path / PROSODY_FILE).write_bytes(whole[:place] + bytes([whole[place] ^ 0x24]) + whole[place + 1 :])
        try:
            load_heads(tmp_path)
        except HeadsError as error:
            sentences.append(str(error))

    assert len(sentences) > len(whole) / 37 / 2
    assert all(PROSODY_FILE in sentence for sentence in sentences)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadsError, match="nowhere does not exist"):
        load_heads(tmp_path / "nowhere")
