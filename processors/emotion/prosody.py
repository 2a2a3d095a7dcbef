"""How something was said, in numbers that survive a telephone: loudness, pitch, rate and colour of the voice.

Everything is taken from the band of a telephone (300–3400 Hz, pitch excepted), so that a recording at 8 kHz and one
at 16 kHz give about the same numbers.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.speech import ENGINE_SAMPLE_RATE_HZ, Samples
from schemas.emotion import SoundGap

FRAME_MS = 40
HOP_MS = 20
LOWEST_PITCH_HZ = 70.0
HIGHEST_PITCH_HZ = 500.0

MIN_SOUND_MS = 250
"""Shorter sounds hold no contour: nothing is said of them."""
SILENCE_DBFS = -60.0
"""A frame below this, or 30 dB below the loudest tenth of the segment, is no speech."""

Prosody = NDArray[np.float32]
"""One number for each of `PROSODY_FEATURES`, shape (24,)."""

PROSODY_FEATURES: Final = (
    "level_mean_db",  # of speech frames, relative to full scale
    "level_sd_db",
    "level_range_db",  # 90th minus 10th percentile
    "level_slope_db_per_s",
    "pitch_median_st",  # semitones above 55 Hz
    "pitch_sd_st",
    "pitch_low_st",  # 10th percentile
    "pitch_high_st",  # 90th percentile
    "pitch_slope_st_per_s",
    "pitch_step_st",  # mean absolute change from one voiced frame to the next
    "voiced_share",  # of speech frames, 0–1
    "harmonicity_mean",  # height of the autocorrelation peak of voiced frames, 0–1
    "harmonicity_sd",
    "alpha_ratio_db",  # 1000–3400 Hz over 300–1000 Hz, mean of speech frames
    "alpha_ratio_sd_db",
    "hammarberg_db",  # loudest bin below 2000 Hz over the loudest of 2000–3400 Hz
    "spectral_slope_db_per_khz",  # least-squares line through the mean spectrum, 300–3400 Hz
    "centroid_hz",  # of the mean spectrum, 300–3400 Hz
    "flatness_db",  # geometric over arithmetic mean of the mean spectrum: 0 is noise
    "flux",  # mean change of the normalised spectrum from frame to frame, 0–2
    "peaks_per_s",  # peaks of loudness that stand out by 3 dB: about the syllables
    "peak_prominence_db",
    "pause_share",  # of all frames, 0–1
    "log_duration",  # natural logarithm of seconds
)

_FLOOR_DB = 30.0
_VOICED = 0.45
_PEAK_DB = 3.0
_FFT = 1024
_FRAME = FRAME_MS * ENGINE_SAMPLE_RATE_HZ // 1000
_HOP = HOP_MS * ENGINE_SAMPLE_RATE_HZ // 1000
_HOPS_PER_S = 1000 / HOP_MS
_WINDOW = np.hanning(_FRAME).astype(np.float32)
_BIN_HZ = ENGINE_SAMPLE_RATE_HZ / _FFT
_SHORTEST_LAG = int(ENGINE_SAMPLE_RATE_HZ / HIGHEST_PITCH_HZ)
_LONGEST_LAG = int(ENGINE_SAMPLE_RATE_HZ / LOWEST_PITCH_HZ)
_SMALL = 1e-10

Floats = NDArray[np.float32]


def prosody_of(samples: Samples) -> Prosody | SoundGap:
    """The numbers of one segment of one speaker, mono at 16 kHz; or why there are none."""
    if len(samples) < MIN_SOUND_MS * ENGINE_SAMPLE_RATE_HZ // 1000:
        return "too_short"
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    level_db = 10 * np.log10(np.mean(frames**2, axis=1) + _SMALL)
    floor_db = max(SILENCE_DBFS, float(np.percentile(level_db, 90)) - _FLOOR_DB)
    is_speech = level_db >= floor_db
    if not is_speech.any():
        return "silent"
    speech = np.flatnonzero(is_speech)
    power = _power(frames[speech])
    pitch_hz, harmonicity = _pitch(power)
    voiced = harmonicity >= _VOICED
    if np.count_nonzero(voiced) < 2:
        return "no_voice"
    numbers = (
        *_loudness(level_db, speech),
        *_melody(pitch_hz[voiced], speech[voiced]),
        float(np.mean(voiced)),
        float(np.mean(harmonicity[voiced])),
        float(np.std(harmonicity[voiced])),
        *_colour(power),
        *_rhythm(level_db, is_speech),
        float(np.log(len(samples) / ENGINE_SAMPLE_RATE_HZ)),
    )
    return np.array(numbers, dtype=np.float32)


def _power(frames: Floats) -> Floats:
    """Power spectrum of each frame, shape (frames, 513)."""
    spectrum = np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * _WINDOW, n=_FFT, axis=1)
    power: Floats = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return power


def _window_correlation() -> Floats:
    spectrum = np.fft.rfft(_WINDOW, n=_FFT)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, n=_FFT)[: _LONGEST_LAG + 2]
    result: Floats = (correlation / correlation[0]).astype(np.float32)
    return result


_CORRELATION_OF_WINDOW = _window_correlation()


def _pitch(power: Floats) -> tuple[Floats, Floats]:
    """Pitch in Hz of each frame and how periodic it is, 0–1.

    Autocorrelation of the frame over that of its window, the highest peak within the range of the human voice
    (P. Boersma, Accurate short-term analysis of the fundamental frequency, 1993, eq. 9), with a small preference
    for short lags against octave errors.
    """
    correlation = np.fft.irfft(power, n=_FFT, axis=1)[:, : _LONGEST_LAG + 2]
    correlation = correlation / (correlation[:, :1] + _SMALL) / _CORRELATION_OF_WINDOW
    lags = np.arange(_SHORTEST_LAG, _LONGEST_LAG + 1)
    inner = correlation[:, _SHORTEST_LAG : _LONGEST_LAG + 1]
    is_peak = (inner >= correlation[:, _SHORTEST_LAG - 1 : _LONGEST_LAG]) & (
        inner >= correlation[:, _SHORTEST_LAG + 1 : _LONGEST_LAG + 2]
    )
    score = np.where(is_peak, inner - 0.02 * np.log2(lags / _SHORTEST_LAG), -1.0)
    best = np.argmax(score, axis=1)
    rows = np.arange(len(best))
    lag = lags[best]
    before, at, after = (correlation[rows, lag + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.where(np.abs(bend) > _SMALL, 0.5 * (before - after) / np.where(bend == 0, 1, bend), 0.0)
    pitch: Floats = (ENGINE_SAMPLE_RATE_HZ / (lag + np.clip(shift, -0.5, 0.5))).astype(np.float32)
    periodic = np.where(score[rows, best] > 0, np.clip(at, 0, 1), 0).astype(np.float32)
    return pitch, periodic


def _loudness(level_db: Floats, speech: NDArray[np.intp]) -> tuple[float, ...]:
    levels = level_db[speech]
    low, high = np.percentile(levels, [10, 90])
    return float(levels.mean()), float(levels.std()), float(high - low), _slope_per_s(levels, speech)


def _melody(pitch_hz: Floats, frames: NDArray[np.intp]) -> tuple[float, ...]:
    semitones = 12 * np.log2(pitch_hz / 55)
    low, middle, high = np.percentile(semitones, [10, 50, 90])
    # A leap of more than an octave within 20 ms is an error of the pitch detector, not a melody.
    follows = (np.diff(frames) == 1) & (np.abs(np.diff(semitones)) < 12)
    step = float(np.abs(np.diff(semitones))[follows].mean()) if follows.any() else 0.0
    kept = np.abs(semitones - middle) < 12
    return float(middle), float(semitones[kept].std()), float(low), float(high), _slope_per_s(semitones, frames), step


def _colour(power: Floats) -> tuple[float, ...]:
    low, middle, high, top = (_bin(hertz) for hertz in (300, 1000, 2000, 3400))
    alpha = _db(power[:, middle:top].sum(axis=1)) - _db(power[:, low:middle].sum(axis=1))
    mean = power.mean(axis=0)
    band, band_db = mean[low:top], _db(mean[low:top])
    hertz = np.arange(low, top) * _BIN_HZ
    shape = power[:, low:top] / (power[:, low:top].sum(axis=1, keepdims=True) + _SMALL)
    flux = float(np.abs(np.diff(shape, axis=0)).sum(axis=1).mean()) if len(shape) > 1 else 0.0
    return (
        float(alpha.mean()),
        float(alpha.std()),
        float(_db(mean[low:high]).max() - _db(mean[high:top]).max()),
        float(np.polyfit(hertz / 1000, band_db, 1)[0]),
        float((hertz * band).sum() / (band.sum() + _SMALL)),
        float(band_db.mean() - _db(band.mean(keepdims=True))[0]),
        flux,
    )


def _rhythm(level_db: Floats, is_speech: NDArray[np.bool_]) -> tuple[float, ...]:
    smooth = np.convolve(np.pad(level_db, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    heights = [height for frame, height in _peaks(smooth) if is_speech[frame]]
    seconds = len(level_db) / _HOPS_PER_S
    prominence = float(np.mean(heights)) if heights else 0.0
    return len(heights) / seconds, prominence, float(1 - np.mean(is_speech))


def _peaks(levels: Floats) -> list[tuple[int, float]]:
    """Frames where the level turns downwards after it rose by 3 dB, and by how much it rose."""
    peaks: list[tuple[int, float]] = []
    valley = top = float(levels[0])
    top_frame, rising = 0, True
    for frame, level in enumerate(levels.tolist()):
        if rising:
            if level > top:
                top, top_frame = level, frame
            elif top - level >= _PEAK_DB:
                if top - valley >= _PEAK_DB:
                    peaks.append((top_frame, top - valley))
                valley, rising = level, False
        elif level < valley:
            valley = level
        elif level - valley >= _PEAK_DB:
            top, top_frame, rising = level, frame, True
    if rising and top - valley >= _PEAK_DB:
        peaks.append((top_frame, top - valley))
    return peaks


def _slope_per_s(values: Floats, frames: NDArray[np.intp]) -> float:
    """Slope of the least-squares line through values at frames; 0 where they span less than 200 ms."""
    if len(values) < 3 or frames[-1] - frames[0] < _HOPS_PER_S / 5:
        return 0.0
    seconds = frames / _HOPS_PER_S
    centred = seconds - seconds.mean()
    return float((centred * (values - values.mean())).sum() / (centred**2).sum())


def _bin(hertz: float) -> int:
    return round(hertz / _BIN_HZ)


def _db(power: Floats) -> Floats:
    result: Floats = 10 * np.log10(power + np.float32(_SMALL))
    return result
