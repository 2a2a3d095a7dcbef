"""Voices made of harmonics: calm ones, and loud, high, bright ones; and small things that tests are made of."""

import csv
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.emotion.sound_head import pool
from processors.listening.audio import ChannelSound, Pcm
from processors.listening.engine_port import ENCODER_FRAMES_PER_SECOND, ENGINE_SAMPLE_RATE_HZ, PooledStates, Samples
from processors.listening.packing import ClipWindow

RATE_HZ = 8_000


def voice(
    pitch_hz: float, level: float, *, seconds: float = 1.2, tilt: float = 1.5, seed: int = 0, rate_hz: int = RATE_HZ
) -> Pcm:
    """A voice that says four syllables a second with some melody; a higher `tilt` is a duller voice."""
    random = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    melody = pitch_hz * (1 + 0.08 * np.sin(2 * np.pi * 1.3 * time_s + random.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(melody) / rate_hz
    sound = np.zeros_like(time_s)
    for harmonic in range(1, int(3_400 / pitch_hz) + 1):
        sound += np.sin(harmonic * phase) / harmonic**tilt
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time_s + random.uniform(0, 6))
    sound = sound / np.abs(sound).max() * syllables * level + random.normal(0, 0.001, len(sound))
    pcm: Pcm = (np.clip(sound, -1, 1) * 32_000).astype(np.int16)
    return pcm


def agitated(seed: int, speaker_pitch_hz: float = 140) -> Pcm:
    """A loud, high and bright voice."""
    random = np.random.default_rng(seed)
    pitch_hz = speaker_pitch_hz * random.uniform(1.35, 1.6)
    return voice(pitch_hz, random.uniform(0.5, 0.9), tilt=random.uniform(0.7, 1.0), seed=seed)


def calm(seed: int, speaker_pitch_hz: float = 140) -> Pcm:
    """A quiet, low and dull voice."""
    random = np.random.default_rng(seed)
    pitch_hz = speaker_pitch_hz * random.uniform(0.9, 1.1)
    return voice(pitch_hz, random.uniform(0.08, 0.2), tilt=random.uniform(1.5, 2.0), seed=seed)


def samples_of(pcm: Pcm) -> Samples:
    """All of a sound as the engine hears it: float32 at 16 kHz."""
    sound = ChannelSound(pcm, RATE_HZ)
    return sound.samples(0, sound.duration_ms)


def write_wav(path: Path, channels: Sequence[Pcm], rate_hz: int = RATE_HZ) -> None:
    """A WAV file of one or two channels of equal length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.stack(channels, axis=1).tobytes())


def write_labelled_calls(folder: Path, *, calls: int = 6, turns: int = 8, text: bool = True) -> Path:
    """Calls with one customer each, half of the turns agitated, and their `labels.csv`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "start_ms", "end_ms", "channel", "speaker", "label", *(["text"] if text else [])])
        for call in range(calls):
            pitch_hz = 110 + 25 * call
            pieces: list[Pcm] = []
            at_ms = 0
            for turn in range(turns):
                is_agitated = turn % 2 == 1
                seed = call * 100 + turn
                sound = agitated(seed, pitch_hz) if is_agitated else calm(seed, pitch_hz)
                length_ms = len(sound) * 1000 // RATE_HZ
                label = "agitated" if is_agitated else "calm"
                words = "你们太过分了我要投诉" if is_agitated else "好的谢谢你再见"
                row = [f"call{call}.wav", at_ms, at_ms + length_ms, 1, f"customer{call}", label]
                rows.writerow([*row, *([words] if text else [])])
                silence = np.zeros(RATE_HZ // 2, dtype=np.int16)
                pieces += [sound, silence]
                at_ms += length_ms + 500
            customer = np.concatenate(pieces)
            write_wav(folder / f"call{call}.wav", [np.zeros_like(customer), customer])
    return folder


class SpectrumEncoder:
    """A `StatesEncoder` without weights: its states are log energies of eight bands, 50 a second."""

    @property
    def name(self) -> str:
        """Its name."""
        return "spectrum@1"

    def pool_clips(self, windows: Sequence[ClipWindow]) -> Iterator[tuple[int, PooledStates]]:
        """The pooled states of every clip."""
        hop = ENGINE_SAMPLE_RATE_HZ // ENCODER_FRAMES_PER_SECOND
        for window in windows:
            samples = window.samples()
            frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
            power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
            bands = np.array_split(power[:, 1:81], 8, axis=1)
            states: NDArray[np.float32] = np.log(np.stack([band.sum(axis=1) for band in bands], axis=1) + 1e-6).astype(
                np.float32
            )
            for place in window.places:
                yield place.index, pool(states, slice(place.offset_ms // 20, place.end_offset_ms // 20))
