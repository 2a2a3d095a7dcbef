"""A Hugging Face checkpoint in place of the sound or the text head. Needs `pip install 'callstream[transformers]'`.

A checkpoint is a folder or a hub's id; with `HF_HUB_OFFLINE=1` no hub is asked. One of its labels must mean anger.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from processors.digest import digest_of
from processors.emotion.prosody import MIN_SOUND_MS, SILENCE_DBFS
from processors.emotion.reading import AGITATED_CLASS, VALENCE_OF_CLASS, HeadReading, log_odds
from processors.listening.engine_port import ENGINE_SAMPLE_RATE_HZ, PooledStates, Samples
from schemas.errors import OperatorError
from schemas.messages.emotion import SoundGap

CLASS_OF_LABEL: Final[Mapping[str, str]] = {
    name: emotion
    for emotion, names in {
        "angry": ("angry", "anger", "ang", "agitated", "annoyance", "mad", "生气", "愤怒", "憤怒", "怒"),
        "fear": ("fear", "fearful", "fea", "害怕", "恐惧", "恐懼", "惊慌"),
        "happy": ("happy", "happiness", "joy", "hap", "love", "开心", "開心", "高兴", "喜悦", "积极", "positive"),
        "neutral": ("neutral", "neu", "calm", "中性", "中立", "平静", "无情绪"),
        "sad": ("sad", "sadness", "悲伤", "悲傷", "伤心", "难过"),
        "surprise": ("surprise", "surprised", "sur", "惊讶", "驚訝", "惊奇"),
        "other": ("other", "disgust", "disgusted", "dis", "boredom", "unknown", "unk", "厌恶", "<unk>"),
    }.items()
    for name in names
}
"""Labels of public checkpoints, in lower case, and the class that each means. A label that is not here is `other`."""

MAX_TOKENS = 256

RECIPE = 1
"""Rises when the same checkpoint would be read otherwise than before."""

Logits = NDArray[np.float64]


class CheckpointError(OperatorError):
    """A checkpoint cannot be used; the text says which and what to do."""


class TransformersTextHead:
    """Judges words with a sequence classification checkpoint (`processors.emotion.segments.TextJudge`).

    `agitated_share` is the share of anger in its training data, as far as it is known: its evidence is counted
    against it. None: every label is taken to have been equally frequent. Raises `CheckpointError`.
    """

    def __init__(self, checkpoint: str, *, device: str = "cpu", agitated_share: float | None = None) -> None:
        transformers = _transformers()
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
            model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise _unusable(checkpoint, "text-classification", error) from None
        self._classifier = _Classifier(checkpoint, model, device, agitated_share)

    @property
    def identity(self) -> str:
        """The checkpoint with a digest of its weights: a folder may be overwritten."""
        return self._classifier.identity

    def read(self, text: str) -> HeadReading | None:
        """What the words say; None for words of which the tokenizer makes nothing."""
        if not text.strip():
            return None
        inputs = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=MAX_TOKENS)
        return self._classifier.read(inputs)


class TransformersSoundHead:
    """Judges sound with an audio classification checkpoint (`processors.emotion.segments.SoundJudge`).

    Every segment is judged by itself: such checkpoints know no speaker. Raises `CheckpointError`.
    """

    def __init__(self, checkpoint: str, *, device: str = "cpu", agitated_share: float | None = None) -> None:
        transformers = _transformers()
        try:
            self._extractor = transformers.AutoFeatureExtractor.from_pretrained(checkpoint)
            model = transformers.AutoModelForAudioClassification.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise _unusable(checkpoint, "audio-classification", error) from None
        if self._extractor.sampling_rate != ENGINE_SAMPLE_RATE_HZ:
            raise CheckpointError(
                f"the checkpoint {checkpoint} hears {self._extractor.sampling_rate} Hz, "
                f"segments come at {ENGINE_SAMPLE_RATE_HZ} Hz: choose another one"
            )
        self._classifier = _Classifier(checkpoint, model, device, agitated_share)

    @property
    def identity(self) -> str:
        """The checkpoint with a digest of its weights: a folder may be overwritten."""
        return self._classifier.identity

    def of_speaker(self) -> "TransformersSoundHead":
        """Itself: there is nothing to remember of a speaker."""
        return self

    def read(self, samples: Samples, pooled: PooledStates | None) -> HeadReading | SoundGap:
        """What a segment says by its sound (mono, 16 kHz), or why it says nothing. `pooled` is not looked at."""
        del pooled
        if len(samples) < MIN_SOUND_MS * ENGINE_SAMPLE_RATE_HZ // 1000:
            return "too_short"
        if float(np.mean(samples**2)) < 10 ** (SILENCE_DBFS / 10):
            return "silent"
        inputs = self._extractor(samples, sampling_rate=ENGINE_SAMPLE_RATE_HZ, return_tensors="pt")
        return self._classifier.read(inputs)


class _Classifier:
    """A model with its labels, from prepared inputs to a reading."""

    def __init__(self, checkpoint: str, model: Any, device: str, agitated_share: float | None) -> None:
        weights = tuple(value.float().numpy() for _name, value in sorted(model.state_dict().items()))
        self.identity = f"{PurePath(checkpoint).name}@{digest_of((RECIPE, weights, str(model.config)))}"
        try:
            self._model = model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise CheckpointError(
                f"the device {device} cannot run the checkpoint {checkpoint} ({type(error).__name__}): "
                "choose cpu, or a device that torch has here"
            ) from None
        self._device = device
        labels = [str(model.config.id2label[index]) for index in range(model.config.num_labels)]
        self._classes = classes_of(checkpoint, labels)
        self._agitated_share = agitated_share or self._classes.count(AGITATED_CLASS) / len(self._classes)

    def read(self, inputs: Mapping[str, Any]) -> HeadReading:
        import torch  # type: ignore[import-not-found,unused-ignore] # an extra

        with torch.inference_mode():
            on_device = {name: value.to(self._device) for name, value in inputs.items()}
            logits: Logits = self._model(**on_device).logits[0].double().cpu().numpy()
        return _reading(logits, self._classes, self._agitated_share)


def classes_of(checkpoint: str, labels: list[str]) -> tuple[str, ...]:
    """The class that each label means. Raises `CheckpointError` where none of them means anger, or all do."""
    classes = tuple(CLASS_OF_LABEL.get(_plain(label), "other") for label in labels)
    if not 0 < classes.count(AGITATED_CLASS) < len(classes):
        raise CheckpointError(
            f"the checkpoint {checkpoint} has the labels {', '.join(labels)}: exactly those that mean anger must be "
            "called angry or anger; rename them in id2label of its config.json"
        )
    return classes


def _plain(label: str) -> str:
    """A label without the case, and without the second language that some checkpoints write after a slash."""
    lower = label.strip().lower()
    return next((part for part in lower.split("/") if part in CLASS_OF_LABEL), lower)


def _reading(logits: Logits, classes: tuple[str, ...], agitated_share: float) -> HeadReading:
    relative = np.exp(logits - logits.max())
    by_class: dict[str, float] = {}
    for name, probability in zip(classes, (relative / relative.sum()).tolist(), strict=True):
        by_class[name] = by_class.get(name, 0.0) + probability
    return HeadReading(
        evidence=log_odds(by_class[AGITATED_CLASS]) - log_odds(agitated_share),
        valence=sum(VALENCE_OF_CLASS[name] * probability for name, probability in by_class.items()),
        classes=by_class,
    )


def _transformers() -> Any:
    try:
        import torch  # type: ignore[import-not-found,unused-ignore] # noqa: F401 - an extra; transformers needs it
        import transformers  # type: ignore[import-not-found,unused-ignore] # an extra
    except ModuleNotFoundError:
        raise CheckpointError(
            "a checkpoint as an emotion head needs transformers and torch: run `pip install 'callstream[transformers]'`"
        ) from None
    return transformers


def _unusable(checkpoint: str, task: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint {checkpoint} cannot be loaded ({type(error).__name__}): give the folder of a {task} "
        "checkpoint with its config.json, weights and preprocessor, or an id that this machine can reach"
    )
