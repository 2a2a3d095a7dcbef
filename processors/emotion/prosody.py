"""How something was said, in numbers that survive a telephone: loudness, pitch, rate and colour of the voice.

Everything is taken from the band of a telephone (300–3400 Hz, pitch excepted), so that a recording at 8 kHz and one
at 16 kHz give about the same numbers. The length of a segment is left out on purpose: actors say the same sentence
faster when they are angry, while people on the telephone say short things in any mood.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from processors.listening.engine_port import ENGINE_SAMPLE_RATE_HZ, Samples
from schemas.messages.emotion import SoundGap

FRAME_MS = 40
HOP_MS = 20
LOWEST_PITCH_HZ = 70.0
HIGHEST_PITCH_HZ = 500.0

MIN_SOUND_MS = 250
"""Shorter sounds hold no contour: nothing is said of them."""
SILENCE_DBFS = -60.0
"""A frame below this, or 30 dB below the loudest tenth of the segment, is no speech."""

Prosody = NDArray[np.float32]
"""One number for each of `PROSODY_FEATURES`, in that order."""

PROSODY_FEATURES: Final = (
    # Loudness of speech frames, relative to full scale.
    "level_mean_db",
    "level_sd_db",
    "level_range_db",  # 90th minus 10th percentile
    "level_slope_db_per_s",
    "level_median_db",
    "level_high_db",  # 90th percentile
    "level_skew",
    "level_rise_db",  # 90th percentile of the change from frame to frame
    "level_fall_db",  # 10th percentile of the same
    "level_change_sd_db",
    # Pitch of voiced frames, in semitones above 55 Hz.
    "pitch_median_st",
    "pitch_sd_st",
    "pitch_low_st",  # 10th percentile
    "pitch_high_st",  # 90th percentile
    "pitch_slope_st_per_s",
    "pitch_step_st",  # mean absolute change from one voiced frame to the next
    "melody_mean_st",  # the melody is the pitch within nine semitones of its median
    "melody_sd_st",
    "melody_top_st",  # 95th percentile
    "melody_bottom_st",  # 5th percentile
    "melody_loud_st",  # mean, louder frames counting more
    "melody_rise_st",  # mean step upwards
    "melody_fall_st",  # mean step downwards
    "melody_up_share",  # of steps, 0–1
    "melody_begin_st",  # first third against the whole
    "melody_end_st",  # last third against the whole
    "level_begin_db",  # loudness of the first third of the melody against the whole
    "level_end_db",
    "pitch_level_correlation",
    # Voice: how periodic, and how its spectrum falls.
    "voiced_share",  # of speech frames, 0–1
    "harmonicity_mean",  # height of the autocorrelation peak of voiced frames, 0–1
    "harmonicity_sd",
    "h1_h2_db",  # first harmonic over the second, median
    "h2_h4_db",
    "h1_a3_db",  # first harmonic over the strongest bin of 2000–3400 Hz, median
    "first_formant_hz",  # strongest bin of 300–1100 Hz, median: about the first formant
    # Colour of speech frames.
    "alpha_ratio_db",  # 1000–3400 Hz over 300–1000 Hz, mean of frames
    "alpha_ratio_sd_db",
    "alpha_ratio_loud_db",  # the same of the mean spectrum of the loudest quarter
    "alpha_ratio_quiet_db",  # and of the quietest two fifths
    "hammarberg_db",  # loudest bin below 2000 Hz over the loudest of 2000–3400 Hz
    "spectral_slope_db_per_khz",  # least-squares line through the mean spectrum, 300–3400 Hz
    "centroid_hz",  # of the mean spectrum, 300–3400 Hz
    "flatness_db",  # geometric over arithmetic mean of the mean spectrum: 0 is noise
    "flux",  # mean change of the normalised spectrum from frame to frame, 0–2
    # Share of bands in the mean spectrum of voiced frames, over 300–3400 Hz.
    "band_150_db",
    "band_300_db",
    "band_500_db",
    "band_800_db",
    "band_1200_db",
    "band_1800_db",
    "band_2500_db",
    # Mean and spread over voiced frames of what three wide bands hold, over 300–3400 Hz.
    "low_band_db",
    "low_band_sd_db",
    "middle_band_db",
    "middle_band_sd_db",
    "high_band_db",
    "high_band_sd_db",
    # Rhythm.
    "peaks_per_s",  # peaks of loudness that stand out by 3 dB: about the syllables
    "peak_prominence_db",
    "pause_share",  # of all frames, 0–1
    "voiced_runs_per_s",
    "voiced_run_mean_s",
    "voiced_run_longest_s",
    "modulation_slow",  # natural logarithm of the share of loudness modulation at 0.5–2 Hz
    "modulation_word",  # 2–4 Hz
    "modulation_syllable",  # 4–8 Hz
    "modulation_fast",  # 8–16 Hz
)

_FLOOR_DB = 30.0
_VOICED = 0.45
_LEAST_VOICED_FRAMES = 2
_LEAST_FOR_CORRELATION = 4
_PEAK_DB = 3.0
_OCTAVE_ST = 12
_MELODY_ST = 9
_MELODY_STEP_ST = 4
_LEVEL_STEP_ST = 0.1
_BAND_EDGES_HZ = (150, 300, 500, 800, 1200, 1800, 2500, 3400)
_WIDE_BANDS_HZ = {"low": (300, 800), "middle": (800, 1800), "high": (1800, 3400)}
_MODULATIONS_HZ = {"slow": (0.5, 2), "word": (2, 4), "syllable": (4, 8), "fast": (8, 16)}
_MODULATION_FFT = 256
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
    is_voiced = harmonicity >= _VOICED
    if np.count_nonzero(is_voiced) < _LEAST_VOICED_FRAMES:
        return "no_voice"
    voiced = speech[is_voiced]
    semitones = 12 * np.log2(pitch_hz[is_voiced] / 55)
    numbers = {
        **_loudness(level_db, speech),
        **_pitch_contour(semitones, voiced),
        **_melody(semitones, voiced, level_db),
        "pitch_level_correlation": _correlation(semitones, level_db[voiced]),
        "voiced_share": float(np.mean(is_voiced)),
        "harmonicity_mean": float(np.mean(harmonicity[is_voiced])),
        "harmonicity_sd": float(np.std(harmonicity[is_voiced])),
        **_harmonics(power[is_voiced], pitch_hz[is_voiced]),
        **_colour(power, level_db[speech]),
        **_bands(power[is_voiced]),
        **_rhythm(level_db, is_speech, floor_db),
        **_voiced_runs(voiced, len(level_db)),
    }
    return np.array([numbers[name] for name in PROSODY_FEATURES], dtype=np.float32)


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


def _loudness(level_db: Floats, speech: NDArray[np.intp]) -> dict[str, float]:
    levels = level_db[speech]
    low, middle, high = np.percentile(levels, [10, 50, 90])
    deviation = levels - levels.mean()
    changes = np.diff(level_db)
    fall, rise = np.percentile(changes, [10, 90])
    return {
        "level_mean_db": float(levels.mean()),
        "level_sd_db": float(levels.std()),
        "level_range_db": float(high - low),
        "level_slope_db_per_s": _slope_per_s(levels, speech),
        "level_median_db": float(middle),
        "level_high_db": float(high),
        "level_skew": float((deviation**3).mean() / (levels.std() ** 3 + 1e-6)),
        "level_rise_db": float(rise),
        "level_fall_db": float(fall),
        "level_change_sd_db": float(changes.std()),
    }


def _pitch_contour(semitones: Floats, frames: NDArray[np.intp]) -> dict[str, float]:
    low, middle, high = np.percentile(semitones, [10, 50, 90])
    steps = np.abs(np.diff(semitones))
    # A leap of more than an octave within 20 ms is an error of the pitch detector, not a melody.
    follows = (np.diff(frames) == 1) & (steps < _OCTAVE_ST)
    return {
        "pitch_median_st": float(middle),
        "pitch_sd_st": float(semitones[np.abs(semitones - middle) < _OCTAVE_ST].std()),
        "pitch_low_st": float(low),
        "pitch_high_st": float(high),
        "pitch_slope_st_per_s": _slope_per_s(semitones, frames),
        "pitch_step_st": float(steps[follows].mean()) if follows.any() else 0.0,
    }


def _melody(semitones: Floats, frames: NDArray[np.intp], level_db: Floats) -> dict[str, float]:
    kept = np.abs(semitones - np.median(semitones)) < _MELODY_ST
    melody, at = semitones[kept], frames[kept]
    levels = level_db[at]
    third = max(1, len(melody) // 3)
    steps = np.diff(melody)[np.diff(at) == 1]
    steps = steps[np.abs(steps) < _MELODY_STEP_ST]
    up, down = steps[steps > 0], steps[steps < 0]
    bottom, top = np.percentile(melody, [5, 95])
    return {
        "melody_mean_st": float(melody.mean()),
        "melody_sd_st": float(melody.std()),
        "melody_top_st": float(top),
        "melody_bottom_st": float(bottom),
        "melody_loud_st": float(np.average(melody, weights=10 ** (levels / 20))),
        "melody_rise_st": float(up.mean()) if len(up) else 0.0,
        "melody_fall_st": float(down.mean()) if len(down) else 0.0,
        "melody_up_share": float(np.mean(steps > _LEVEL_STEP_ST)) if len(steps) else 0.5,
        "melody_begin_st": float(melody[:third].mean() - melody.mean()),
        "melody_end_st": float(melody[-third:].mean() - melody.mean()),
        "level_begin_db": float(levels[:third].mean() - levels.mean()),
        "level_end_db": float(levels[-third:].mean() - levels.mean()),
    }


def _harmonics(power: Floats, pitch_hz: Floats) -> dict[str, float]:
    frames = np.arange(len(power))

    def harmonic_db(number: int) -> Floats:
        bins = np.clip(np.rint(number * pitch_hz / _BIN_HZ).astype(np.intp), 0, _FFT // 2)
        levels: Floats = _db(power[frames, bins])
        return levels

    first, second, fourth = harmonic_db(1), harmonic_db(2), harmonic_db(4)
    strongest_high = _db(power[:, _bin(2000) : _bin(3400)].max(axis=1))
    formant = np.argmax(power[:, _bin(300) : _bin(1100)], axis=1) + _bin(300)
    return {
        "h1_h2_db": float(np.median(first - second)),
        "h2_h4_db": float(np.median(second - fourth)),
        "h1_a3_db": float(np.median(first - strongest_high)),
        "first_formant_hz": float(np.median(formant) * _BIN_HZ),
    }


def _colour(power: Floats, levels_db: Floats) -> dict[str, float]:
    low, high, top = _bin(300), _bin(2000), _bin(3400)
    alpha = _alpha_ratio_db(power)
    mean = power.mean(axis=0)
    loud = power[levels_db >= np.percentile(levels_db, 75)].mean(axis=0)
    quiet = power[levels_db <= np.percentile(levels_db, 40)].mean(axis=0)
    band, band_db = mean[low:top], _db(mean[low:top])
    hertz = np.arange(low, top) * _BIN_HZ
    centred_khz = (hertz - hertz.mean()) / 1000
    shape = power[:, low:top] / (power[:, low:top].sum(axis=1, keepdims=True) + _SMALL)
    return {
        "alpha_ratio_db": float(alpha.mean()),
        "alpha_ratio_sd_db": float(alpha.std()),
        "alpha_ratio_loud_db": float(_alpha_ratio_db(loud)),
        "alpha_ratio_quiet_db": float(_alpha_ratio_db(quiet)),
        "hammarberg_db": float(_db(mean[low:high]).max() - _db(mean[high:top]).max()),
        "spectral_slope_db_per_khz": float((centred_khz * band_db).sum() / (centred_khz**2).sum()),
        "centroid_hz": float((hertz * band).sum() / (band.sum() + _SMALL)),
        "flatness_db": float(band_db.mean() - _db(band.mean())),
        "flux": float(np.abs(np.diff(shape, axis=0)).sum(axis=1).mean()) if len(shape) > 1 else 0.0,
    }


def _alpha_ratio_db(power: Floats) -> Floats:
    low, middle, top = _bin(300), _bin(1000), _bin(3400)
    ratio: Floats = _db(power[..., middle:top].sum(axis=-1)) - _db(power[..., low:middle].sum(axis=-1))
    return ratio


def _bands(power: Floats) -> dict[str, float]:
    mean = power.mean(axis=0)
    whole_db = float(_db(mean[_bin(300) : _bin(3400)].sum()))
    frames_db = _db(power[:, _bin(300) : _bin(3400)].sum(axis=1))
    numbers: dict[str, float] = {}
    for low_hz, high_hz in pairwise(_BAND_EDGES_HZ):
        numbers[f"band_{low_hz}_db"] = float(_db(mean[_bin(low_hz) : _bin(high_hz)].sum())) - whole_db
    for name, (low_hz, high_hz) in _WIDE_BANDS_HZ.items():
        share_db = _db(power[:, _bin(low_hz) : _bin(high_hz)].sum(axis=1)) - frames_db
        numbers[f"{name}_band_db"] = float(share_db.mean())
        numbers[f"{name}_band_sd_db"] = float(share_db.std())
    return numbers


def _rhythm(level_db: Floats, is_speech: NDArray[np.bool_], floor_db: float) -> dict[str, float]:
    smooth = np.convolve(np.pad(level_db, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    heights = [height for frame, height in _peaks(smooth) if is_speech[frame]]
    audible = np.maximum(level_db, floor_db)
    window = np.hanning(len(audible))
    size = max(_MODULATION_FFT, 1 << (len(audible) - 1).bit_length())
    modulation = np.abs(np.fft.rfft((audible - audible.mean()) * window, n=size)) ** 2
    hertz = np.fft.rfftfreq(size, HOP_MS / 1000)
    whole = modulation[(hertz > 0.5) & (hertz < 20)].sum() + 1e-9
    numbers = {
        "peaks_per_s": len(heights) * _HOPS_PER_S / len(level_db),
        "peak_prominence_db": float(np.mean(heights)) if heights else 0.0,
        "pause_share": float(1 - np.mean(is_speech)),
    }
    for name, (low_hz, high_hz) in _MODULATIONS_HZ.items():
        share = modulation[(hertz >= low_hz) & (hertz < high_hz)].sum() / whole
        numbers[f"modulation_{name}"] = float(np.log(share + 1e-4))
    return numbers


def _voiced_runs(voiced: NDArray[np.intp], frames: int) -> dict[str, float]:
    lengths_s = np.diff(np.flatnonzero(np.diff(voiced, prepend=-2, append=frames + 1) > 1)) / _HOPS_PER_S
    return {
        "voiced_runs_per_s": len(lengths_s) * _HOPS_PER_S / frames,
        "voiced_run_mean_s": float(lengths_s.mean()),
        "voiced_run_longest_s": float(lengths_s.max()),
    }


def _correlation(first: Floats, second: Floats) -> float:
    """Pearson's; 0 where one of the two does not change, or there are too few to tell."""
    if len(first) <= _LEAST_FOR_CORRELATION or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


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


def _db(power: Any) -> Any:
    """Decibels of a power or of an array of them."""
    return 10 * np.log10(power + np.float32(_SMALL))
