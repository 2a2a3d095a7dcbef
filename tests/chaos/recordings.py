"""Short recordings of every kind that schedules publish; what is said in them, the stand-in for the ear decides."""

import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streams.demo.examples import example_recordings

HARMLESS_MS, VIOLATING_MS = 7_500, 7_000
"""Beginnings of one example of these lengths are what the stand-in takes for a question about an order, and for a
forbidden promise; the undisturbed run fails where it does not."""


def make_recordings(folder: Path) -> dict[str, Path]:
    """Kind of call → its recording, all in that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (speech,) = (path for path in example_recordings() if path.name.startswith("s02"))
    rate_hz, samples = _samples_of(speech)
    made = {
        "harmless": _wav(folder / "harmless.wav", beginning(samples, rate_hz, HARMLESS_MS), rate_hz),
        "violating": _wav(folder / "violating.wav", beginning(samples, rate_hz, VIOLATING_MS), rate_hz),
        "too_short": _wav(folder / "too_short.wav", beginning(samples, rate_hz, 2_000), rate_hz),
        "unsupported": _wav(folder / "unsupported.wav", np.repeat(samples[:rate_hz, :1], 3, axis=1), rate_hz),
        "broken": folder / "broken.wav",
    }
    made["broken"].write_bytes(b"this was a recording once" * 200)
    return made | {"repaired": made["harmless"]}


def beginning(samples: NDArray[np.int16], rate_hz: int, length_ms: int) -> NDArray[np.int16]:
    """The first so many milliseconds."""
    return samples[: length_ms * rate_hz // 1000]


def _samples_of(path: Path) -> tuple[int, NDArray[np.int16]]:
    """Rate, and samples of shape (n, channels)."""
    frames: list[Any] = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16")
        for frame in container.decode(audio=0):
            frames += resampler.resample(frame)
    channels = frames[0].layout.nb_channels
    return frames[0].sample_rate, np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in frames])


def _wav(path: Path, samples: NDArray[np.int16], rate_hz: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path
