"""Speech at one level for a recogniser: models trained on close microphones understand a quiet voice less."""

import numpy as np

from processors.listening.engine_port import SAMPLES_PER_MS, Samples

# Chosen by the character error of Whisper base, see docs/accuracy.md: it falls on far-field and quiet
# speech and does not rise on any other. At this level the peaks of speech, 12 to 18 dB above it, stay whole.
TARGET_DBFS = -24.0
_MOST_GAIN_DB = 30.0
_FRAME_SAMPLES = 30 * SAMPLES_PER_MS
_LOUD_PERCENTILE = 90


def level(samples: Samples) -> Samples:
    """The samples with one gain for all, so that their loud frames lie at `TARGET_DBFS`; silence stays silence.

    The level of the loud frames is the 90th percentile of the mean energies of 30 ms, digital silence left out.
    """
    frames = samples[: len(samples) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    energies = (frames**2).mean(axis=1)
    energies = energies[energies > 0]
    if not len(energies):
        return samples
    level_dbfs = 10 * np.log10(np.percentile(energies, _LOUD_PERCENTILE))
    gain_db = min(_MOST_GAIN_DB, TARGET_DBFS - level_dbfs)
    louder: Samples = np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1)
    return louder
