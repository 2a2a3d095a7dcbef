"""Heads as small `.npz` files: the shipped ones, and those that `callstream emotion train` writes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.emotion.fusion import Fusion, Witness
from processors.emotion.labels import POLARITIES
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.reading import AGITATED_CLASS, VALENCE_OF_CLASS
from processors.emotion.sound_head import PROSODY_SIZE, SoundHead, SpeakerPrior
from processors.emotion.text_head import GramModel, TextHead
from processors.weight_files import read_arrays
from schemas.errors import OperatorError

FORMAT = 2
"""Rises when a file of an earlier version would be read wrongly."""

STATES_FILE = "sound_states.npz"
PROSODY_FILE = "sound_prosody.npz"
TEXT_FILE = "text.npz"
FUSION_FILE = "fusion.npz"

Arrays = Mapping[str, Any]


class HeadsError(OperatorError):
    """A file of heads cannot be used; the text says which and what to do."""


@dataclass(frozen=True)
class Heads:
    """Everything that judges the emotion of segments.

    `states` needs the encoder states of the recogniser's model that it names, `prosody` needs the sound alone.
    """

    states: SoundHead
    prosody: SoundHead
    text: TextHead
    fusion: Fusion


def load_heads(folder: Path | None = None) -> Heads:
    """The heads of a folder; those that it lacks, and all without a folder, are the shipped ones.

    Raises `HeadsError` where the folder does not exist or a file in it cannot be used.
    """
    if folder is not None and not folder.is_dir():
        raise HeadsError(
            f"the folder of emotion heads {folder} does not exist: make it with `callstream emotion train`"
        )
    shipped = resources.files("processors.emotion") / "weights"

    def read(name: str) -> tuple[str, Arrays]:
        if folder is not None and (folder / name).is_file():
            return str(folder / name), _arrays(folder / name)
        with resources.as_file(shipped / name) as path:
            return name, _arrays(path)

    states, prosody = _sound(*read(STATES_FILE)), _sound(*read(PROSODY_FILE))
    if states.encoder is None or prosody.encoder is not None:
        raise HeadsError(f"{STATES_FILE} and {PROSODY_FILE} were exchanged: train the heads again")
    return Heads(states, prosody, _text(*read(TEXT_FILE)), _fusion(*read(FUSION_FILE)))


class _Arrays(dict[str, Any]):
    """The arrays of one file; asking for one that it lacks names the file."""

    def __init__(self, name: str, arrays: Mapping[str, Any]) -> None:
        super().__init__(arrays)
        self._name = name

    def __missing__(self, key: str) -> Any:
        raise HeadsError(f"{self._name} lacks {key}: train it again")


def save_sound_head(head: SoundHead, folder: Path) -> Path:
    """Write one sound head, under the name that says what it needs; returns the file."""
    return _write(
        folder / (PROSODY_FILE if head.encoder is None else STATES_FILE),
        {"encoder": head.encoder, "classes": head.classes, "prosody": PROSODY_FEATURES},
        weights=head.weights.astype(np.float32),
        biases=head.biases.astype(np.float32),
        mean=head.prior.mean.astype(np.float32),
        spread=head.prior.spread.astype(np.float32),
        mean_strength=np.float64(head.prior.mean_strength),
        spread_strength=np.float64(head.prior.spread_strength),
        slope=np.float64(head.slope),
        offset=np.float64(head.offset),
    )


def save_text_head(head: TextHead, folder: Path) -> Path:
    """Write the text head; returns the file."""
    return _write(
        folder / TEXT_FILE,
        {"classes": head.emotions.classes, "has_negativity": head.negativity is not None},
        **_arrays_of(head.emotions),
        **{f"negativity_{name}": array for name, array in _arrays_of(head.negativity).items()},
        slope=np.float64(head.slope),
        offset=np.float64(head.offset),
    )


def save_fusion(fusion: Fusion, folder: Path) -> Path:
    """Write how the heads are put together; returns the file."""
    return _write(
        folder / FUSION_FILE,
        {"words_may_calm": fusion.words_may_calm},
        sound=_numbers(fusion.sound),
        text=_numbers(fusion.text),
        base_rate=np.float64(fusion.base_rate),
        sound_share_of_valence=np.float64(fusion.sound_share_of_valence),
    )


def _numbers(witness: Witness) -> NDArray[np.float64]:
    return np.array([witness.found, witness.mistaken, witness.weight])


def _witness(name: str, numbers: NDArray[np.float64]) -> Witness:
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise HeadsError(f"{name} does not say how far the heads are believed: train it again")
    return Witness(*numbers.tolist())


def _sound(name: str, arrays: Arrays) -> SoundHead:
    facts = _facts(name, arrays)
    if tuple(facts["prosody"]) != PROSODY_FEATURES:
        raise HeadsError(f"{name} was trained with other prosody features than this version has: train it again")
    head = SoundHead(
        encoder=facts["encoder"],
        classes=_classes(name, facts),
        weights=arrays["weights"],
        biases=arrays["biases"],
        prior=SpeakerPrior(
            arrays["mean"], arrays["spread"], float(arrays["mean_strength"]), float(arrays["spread_strength"])
        ),
        slope=float(arrays["slope"]),
        offset=float(arrays["offset"]),
    )
    size = head.weights.shape[1]
    wrong_size = size != PROSODY_SIZE if head.encoder is None else size <= PROSODY_SIZE
    if not all(np.isfinite(array).all() for array in (head.weights, head.biases, head.prior.mean, head.prior.spread)):
        raise HeadsError(f"{name} holds what is no number: train it again")
    if wrong_size or len(head.weights) != len(head.classes) or head.prior.mean.shape != (size,):
        raise HeadsError(f"the arrays in {name} do not fit each other: train it again")
    return head


def _text(name: str, arrays: Arrays) -> TextHead:
    facts = _facts(name, arrays)
    return TextHead(
        emotions=_grams(name, _classes(name, facts), arrays, ""),
        negativity=_grams(name, POLARITIES, arrays, "negativity_") if facts["has_negativity"] else None,
        slope=float(arrays["slope"]),
        offset=float(arrays["offset"]),
    )


def _arrays_of(model: GramModel | None) -> dict[str, NDArray[Any]]:
    if model is None:
        return {}
    return {"weights": model.weights, "scales": model.scales, "biases": model.biases, "idf": model.idf}


def _grams(name: str, classes: tuple[str, ...], arrays: Arrays, prefix: str) -> GramModel:
    weights, scales, biases, idf = (arrays[f"{prefix}{part}"] for part in ("weights", "scales", "biases", "idf"))
    sizes = {len(classes), len(weights), len(scales), len(biases)}
    if len(sizes) > 1 or idf.shape != weights.shape[1:]:
        raise HeadsError(f"the arrays in {name} do not fit each other: train it again")
    return GramModel(classes, weights, scales, biases, idf)


def _fusion(name: str, arrays: Arrays) -> Fusion:
    facts = _facts(name, arrays)
    return Fusion(
        sound=_witness(name, arrays["sound"]),
        text=_witness(name, arrays["text"]),
        base_rate=float(arrays["base_rate"]),
        sound_share_of_valence=float(arrays["sound_share_of_valence"]),
        words_may_calm=bool(facts.get("words_may_calm", True)),  # files from before it are believed as they were
    )


def _classes(name: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    classes = tuple(facts["classes"])
    if unknown := [each for each in classes if each not in VALENCE_OF_CLASS]:
        raise HeadsError(f"{name} has the unknown class {unknown[0]}: known are {', '.join(VALENCE_OF_CLASS)}")
    if AGITATED_CLASS not in classes:
        raise HeadsError(f"{name} does not know the class {AGITATED_CLASS}: train it again")
    return classes


def _facts(name: str, arrays: Arrays) -> dict[str, Any]:
    if "facts" not in arrays:
        raise HeadsError(f"{name} is no file of emotion heads: train it with `callstream emotion train`")
    try:
        facts = _Arrays(name, json.loads(str(arrays["facts"])))
    except ValueError:
        raise HeadsError(f"{name} is damaged: train it again") from None
    if facts.get("format") != FORMAT:
        raise HeadsError(f"{name} has format {facts.get('format')}, this version reads {FORMAT}: train it again")
    return facts


def _arrays(path: Path) -> Arrays:
    arrays = read_arrays(path)
    if arrays is None:
        raise HeadsError(f"{path} is no file of emotion heads: train it with `callstream emotion train`")
    return _Arrays(str(path), arrays)


def _write(path: Path, facts: Mapping[str, Any], **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **facts}, ensure_ascii=False, sort_keys=True)
    with path.open("wb") as file:
        np.savez_compressed(file, facts=np.array(text), **arrays)
    return path
