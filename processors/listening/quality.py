"""How far the sound of a channel can be trusted: its level, its noise, and whether it was cut off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.listening.audio import Pcm
from processors.listening.intervals import length_ms
from schemas.messages.sound import LEAST_DBFS, AudioQuality, QualityDoubt
from schemas.messages.transcript import Interval

# The shortest of which every common sample rate, 11,025 Hz included, has a whole number of samples.
FRAME_MS = 40
_BLOCK_FRAMES = 2_000
_FULL_SCALE = 32768.0

# A flat top: three samples in a row within 1 % of the highest of the channel. Where that is below a quarter of full
# scale it is a quiet recording of coarse steps, not a cut-off one.
_TOP_SHARE = 0.99
_LEAST_TOP = 8_192
_CLIPPED_SHARE = 0.005
_NOISY_SNR_DB = 10.0
_QUIET_DBFS = -45.0
_LITTLE_SPEECH_MS = 3_000
_NOISE_PERCENTILE = 25
_LEAST_PAUSE_FRAMES = 12

FrameEnergies = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Frames:
    """A channel in frames of 40 ms: mean energy of each (1 is full scale), and how many samples lie on a flat top."""

    energies: FrameEnergies
    flat_tops: NDArray[np.uint16]
    samples_per_frame: int


def frames_of(pcm: Pcm, sample_rate_hz: int) -> Frames:
    """Measure a channel block by block; a last frame that is not full is filled with silence."""
    frame = sample_rate_hz * FRAME_MS // 1000
    count = -(-len(pcm) // frame)
    energies = np.zeros(count, dtype=np.float32)
    flat_tops = np.zeros(count, dtype=np.uint16)
    highest = max(int(pcm.max(initial=0)), -int(pcm.min(initial=0)))
    top = _TOP_SHARE * highest if highest >= _LEAST_TOP else np.inf
    for start in range(0, count, _BLOCK_FRAMES):
        block = pcm[start * frame : (start + _BLOCK_FRAMES) * frame].astype(np.float32)
        whole = np.pad(block, (0, -len(block) % frame)).reshape(-1, frame)
        energies[start : start + len(whole)] = (whole**2).mean(axis=1) / _FULL_SCALE**2
        at_top = (np.abs(whole) >= top).ravel()
        flat = np.zeros_like(at_top)
        flat[1:-1] = at_top[:-2] & at_top[1:-1] & at_top[2:]
        flat_tops[start : start + len(whole)] = flat.reshape(-1, frame).sum(axis=1)
    return Frames(energies, flat_tops, frame)


def audio_quality(frames: Frames, speech: Sequence[Interval], anybody: Sequence[Interval]) -> AudioQuality:
    """What the frames tell of one channel on which `speech` was found; `anybody` is the speech of all channels.

    The noise floor is taken where nobody speaks, so that the other side's leak is not taken for noise, and without
    digital silence, which tells nothing of the line.
    """
    own = _inside(speech, len(frames.energies))
    pauses = frames.energies[~_inside(anybody, len(frames.energies)) & (frames.energies > 0)]
    level = float(frames.energies[own].mean()) if own.any() else None
    noise = float(np.percentile(pauses, _NOISE_PERCENTILE)) if len(pauses) >= _LEAST_PAUSE_FRAMES else None
    clipped = int(frames.flat_tops[own].sum()) / (int(own.sum()) * frames.samples_per_frame) if own.any() else 0.0
    snr_db = None
    if level and noise:
        snr_db = round(float(10 * np.log10(max(level - noise, noise / 100) / noise)), 1)
    level_dbfs = None if level is None else _dbfs(level)
    return AudioQuality(
        clipped_share=round(clipped, 4),
        speech_level_dbfs=level_dbfs,
        noise_floor_dbfs=None if noise is None else _dbfs(noise),
        snr_db=snr_db,
        doubts=tuple(_doubts(clipped, level_dbfs, snr_db, length_ms(speech))),
    )


def _doubts(
    clipped_share: float, level_dbfs: float | None, snr_db: float | None, speech_ms: int
) -> Iterator[QualityDoubt]:
    if clipped_share > _CLIPPED_SHARE:
        yield "clipped"
    if snr_db is not None and snr_db < _NOISY_SNR_DB:
        yield "noisy"
    if level_dbfs is not None and level_dbfs < _QUIET_DBFS:
        yield "quiet"
    if speech_ms < _LITTLE_SPEECH_MS:
        yield "little_speech"


def _inside(intervals: Sequence[Interval], frames: int) -> Flags:
    """Which frames lie in one of the intervals."""
    inside = np.zeros(frames, dtype=np.bool_)
    for interval in intervals:
        inside[interval.start_ms // FRAME_MS : -(-interval.end_ms // FRAME_MS)] = True
    return inside


def _dbfs(energy: float) -> float:
    return round(min(0.0, max(LEAST_DBFS, float(10 * np.log10(max(energy, 1e-12))))), 1)
