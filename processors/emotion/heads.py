"""Heads as small `.npz` files: the shipped ones, and those that `callstream emotion train` writes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from processors.emotion.fusion import Fusion
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.reading import AGITATED_CLASS, VALENCE_OF_CLASS
from processors.emotion.sound_head import PROSODY_SIZE, SoundHead, SpeakerPrior
from processors.emotion.text_head import TextHead
from schemas.errors import OperatorError

FORMAT = 1
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
        agitated_share=np.float64(head.agitated_share),
    )


def save_text_head(head: TextHead, folder: Path) -> Path:
    """Write the text head; returns the file."""
    return _write(
        folder / TEXT_FILE,
        {"classes": head.classes},
        weights=head.weights,
        scales=head.scales,
        biases=head.biases,
        idf=head.idf,
        agitated_share=np.float64(head.agitated_share),
    )


def save_fusion(fusion: Fusion, folder: Path) -> Path:
    """Write how the heads are put together; returns the file."""
    return _write(
        folder / FUSION_FILE,
        {},
        sound_weight=np.float64(fusion.sound_weight),
        text_weight=np.float64(fusion.text_weight),
        base_rate=np.float64(fusion.base_rate),
        sound_share_of_valence=np.float64(fusion.sound_share_of_valence),
    )


def _sound(name: str, arrays: Arrays) -> SoundHead:
    facts = _facts(name, arrays)
    if tuple(facts.get("prosody", ())) != PROSODY_FEATURES:
        raise HeadsError(f"{name} was trained with other prosody features than this version has: train it again")
    head = SoundHead(
        encoder=facts["encoder"],
        classes=_classes(name, facts),
        weights=arrays["weights"],
        biases=arrays["biases"],
        prior=SpeakerPrior(
            arrays["mean"], arrays["spread"], float(arrays["mean_strength"]), float(arrays["spread_strength"])
        ),
        agitated_share=float(arrays["agitated_share"]),
    )
    size = head.weights.shape[1]
    wrong_size = size != PROSODY_SIZE if head.encoder is None else size <= PROSODY_SIZE
    if wrong_size or len(head.weights) != len(head.classes) or head.prior.mean.shape != (size,):
        raise HeadsError(f"the arrays in {name} do not fit each other: train it again")
    return head


def _text(name: str, arrays: Arrays) -> TextHead:
    classes = _classes(name, _facts(name, arrays))
    if len(arrays["weights"]) != len(classes) or arrays["idf"].shape != arrays["weights"].shape[1:]:
        raise HeadsError(f"the arrays in {name} do not fit each other: train it again")
    return TextHead(
        classes=classes,
        weights=arrays["weights"],
        scales=arrays["scales"],
        biases=arrays["biases"],
        idf=arrays["idf"],
        agitated_share=float(arrays["agitated_share"]),
    )


def _fusion(name: str, arrays: Arrays) -> Fusion:
    _facts(name, arrays)
    return Fusion(
        sound_weight=float(arrays["sound_weight"]),
        text_weight=float(arrays["text_weight"]),
        base_rate=float(arrays["base_rate"]),
        sound_share_of_valence=float(arrays["sound_share_of_valence"]),
    )


def _classes(name: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    classes = tuple(facts.get("classes", ()))
    if unknown := [each for each in classes if each not in VALENCE_OF_CLASS]:
        raise HeadsError(f"{name} has the unknown class {unknown[0]}: known are {', '.join(VALENCE_OF_CLASS)}")
    if AGITATED_CLASS not in classes:
        raise HeadsError(f"{name} does not know the class {AGITATED_CLASS}: train it again")
    return classes


def _facts(name: str, arrays: Arrays) -> dict[str, Any]:
    if "facts" not in arrays:
        raise HeadsError(f"{name} is no file of emotion heads: train it with `callstream emotion train`")
    facts: dict[str, Any] = json.loads(str(arrays["facts"]))
    if facts.get("format") != FORMAT:
        raise HeadsError(f"{name} has format {facts.get('format')}, this version reads {FORMAT}: train it again")
    return facts


def _arrays(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, BadZipFile):
        pass
    raise HeadsError(f"{path} is no file of emotion heads: train it with `callstream emotion train`")


def _write(path: Path, facts: Mapping[str, Any], **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **facts}, ensure_ascii=False, sort_keys=True)
    with path.open("wb") as file:
        np.savez_compressed(file, facts=np.array(text), **arrays)
    return path
