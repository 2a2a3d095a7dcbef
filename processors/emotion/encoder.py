"""The encoder of a Whisper model on its own, for training: the states that the recogniser has anyway at run time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from processors.emotion.sound_head import pool
from processors.listening.engine_port import ENCODER_FRAMES_PER_SECOND, PooledStates
from processors.listening.engines.weights import PACKAGED, find_weights
from processors.listening.packing import ClipWindow

# As the recogniser prepares its windows (`processors.listening.engines.faster_whisper`); a test compares the outcome.
_MS_PER_FRAME = 10
_FRAMES_FULL = 3_000
_FRAMES_LEAST = 1_000
_FRAMES_BEHIND = 100


class StatesEncoder(Protocol):
    """Computes the pooled states of clips in windows."""

    @property
    def name(self) -> str:
        """The model, by the name that the recogniser's identity gives it."""
        ...

    def pool_clips(self, windows: Sequence[ClipWindow]) -> Iterator[tuple[int, PooledStates]]:
        """The pooled states of every clip in the windows, by the index of the clip."""
        ...


class WhisperEncoder:
    """The encoder of any Whisper model that CTranslate2 reads, on one thread of the CPU. Raises `WeightsError`."""

    def __init__(self, *, cache_dir: Path, model: str = PACKAGED, compute_type: str = "int8", batch_size: int = 8):
        from faster_whisper import WhisperModel  # type: ignore[import-untyped] # ships without types

        weights = find_weights(model, cache_dir)
        self._whisper = WhisperModel(
            str(weights.folder), device="cpu", compute_type=compute_type, cpu_threads=1, num_workers=1
        )
        self._batch_size = batch_size
        self._name = weights.name

    @property
    def name(self) -> str:
        """The model, by the name that the recogniser's identity gives it."""
        return self._name

    def pool_clips(self, windows: Sequence[ClipWindow]) -> Iterator[tuple[int, PooledStates]]:
        """The pooled states of every clip in the windows, by the index of the clip; longest windows first."""
        ordered = sorted(windows, key=lambda window: window.duration_ms, reverse=True)
        for start in range(0, len(ordered), self._batch_size):
            batch = ordered[start : start + self._batch_size]
            longest = batch[0].duration_ms // _MS_PER_FRAME + _FRAMES_BEHIND
            frames = min(_FRAMES_FULL, max(_FRAMES_LEAST, longest + longest % 2))
            states = np.asarray(self._whisper.encode(np.stack([self._mel(window, frames) for window in batch])))
            for window, of_window in zip(batch, states, strict=True):
                for place in window.places:
                    spoken = slice(_frame_at(place.offset_ms), _frame_at(place.end_offset_ms))
                    yield place.index, pool(of_window, spoken)

    def _mel(self, window: ClipWindow, frames: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        mel = self._whisper.feature_extractor(window.samples())[..., :-1][..., :frames]
        return np.pad(mel, ((0, 0), (0, frames - mel.shape[-1]))).astype(np.float32)


def _frame_at(window_ms: int) -> int:
    return window_ms * ENCODER_FRAMES_PER_SECOND // 1000
