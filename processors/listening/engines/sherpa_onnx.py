"""SenseVoice, Paraformer and Zipformer through sherpa-onnx, from a folder that holds the model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from processors.file_digests import sha256_of
from processors.listening.engine_port import (
    ENGINE_SAMPLE_RATE_HZ,
    EngineSettings,
    Recognition,
    RecognizedSpeech,
    RecognizedWord,
    SpeechClip,
    StatesPool,
)
from processors.listening.engines.device import Device, check_sherpa_device
from processors.listening.engines.onnx_metadata import metadata_of_weights
from processors.listening.engines.weights import WeightsError
from processors.listening.packing import alone
from schemas.config.settings_part import OptionalPath
from schemas.messages.transcript import EngineIdentity

ModelKind = Literal["sense_voice", "paraformer", "zipformer_ctc", "transducer"]

# Rises when the same model with the same settings would write something else than before.
_RECIPE = 1

_KIND_OF_TYPE: dict[str, ModelKind] = {
    "sense_voice_ctc": "sense_voice",
    "paraformer": "paraformer",
    "zipformer2_ctc": "zipformer_ctc",
    "zipformer_ctc": "zipformer_ctc",
}
_TRANSDUCER_TYPES = ("zipformer2", "zipformer", "conformer", "lstm")
_STREAMING_PROPERTY = "decode_chunk_len"
_FILES = "https://k2-fsa.github.io/sherpa/onnx/pretrained_models/"

# A token has a beginning and, in most models, no end: it lasts until the next, but not longer than a drawn-out word.
_LONGEST_WORD_MS = 600
# Most of these models do not say how sure they are: neither a doubt nor a certainty to any guard.
_UNTOLD_CONFIDENCE = 0.5
_PIECE_BEGINS_WORD = "▁"
_PIECE_GOES_ON = "@@"
_NO_SPEECH_LANGUAGE = "nospeech"


class SherpaSettings(EngineSettings):
    """What the operator may say of the recognisers of sherpa-onnx."""

    kind: ClassVar[str] = "sherpa-onnx"

    sherpa_model: OptionalPath = Field(
        default=None, description="sherpa-onnx: the folder of a non-streaming model, needed with that engine"
    )
    sherpa_device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="sherpa-onnx: where its models run; cuda needs a build of the package for CUDA"
    )
    sherpa_threads: int = Field(default=1, ge=1, le=64, description="sherpa-onnx: CPU threads of one listen worker")
    sherpa_batch_size: int = Field(default=8, ge=1, le=128, description="sherpa-onnx: turns decoded together")

    def lacking(self) -> str | None:
        """See `EngineSettings.lacking`."""
        return None if self.sherpa_model else "sherpa_model, the folder of a model"

    def build(self, cache_dir: Path) -> "SherpaOnnxEngine":  # noqa: ARG002 - its models are not fetched
        """See `EngineSettings.build`."""
        if self.sherpa_model is None:
            raise WeightsError(f"speech_engine {self.kind} needs {self.lacking()}")
        return SherpaOnnxEngine(
            model=self.sherpa_model,
            device=self.sherpa_device,
            threads=self.sherpa_threads,
            batch_size=self.sherpa_batch_size,
        )


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model: of what kind it is, and its files by role (`model`, or `encoder`, `decoder`, `joiner`)."""

    folder: Path
    kind: ModelKind
    files: dict[str, Path]

    @property
    def tokens(self) -> Path:
        """The list of tokens."""
        return self.folder / "tokens.txt"

    @property
    def name(self) -> str:
        """What identifies this model: the folder's name and the digest of its largest file."""
        largest = max(self.files.values(), key=lambda file: file.stat().st_size)
        return f"{self.folder.resolve().name}@{sha256_of(largest)[:12]}"


class SherpaOnnxEngine:
    """A model that hears any length at once. Loads it when built; one thread at a time.

    `model` is a folder as the sherpa-onnx project publishes them. Raises `WeightsError` and `DeviceError` with what
    to do.
    """

    def __init__(self, *, model: Path, device: Device, threads: int, batch_size: int) -> None:
        library = sherpa_library()
        check_sherpa_device(device)
        found = find_model(model, prefer_int8=device != "cuda")
        self._recognizer = _load(library.OfflineRecognizer, found, device, threads)
        self._batch_size = batch_size
        self._identity = EngineIdentity(
            name="sherpa-onnx",
            version=version("sherpa-onnx"),
            model=found.name,
            settings={"batch_size": batch_size, "device": device, "kind": found.kind, "recipe": _RECIPE},
        )

    @property
    def identity(self) -> EngineIdentity:
        """Name, version, model and the settings that change its output."""
        return self._identity

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        """Recognise the clips of one call, at least one; one result for each, in the same order.

        The model detects the language, where it knows more than one; where it does not say, the hint is believed.
        These models show no encoder states: a `pool` gets none.
        """
        del pool
        if not clips:
            raise ValueError("no clips")
        results: list[Any] = []
        for start in range(0, len(clips), self._batch_size):
            streams = [self._stream(clip) for clip in clips[start : start + self._batch_size]]
            self._recognizer.decode_streams(streams)
            results.extend(stream.result for stream in streams)
        speech = tuple(speech_of(clip, result) for clip, result in zip(clips, results, strict=True))
        language, confidence = language_of(clips, [language_from_result(result) for result in results], language_hint)
        return Recognition(language, confidence, speech)

    def _stream(self, clip: SpeechClip) -> Any:
        stream = self._recognizer.create_stream()
        stream.accept_waveform(ENGINE_SAMPLE_RATE_HZ, alone(0, clip).samples())
        return stream


def find_model(folder: Path, *, prefer_int8: bool) -> ModelFolder:
    """The model in a folder: its kind, by what its ONNX files say of themselves, and its files.

    Of two precisions the 8-bit one is taken when it is preferred. Raises `WeightsError`: what sherpa-onnx does not
    understand must not reach it, because it would end the process.
    """
    if not folder.is_dir():
        raise WeightsError(f"sherpa_model names the folder {folder}, which does not exist")
    if not (folder / "tokens.txt").is_file():
        raise WeightsError(f"the folder {folder} lacks tokens.txt: take the whole folder of a model from {_FILES}")
    _check_tokens(folder / "tokens.txt")
    parts = {part: _precision(folder, part, prefer_int8) for part in ("encoder", "decoder", "joiner")}
    transducer = {part: file for part, file in parts.items() if file is not None}
    if "joiner" in transducer or "encoder" in transducer:
        return _transducer(folder, transducer)
    single = _precision(folder, "model", prefer_int8)
    if single is None:
        raise WeightsError(
            f"the folder {folder} holds neither model*.onnx nor encoder*.onnx, decoder*.onnx and joiner*.onnx: take "
            f"the whole folder of a model from {_FILES}"
        )
    told = metadata_of_weights(single)
    kind = _KIND_OF_TYPE.get(told.get("model_type", ""))
    if _STREAMING_PROPERTY in told:
        raise _streaming(single)
    if kind is None:
        raise _unknown(single, told)
    return ModelFolder(folder, kind, {"model": single})


def _check_tokens(file: Path) -> None:
    """Raise `WeightsError` unless every line is a token with its number."""
    try:
        lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        lines = [""]
    if not all(line.split() and line.split()[-1].isdigit() for line in lines):
        raise WeightsError(f"{file} is no list of tokens with their numbers (a pointer of Git LFS?): take it anew")


def _transducer(folder: Path, files: dict[str, Path]) -> ModelFolder:
    missing = [f"{part}*.onnx" for part in ("encoder", "decoder", "joiner") if part not in files]
    if missing:
        raise WeightsError(f"the folder {folder} lacks {', '.join(missing)}: a transducer has three parts")
    told = metadata_of_weights(files["encoder"])
    if _STREAMING_PROPERTY in told:
        raise _streaming(files["encoder"])
    if told.get("model_type") not in _TRANSDUCER_TYPES:
        raise _unknown(files["encoder"], told)
    return ModelFolder(folder, "transducer", files)


def _precision(folder: Path, part: str, prefer_int8: bool) -> Path | None:
    files = sorted(folder.glob(f"{part}*.onnx"), key=lambda file: (("int8" in file.name) != prefer_int8, file.name))
    return files[0] if files else None


def _streaming(file: Path) -> WeightsError:
    return WeightsError(f"{file} is a streaming model, which hears less well: take a non-streaming one from {_FILES}")


def _unknown(file: Path, told: dict[str, str]) -> WeightsError:
    model_type = told.get("model_type")
    says = f"says that its type is {model_type!r}" if model_type else "does not say of what type it is"
    return WeightsError(
        f"{file} {says}; SenseVoice, Paraformer and Zipformer (transducer or CTC) as {_FILES} has them are understood"
    )


def sherpa_library() -> Any:
    """The module `sherpa_onnx`. Raises `WeightsError` where it is not installed."""
    try:
        return import_module("sherpa_onnx")
    except ModuleNotFoundError:
        raise WeightsError("sherpa-onnx is not installed: run `pip install 'callstream[sherpa-onnx]'`") from None


def _load(recognizer: Any, found: ModelFolder, provider: Device, threads: int) -> Any:
    how: dict[str, Any] = {"tokens": str(found.tokens), "num_threads": threads, "provider": provider}
    files = {part: str(file) for part, file in found.files.items()}
    try:
        if found.kind == "sense_voice":
            return recognizer.from_sense_voice(model=files["model"], language="auto", use_itn=True, **how)
        if found.kind == "paraformer":
            return recognizer.from_paraformer(paraformer=files["model"], **how)
        if found.kind == "zipformer_ctc":
            return recognizer.from_zipformer_ctc(model=files["model"], **how)
        return recognizer.from_transducer(**files, **how)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            f"sherpa-onnx cannot load the model in {found.folder} on {provider} ({type(error).__name__}): take the "
            "folder anew; on a GPU, check CUDA, cuDNN and free memory"
        ) from None


def speech_of(clip: SpeechClip, result: Any) -> RecognizedSpeech:
    """What sherpa-onnx recognised in one clip, with times in the recording."""
    text = str(result.text).strip()
    lead_ms = alone(0, clip).places[0].offset_ms
    words = words_of(clip, text, list(result.tokens), list(result.timestamps), list(result.ys_log_probs or ()), lead_ms)
    confidence = _UNTOLD_CONFIDENCE if text else 0.0
    return RecognizedSpeech(
        channel=clip.channel,
        start_ms=clip.start_ms,
        end_ms=clip.end_ms,
        text=text,
        words=words,
        confidence=float(np.mean([word.confidence for word in words])) if words else confidence,
        no_speech_probability=1.0 if language_from_result(result) == _NO_SPEECH_LANGUAGE else 0.0,
    )


def words_of(
    clip: SpeechClip,
    text: str,
    tokens: Sequence[str],
    starts_s: Sequence[float],
    log_probabilities: Sequence[float],
    lead_ms: int,
) -> tuple[RecognizedWord, ...]:
    """Tokens put together to the words of a text, each from where it begins to where the next does.

    None where the tokens have no times or are not what the text is made of (bytes, a text rewritten later).
    `lead_ms` is the silence that was put before the clip.
    """
    if not tokens or len(starts_s) != len(tokens):
        return ()
    groups = _groups(tokens)
    texts = _spell(text, ["".join(_letters(tokens[position]) for position in group) for group in groups])
    if not texts:
        return ()
    confidences = [_UNTOLD_CONFIDENCE] * len(tokens)
    if len(log_probabilities) == len(tokens):
        confidences = [min(1.0, float(np.exp(each))) for each in log_probabilities]
    starts_ms = [_within(clip, clip.start_ms + round(starts_s[group[0]] * 1000) - lead_ms) for group in groups]
    return tuple(
        RecognizedWord(
            text=word,
            start_ms=start_ms,
            end_ms=max(start_ms, min(next_ms, start_ms + _LONGEST_WORD_MS)),
            confidence=float(np.mean([confidences[position] for position in group])),
        )
        for word, group, (start_ms, next_ms) in zip(texts, groups, pairwise([*starts_ms, clip.end_ms]), strict=True)
        if word
    )


def _groups(tokens: Sequence[str]) -> list[list[int]]:
    """Positions of the tokens of each word. A Chinese character is a word.

    Pieces of other words are marked in one of two ways: by @@ behind a piece that goes on, or by ▁ in front of one
    that begins a word.
    """
    marked_in_front = any(token.startswith(_PIECE_BEGINS_WORD) for token in tokens)
    groups: list[list[int]] = []
    for position, token in enumerate(tokens):
        previous = tokens[position - 1] if position else ""
        both_latin = _is_latin(previous) and _is_latin(token) and not token.startswith(_PIECE_BEGINS_WORD)
        if previous.endswith(_PIECE_GOES_ON) or (marked_in_front and both_latin):
            groups[-1].append(position)
        else:
            groups.append([position])
    return groups


def _is_latin(token: str) -> bool:
    letters = _letters(token).replace("'", "")
    return not letters or (letters.isalpha() and max(letters) < "\u0250")


def _letters(token: str) -> str:
    return token.replace(_PIECE_GOES_ON, "").replace(_PIECE_BEGINS_WORD, "").strip()


def _spell(text: str, words: Sequence[str]) -> list[str]:
    """Each word as the text has it, with the space before it; empty when the text is not made of these words."""
    spelled: list[str] = []
    position = 0
    for word in words:
        begin = position + len(text[position:]) - len(text[position:].lstrip())
        if not text.startswith(word, begin):
            return []
        spelled.append(text[position : begin + len(word)])
        position = begin + len(word)
    return spelled if position == len(text) else []


def _within(clip: SpeechClip, at_ms: int) -> int:
    return min(clip.end_ms, max(clip.start_ms, at_ms))


def language_from_result(result: Any) -> str:
    """The language that a model tells of a clip (SenseVoice: <|zh|>), without its marks; empty where it tells none."""
    return str(result.lang).strip("<|>")


def language_of(clips: Sequence[SpeechClip], told: Sequence[str], hint: str | None) -> tuple[str, float]:
    """The language of most of the speech, and its share; the hint (else Chinese) where no clip tells one."""
    heard: Counter[str] = Counter()
    for clip, language in zip(clips, told, strict=True):
        if language and language != _NO_SPEECH_LANGUAGE:
            heard[language] += clip.end_ms - clip.start_ms
    if not heard:
        return (hint or "zh").split("-")[0].lower(), 0.0
    language, length_ms = heard.most_common(1)[0]
    return language, length_ms / heard.total()
