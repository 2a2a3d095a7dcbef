"""A Hugging Face encoder that reads sentences, and its fine-tuning. Needs `pip install 'callstream[transformers]'`.

Checkpoints are folders on this machine, with weights as safetensors: no hub is asked, no code of a checkpoint is run,
and nothing is unpickled.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.reading.adapting import LabelledCall
from processors.reading.encoded_reader import ENCODED, OF_CALL, OF_VIOLATION, ReadSentence, sentences_of
from processors.reading.heads import ReadingWeightsError

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"

MAX_TOKENS = 128
READ_AT_ONCE, LEARNED_AT_ONCE = 32, 16
"""Sentences in a batch."""

SEED = 20_261_202
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; in the others it falls to 0."""
WEIGHT_DECAY, LARGEST_GRADIENT = 0.01, 1.0
LARGEST_CLASS_WEIGHT = 20.0
"""So much at most weighs a positive example, however rare they are."""
PATIENCE = 2
"""After so many epochs without a lower loss on the calls left out, no further one is tried."""

INSTALL = "pip install 'callstream[transformers]'"


class EncoderError(ReadingWeightsError):
    """An encoder cannot be used or learned; the text says why and what to do."""


class TransformersEncoder:
    """A fine-tuned checkpoint in a folder. On the CPU, the same sentences give the same logits.

    `expected` are the digests that its files must have. Raises `EncoderError`.
    """

    def __init__(self, folder: Path, device: str = "cpu", *, expected: Mapping[str, str] | None = None) -> None:
        transformers = require_transformers()
        self._folder = folder
        self._files = digests_of(folder)
        if expected is not None and self._files != dict(expected):
            raise EncoderError(
                f"the encoder in {folder} is damaged or was changed (its files are not those that were published): "
                "publish the model again"
            )
        self._tokenizer, self._model = _load(transformers, folder)
        self._device = device
        self._model = _on_device(self._model, device).eval()

    @property
    def files(self) -> Mapping[str, str]:
        """Name of each of its files → SHA-256."""
        return self._files

    def logits(self, sentences: Sequence[ReadSentence]) -> NDArray[np.float64]:
        """Shape (sentences, 2). Long ones are cut to `MAX_TOKENS`."""
        return _logits(self._tokenizer, self._model, self._device, sentences)

    def save(self, folder: Path) -> None:
        """Copy its files into another folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in self._files:
            copyfile(self._folder / name, folder / name)


def digests_of(folder: Path) -> dict[str, str]:
    """Name of each file of a folder → SHA-256. Raises `EncoderError`."""
    found = {}
    try:
        for file in sorted(folder.iterdir()):
            with file.open("rb") as stream:
                found[file.name] = file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EncoderError(f"the encoder in {folder} cannot be read ({error.strerror}): publish it again") from None
    return found


# --- fine-tuning


@dataclass(frozen=True)
class FineTuning:
    """How an encoder is fine-tuned: where, how often at most each sentence is seen, and how fast it learns."""

    checkpoint: Path
    device: str
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class FineTuned:
    """What became of it: the loss after each epoch on the calls left out, and which epoch was kept, from 1 on."""

    base: str
    base_digest: str
    sentences: int
    class_weights: tuple[float, float]
    losses: tuple[float, ...]
    kept_epoch: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class _Example:
    sentence: ReadSentence
    labels: tuple[float, float]
    """1, 0, or not a number where nothing is known; in the columns of logits."""


def require_trainable(checkpoint: Path, device: str | None) -> str:
    """The device that was named, or else the GPU: what cannot be begun is refused before any call is read.

    Raises `EncoderError` where the extra, the checkpoint or the device is missing, and where none was named and there
    is no GPU.
    """
    _require_checkpoint(checkpoint)
    transformers = require_transformers()
    import torch  # type: ignore[import-not-found,unused-ignore] # an extra

    _tokenizer, model = _load(transformers, checkpoint)
    if device is None and not torch.cuda.is_available():
        raise EncoderError(
            "torch finds no GPU here. On a CPU an encoder of the size of BERT base learns from two hundred calls for "
            "hours (docs/learning.md): if you want that, say --device cpu"
        )
    _on_device(model, device or "cuda")
    return device or "cuda"


def fine_tune(
    tuning: FineTuning,
    learned_from: Sequence[LabelledCall],
    left_out: Sequence[LabelledCall],
    folder: Path,
    tell: Callable[[str], None],
) -> tuple[TransformersEncoder, FineTuned]:
    """Fine-tune a checkpoint on some calls, and write the epoch that reads those left out best into an empty folder.

    Each sentence whose label, or whose call's label, is known is an example; the two kinds are learned together, and
    rare positive ones weigh more. On the CPU the same calls give the same weights. Raises `EncoderError`.
    """
    transformers = require_transformers()
    import torch

    torch.manual_seed(SEED)
    tokenizer, model = _load(transformers, tuning.checkpoint)
    model = _on_device(model, tuning.device)
    examples, judged = _examples(learned_from), _examples(left_out)
    class_weights = _class_weights(examples)
    positive_weights = torch.tensor(class_weights, device=tuning.device)

    def loss_of(logits: Any, batch: Sequence[_Example]) -> Any:
        labels = torch.tensor([each.labels for each in batch], dtype=torch.float32, device=tuning.device)
        known = ~torch.isnan(labels)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(labels), pos_weight=positive_weights, reduction="none"
        )
        return losses[known].mean()

    steps = tuning.epochs * -(-len(examples) // LEARNED_AT_ONCE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=tuning.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, steps))
    chance = np.random.default_rng(SEED)
    losses: list[float] = []
    kept: dict[str, Any] = {}
    for epoch in range(tuning.epochs):
        model.train()
        order = chance.permutation(len(examples))
        for places in _batches(order.tolist(), LEARNED_AT_ONCE):
            batch = [examples[place] for place in places]
            inputs = _tokens(tokenizer, model, [each.sentence for each in batch], tuning.device)
            loss = loss_of(model(**inputs).logits, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
        model.eval()
        read = _logits(tokenizer, model, tuning.device, [each.sentence for each in judged])
        losses.append(float(loss_of(torch.tensor(read, dtype=torch.float32, device=tuning.device), judged)))
        tell(f"epoch {epoch + 1} of {tuning.epochs}: loss on the calls left out {losses[-1]:.4f}")
        if not np.isfinite(losses[-1]):
            raise EncoderError("the encoder learns nothing, its loss is no number: name a lower --learning-rate")
        if losses[-1] == min(losses):
            kept = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        if epoch - int(np.argmin(losses)) >= PATIENCE:
            break
    model.load_state_dict(kept)
    folder.mkdir(parents=True, exist_ok=True)
    model.cpu().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    report = FineTuned(
        tuning.checkpoint.resolve().name,
        digests_of_weights(tuning.checkpoint),
        len(examples),
        class_weights,
        tuple(losses),
        int(np.argmin(losses)) + 1,
        {"torch": str(torch.__version__), "transformers": str(transformers.__version__)},
    )
    return TransformersEncoder(folder, tuning.device), report


def digests_of_weights(checkpoint: Path) -> str:
    """The SHA-256 of its weights, as `sha256sum` prints it."""
    with (checkpoint / WEIGHTS_FILE).open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _examples(calls: Sequence[LabelledCall]) -> list[_Example]:
    found = []
    for call in calls:
        of_call = _number(call.worth_hearing)
        for role in ENCODED:
            sentences = sentences_of(call.said, role)
            of_sentences = call.violations if role == "agent" else (None,) * len(sentences)
            for sentence, violation in zip(sentences, of_sentences, strict=True):
                labels = [of_call, of_call]
                labels[OF_VIOLATION], labels[OF_CALL] = _number(violation), of_call
                if not np.isnan(labels).all():
                    found.append(_Example(sentence, (labels[0], labels[1])))
    return found


def _number(label: bool | None) -> float:
    return np.nan if label is None else float(label)


def _class_weights(examples: Sequence[_Example]) -> tuple[float, float]:
    """What a positive example weighs in each column, where a negative one weighs 1: as often as they are rarer."""
    labels = np.array([each.labels for each in examples])
    positive, negative = np.nansum(labels, axis=0), np.nansum(1 - labels, axis=0)
    weights = np.clip(negative / np.maximum(positive, 1), 1 / LARGEST_CLASS_WEIGHT, LARGEST_CLASS_WEIGHT)
    return float(weights[0]), float(weights[1])


def _share_of_rate(step: int, steps: int) -> float:
    warm_up = max(1, round(WARM_UP * steps))
    return (step + 1) / warm_up if step < warm_up else max(0.0, (steps - step) / max(1, steps - warm_up))


# --- checkpoints


def require_transformers() -> Any:
    """The module. Raises `EncoderError` where the extra is not installed."""
    try:
        import torch  # noqa: F401 - transformers needs it
        import transformers  # type: ignore[import-not-found,unused-ignore] # an extra
    except ModuleNotFoundError:
        raise EncoderError(f"an encoder needs transformers and torch: run `{INSTALL}`") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _require_checkpoint(folder: Path) -> None:
    """Raises `EncoderError` where a folder is none of a checkpoint that can be used."""
    if not (folder / CONFIG_FILE).is_file():
        raise EncoderError(
            f"{folder} is no checkpoint (it has no {CONFIG_FILE}): name the folder of a Hugging Face encoder on this "
            "machine; none is fetched"
        )
    if not (folder / WEIGHTS_FILE).is_file():
        raise EncoderError(
            f"{folder} has no {WEIGHTS_FILE}: weights in other files are not read, because those that are pickled may "
            "run code; load it where you trust it and `save_pretrained` it again"
        )
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise EncoderError(f"{folder / CONFIG_FILE} is not JSON: the checkpoint is damaged") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise EncoderError(f"{folder / CONFIG_FILE} names no model_type: the checkpoint cannot be used")


def _load(transformers: Any, folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model with two outputs, with random weights in front of those where the checkpoint has none."""
    _require_checkpoint(folder)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, about = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=2,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # of transformers, tokenizers, safetensors and torch each its own
        raise EncoderError(
            f"the checkpoint {folder} cannot be loaded ({type(error).__name__}): name the folder of an encoder whose "
            "architecture transformers knows, with its tokenizer"
        ) from None
    within = f"{model.base_model_prefix}."
    missing = [name for name in about["missing_keys"] if name.startswith(within) and ".pooler." not in name]
    if missing:
        raise EncoderError(
            f"the checkpoint {folder} lacks {len(missing)} of the weights that its {CONFIG_FILE} names: it is damaged"
        )
    if tokenizer.pad_token_id is None or len(tokenizer) > model.config.vocab_size:
        raise EncoderError(
            f"the tokenizer of {folder} does not fit its weights (it has no padding token, or more tokens than they): "
            "use another checkpoint"
        )
    return tokenizer, model.float()


def _on_device(model: Any, device: str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise EncoderError(
            f"the device {device} cannot run the encoder ({type(error).__name__}): choose cpu, or a device that torch "
            "has here"
        ) from None


def _tokens(tokenizer: Any, model: Any, sentences: Sequence[ReadSentence], device: str) -> Mapping[str, Any]:
    """Padded to the longest of these."""
    longest = min(MAX_TOKENS, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", MAX_TOKENS))
    inputs = tokenizer(
        [one.own for one in sentences],
        [one.around for one in sentences],
        return_tensors="pt",
        padding=True,
        truncation="longest_first",
        max_length=longest,
    )
    return {name: value.to(device) for name, value in inputs.items()}


def _logits(tokenizer: Any, model: Any, device: str, sentences: Sequence[ReadSentence]) -> NDArray[np.float64]:
    import torch

    found = np.zeros((len(sentences), 2))
    # Those of like length stand together: a batch is padded to its longest.
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place].own) + len(sentences[place].around))
    with torch.inference_mode():
        for places in _batches(order, READ_AT_ONCE):
            inputs = _tokens(tokenizer, model, [sentences[place] for place in places], device)
            found[places] = model(**inputs).logits.double().cpu().numpy()
    return found


def _batches(places: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(places), size):
        yield list(places[start : start + size])
