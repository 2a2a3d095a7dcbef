"""Whisper through CTranslate2 (faster-whisper): windows of one call in batches, with times of every word."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from processors.listening.engine_port import (
    ENCODER_FRAMES_PER_SECOND,
    EncoderStates,
    EngineSettings,
    PooledStates,
    Recognition,
    RecognizedSpeech,
    RecognizedWord,
    SpeechClip,
    StatesPool,
)
from processors.listening.engines.device import Device, check_whisper_device
from processors.listening.engines.weights import PACKAGED, WeightsError, find_weights
from processors.listening.hallucination import compression_ratio, has_loop
from processors.listening.packing import ClipWindow, PackedClip, alone, pack
from schemas.messages.transcript import EngineIdentity

# Rises when the same model with the same settings would write something else than before.
_RECIPE = 2

# Whisper was trained on 30 s of mel (3000 frames). The encoder takes less, in proportion to the length, but below
# ten seconds it begins to invent and to repeat.
_FRAMES_FULL = 3_000
_FRAMES_LEAST = 1_000
_FRAMES_BEHIND = 100
_MS_PER_FRAME = 10

# Nobody speaks more than this; a loop would otherwise run to the model's limit of 448 tokens.
_TOKENS_FREE = 30
_TOKENS_PER_SECOND = 20

_MAX_COMPRESSION_RATIO = 2.4
# Short answers heard alone stay below 0.25, bursts of noise above 0.43.
_OVERHEARD_NO_SPEECH = 0.35
_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"
_LANGUAGES_OF_HINTS = {"cmn": "zh"}

Mel = NDArray[np.float32]
ComputeType = Literal[
    "int8", "int8_float16", "int8_bfloat16", "int8_float32", "int16", "float16", "bfloat16", "float32"
]


def _absolute_folder(model: str) -> str:
    """Workers run in another folder than who wrote the setting; a model id of the hub stays as it is."""
    return str(Path(model).absolute()) if "/" in model and Path(model).is_dir() else model


class WhisperSettings(EngineSettings):
    """What the operator may say of Whisper."""

    kind: ClassVar[str] = "faster-whisper"
    hears_several: ClassVar[bool] = True

    whisper_model: Annotated[str, AfterValidator(_absolute_folder)] = Field(
        default="packaged",
        description="a folder, `packaged` (Whisper base from the embedded extra), or a model id of the hub",
    )
    whisper_device: Literal["cpu", "cuda", "auto"] = Field(default="cpu", description="where the model runs")
    whisper_compute_type: ComputeType = Field(default="int8", description="int8 on CPU; float16 or int8_float16 on GPU")
    whisper_threads: int = Field(
        default=1, ge=1, le=64, description="CPU threads of one listen worker; scale by workers"
    )
    whisper_beam_size: int = Field(default=5, ge=1, le=20, description="beam of the decoder")
    whisper_batch_size: int = Field(default=8, ge=1, le=128, description="windows of up to 30 s decoded together")
    whisper_hot_words: str = Field(
        default="",
        max_length=500,
        description="terms that Whisper is primed with before each window, separated by spaces; harmful with "
        "Whisper base (docs/speech.md); empty: none",
    )

    @property
    def errs_by_sound(self) -> bool:
        """See `EngineSettings.errs_by_sound`."""
        return self.whisper_model == PACKAGED

    def build(self, cache_dir: Path) -> "FasterWhisperEngine":
        """See `EngineSettings.build`."""
        return FasterWhisperEngine(
            model=self.whisper_model,
            cache_dir=cache_dir,
            device=self.whisper_device,
            compute_type=self.whisper_compute_type,
            threads=self.whisper_threads,
            beam_size=self.whisper_beam_size,
            batch_size=self.whisper_batch_size,
            hot_words=self.whisper_hot_words,
        )


@dataclass(frozen=True)
class _Decoded:
    """What the model decoded from one window."""

    tokens: list[int]
    no_speech_probability: float
    words: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return "".join(word["word"] for word in self.words)


class FasterWhisperEngine:
    """Any Whisper model that CTranslate2 reads. Loads it when built; may be used by several threads at once, whose
    batches take turns in the model.

    `model` is a folder, `packaged`, or a model id; `hot_words` are put in front of every window as if they had been
    said before. Raises `WeightsError` and `DeviceError` with what to do.
    """

    def __init__(
        self,
        *,
        model: str,
        cache_dir: Path,
        device: Device,
        compute_type: str,
        threads: int,
        beam_size: int,
        batch_size: int,
        hot_words: str = "",
    ) -> None:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped] # ships without types

        check_whisper_device(device, compute_type)
        weights = find_weights(model, cache_dir)
        try:
            self._whisper = WhisperModel(
                str(weights.folder), device=device, compute_type=compute_type, cpu_threads=threads, num_workers=1
            )
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"the model in {weights.folder} cannot be loaded on {device} ({type(error).__name__}): take or convert "
                "it anew; on a GPU, check that its memory is free"
            ) from None
        self._beam_size = beam_size
        self._hot_words = hot_words.strip()
        self._batch_size = batch_size
        self._identity = EngineIdentity(
            name="faster-whisper",
            version=version("faster-whisper"),
            model=weights.name,
            settings={
                "batch_size": batch_size,
                "beam_size": beam_size,
                "compute_type": compute_type,
                "device": self._whisper.model.device,
                "recipe": _RECIPE,
                **({"hot_words": self._hot_words} if self._hot_words else {}),
            },
        )

    @property
    def identity(self) -> EngineIdentity:
        """Name, version, model and the settings that change its output."""
        return self._identity

    def recognize(
        self, clips: Sequence[SpeechClip], *, language_hint: str | None, pool: StatesPool | None = None
    ) -> Recognition:
        """Recognise the clips of one call, at least one; one result for each, in the same order."""
        if not clips:
            raise ValueError("no clips")
        # Longest first: windows of a batch are padded to the longest, and the language shows best in long ones.
        windows = sorted(pack(clips), key=lambda window: window.duration_ms, reverse=True)
        first = self._encode(windows[: self._batch_size])
        language, confidence = self._language(first, self._known_language(language_hint))
        results: dict[int, RecognizedSpeech] = {}
        pooled: dict[int, PooledStates] = {}
        for start in range(0, len(windows), self._batch_size):
            batch = windows[start : start + self._batch_size]
            encoded = first if start == 0 else self._encode(batch)
            if pool is not None:
                pooled |= _pool_clips(batch, _states(encoded), pool)
            for window, decoded in zip(batch, self._decode(batch, encoded, language), strict=True):
                results |= _speech_of(window, self._without_loop(window, decoded, language))
        results |= self._overheard([alone(i, clip) for i, clip in enumerate(clips) if not results[i].text], language)
        speech = (replace(results[index], pooled_states=pooled.get(index)) for index in range(len(clips)))
        return Recognition(language, confidence, tuple(speech))

    def _overheard(self, windows: Sequence[ClipWindow], language: str) -> dict[int, RecognizedSpeech]:
        """Clips without a word once more, each alone: among longer turns the model passes over 嗯 and 好的.

        What is not plainly speech stays without words, because alone the model finds words in a cough too.
        """
        results: dict[int, RecognizedSpeech] = {}
        for start in range(0, len(windows), self._batch_size):
            batch = windows[start : start + self._batch_size]
            for window, decoded in zip(batch, self._decode(batch, self._encode(batch), language), strict=True):
                if decoded.no_speech_probability <= _OVERHEARD_NO_SPEECH and not _is_loop(decoded):
                    results |= _speech_of(window, decoded)
        return results

    def _known_language(self, hint: str | None) -> str | None:
        """The model's name for a hinted language; None where there is no hint, or none that the model knows."""
        if not self._whisper.model.is_multilingual:
            return "en"
        primary = (hint or "").split("-")[0].lower()
        language = _LANGUAGES_OF_HINTS.get(primary, primary)
        # Cantonese has a name in every tokenizer's list, but a token in large-v3 only.
        has_token = self._whisper.hf_tokenizer.token_to_id(f"<|{language}|>") is not None
        return language if language in self._whisper.supported_languages and has_token else None

    def _language(self, encoded: Any, hinted: str | None) -> tuple[str, float]:
        """The hinted language, else the one that is most probable over the windows; with its mean probability."""
        if not self._whisper.model.is_multilingual:
            return "en", 1.0
        sums: dict[str, float] = {}
        guesses = self._whisper.model.detect_language(encoded)
        for guess in guesses:
            for token, probability in guess:
                sums[token[2:-2]] = sums.get(token[2:-2], 0.0) + probability
        language = hinted or max(sums, key=lambda name: sums[name])
        return language, min(1.0, sums.get(language, 0.0) / len(guesses))

    def _without_loop(self, window: ClipWindow, decoded: _Decoded, language: str) -> _Decoded:
        """A window that came out as a loop once more: often it ends with the 30 s that the model was trained on."""
        if not _is_loop(decoded):
            return decoded
        return self._decode([window], self._encode([window], _FRAMES_FULL), language)[0]

    def _encode(self, windows: Sequence[ClipWindow], least_frames: int = _FRAMES_LEAST) -> Any:
        longest = max(window.duration_ms for window in windows) // _MS_PER_FRAME + _FRAMES_BEHIND
        frames = min(_FRAMES_FULL, max(least_frames, longest + longest % 2))
        return self._whisper.encode(np.stack([self._mel(window, frames) for window in windows]))

    def _mel(self, window: ClipWindow, frames: int) -> Mel:
        mel = self._whisper.feature_extractor(window.samples())[..., :-1][..., :frames]
        padded: Mel = np.pad(mel, ((0, 0), (0, frames - mel.shape[-1]))).astype(np.float32)
        return padded

    def _decode(self, windows: Sequence[ClipWindow], encoded: Any, language: str) -> list[_Decoded]:
        from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped] # ships without types
        from faster_whisper.transcribe import (  # type: ignore[import-untyped] # ships without types
            get_suppressed_tokens,
            merge_punctuations,
        )

        whisper = self._whisper
        tokenizer = Tokenizer(whisper.hf_tokenizer, whisper.model.is_multilingual, task="transcribe", language=language)
        prompt = whisper.get_prompt(tokenizer, [], without_timestamps=True, hotwords=self._hot_words or None)
        longest_s = max(window.duration_ms for window in windows) / 1000
        generated = whisper.model.generate(
            encoded,
            [prompt] * len(windows),
            beam_size=self._beam_size,
            max_length=min(whisper.max_length, len(prompt) + _TOKENS_FREE + int(longest_s * _TOKENS_PER_SECOND)),
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            return_no_speech_prob=True,
        )
        tokens = [[token for token in each.sequences_ids[0] if token < tokenizer.eot] for each in generated]
        frames = [window.duration_ms // _MS_PER_FRAME for window in windows]
        alignments = whisper.find_alignment(tokenizer, tokens, encoded, frames)
        for alignment in alignments:
            merge_punctuations(alignment, _PREPENDED, _APPENDED)
        return [
            _Decoded(window_tokens, each.no_speech_prob, [word for word in alignment if word["word"]])
            for window_tokens, each, alignment in zip(tokens, generated, alignments, strict=True)
        ]


def _states(encoded: Any) -> EncoderStates:
    """The encoder's output of a batch as an array, shape (windows, frames, d)."""
    from ctranslate2 import DataType, Device  # type: ignore[import-untyped] # ships without types

    on_cpu = encoded if encoded.device == "cpu" else encoded.to_device(Device.cpu)
    states: EncoderStates = np.asarray(on_cpu if encoded.dtype == DataType.float32 else on_cpu.to(DataType.float32))
    return states


def _pool_clips(windows: Sequence[ClipWindow], states: EncoderStates, pool: StatesPool) -> dict[int, PooledStates]:
    """What the pool makes of each clip of a batch, by the position of the clip."""
    return {
        place.index: pool(place.clip, of_window[_frame_at(place.offset_ms) : _frame_at(place.end_offset_ms)])
        for window, of_window in zip(windows, states, strict=True)
        for place in window.places
    }


def _frame_at(window_ms: int) -> int:
    return window_ms * ENCODER_FRAMES_PER_SECOND // 1000


def _is_loop(decoded: _Decoded) -> bool:
    return has_loop(decoded.text) or compression_ratio(decoded.text) > _MAX_COMPRESSION_RATIO


def _speech_of(window: ClipWindow, decoded: _Decoded) -> dict[int, RecognizedSpeech]:
    """What was said in each clip of a window, by the position of the clip; words at their times in the recording."""
    words: dict[int, list[RecognizedWord]] = {place.index: [] for place in window.places}
    for word in decoded.words:
        start_ms, end_ms = round(float(word["start"]) * 1000), round(float(word["end"]) * 1000)
        place = window.place_of(start_ms, end_ms)
        words[place.index].append(
            RecognizedWord(
                text=word["word"],
                start_ms=_within(place, start_ms),
                end_ms=_within(place, end_ms),
                confidence=min(1.0, max(0.0, float(word["probability"]))),
            )
        )
    return {place.index: _build_speech(place, words[place.index], decoded) for place in window.places}


def _build_speech(place: PackedClip, words: Sequence[RecognizedWord], decoded: _Decoded) -> RecognizedSpeech:
    words = _strip(words)
    return RecognizedSpeech(
        channel=place.clip.channel,
        start_ms=place.clip.start_ms,
        end_ms=place.clip.end_ms,
        text="".join(word.text for word in words),
        words=words,
        confidence=float(np.mean([word.confidence for word in words])) if words else 0.0,
        no_speech_probability=min(1.0, max(0.0, decoded.no_speech_probability)),
    )


def _within(place: PackedClip, window_ms: int) -> int:
    """A time of the window as a time of the recording, inside the clip."""
    return min(place.clip.end_ms, max(place.clip.start_ms, place.clip.start_ms + window_ms - place.offset_ms))


def _strip(words: Sequence[RecognizedWord]) -> tuple[RecognizedWord, ...]:
    """The words without the space that Whisper writes in front of a sentence."""
    texts = [word.text for word in words]
    if texts:
        texts[0] = texts[0].lstrip()
        texts[-1] = texts[-1].rstrip()
    return tuple(
        RecognizedWord(text, word.start_ms, word.end_ms, word.confidence)
        for text, word in zip(texts, words, strict=True)
        if text
    )
