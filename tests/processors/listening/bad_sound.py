"""What telephone lines put between people: music, keys, hum, cut-off peaks. All at 8 kHz, always the same."""

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8_000
FULL_SCALE = 32767

Pcm = NDArray[np.int16]
Floats = NDArray[np.float64]

_CHORDS_HZ = ((261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7))
_DTMF_HZ = {"1": (697, 1209), "5": (770, 1336), "8": (852, 1336), "0": (941, 1336), "#": (941, 1477)}


def silence(duration_ms: int) -> Pcm:
    """Digital silence."""
    return np.zeros(duration_ms * RATE_HZ // 1000, dtype=np.int16)


def noise(duration_ms: int, level_dbfs: float, seed: int = 7) -> Pcm:
    """White noise of a mean level."""
    samples = np.random.default_rng(seed).normal(size=duration_ms * RATE_HZ // 1000)
    return _pcm(samples * 10 ** (level_dbfs / 20))


def hold_music(duration_ms: int, level_dbfs: float = -20) -> Pcm:
    """Broken chords of an electric piano with a melody above that swings like a voice: two chords a second."""
    time_s = np.arange(duration_ms * RATE_HZ // 1000) / RATE_HZ
    music = np.zeros_like(time_s)
    for beat in range(duration_ms // 500 + 1):
        since_s = time_s - beat * 0.5
        sounding = (since_s >= 0) & (since_s < 1.5)
        decay = np.exp(-3 * np.where(sounding, since_s, 0)) * sounding
        chord = _CHORDS_HZ[beat // 4 % len(_CHORDS_HZ)]
        for harmonic in range(1, 5):
            for note_hz in (chord[beat % 3], chord[0] / 2):
                music += decay * np.sin(2 * np.pi * note_hz * harmonic * since_s) / harmonic**1.5
    sung_hz = np.repeat([chord[2] * 2 for chord in _CHORDS_HZ], RATE_HZ)[np.arange(len(time_s)) % (4 * RATE_HZ)]
    vibrato = 1 + 0.02 * np.sin(2 * np.pi * 5.5 * time_s)
    phase = 2 * np.pi * np.cumsum(sung_hz * vibrato) / RATE_HZ
    music += 0.6 * (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase))
    return _pcm(music / np.sqrt((music**2).mean()) * 10 ** (level_dbfs / 20))


def keys(digits: str, level_dbfs: float = -15) -> Pcm:
    """Keys pressed on the telephone (DTMF): 120 ms each, 120 ms apart."""
    time_s = np.arange(RATE_HZ * 120 // 1000) / RATE_HZ
    pressed = []
    for digit in digits:
        low_hz, high_hz = _DTMF_HZ[digit]
        both = np.sin(2 * np.pi * low_hz * time_s) + np.sin(2 * np.pi * high_hz * time_s)
        pressed += [_pcm(both * 10 ** (level_dbfs / 20)), silence(120)]
    return np.concatenate(pressed)


def clipped(pcm: Pcm, gain_db: float) -> Pcm:
    """The sound much too loud for the recorder: peaks cut off at full scale."""
    return _pcm(pcm / FULL_SCALE * 10 ** (gain_db / 20))


def added(pcm: Pcm, other: Pcm, at_ms: int = 0) -> Pcm:
    """Two sounds at once; the other begins at a point and must end within the first."""
    mixed = pcm.astype(np.float64)
    start = at_ms * RATE_HZ // 1000
    mixed[start : start + len(other)] += other
    return _pcm(mixed / FULL_SCALE)


def level_dbfs(pcm: Pcm) -> float:
    """The mean level of what is not digital silence."""
    loud = pcm[pcm != 0].astype(np.float64) / FULL_SCALE
    return float(10 * np.log10((loud**2).mean()))


def _pcm(samples: Floats) -> Pcm:
    return np.clip(samples * FULL_SCALE, -FULL_SCALE, FULL_SCALE).astype(np.int16)
