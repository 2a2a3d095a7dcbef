"""Prosody: finite numbers with the units that their names say, and a reason where there are none."""

import numpy as np
import pytest

from processors.emotion.prosody import PROSODY_FEATURES, prosody_of
from processors.listening.engine_port import Samples
from tests.processors.emotion.voices import agitated, calm, samples_of, voice


def numbers_of(samples: Samples) -> dict[str, float]:
    prosody = prosody_of(samples)
    assert not isinstance(prosody, str)
    assert np.isfinite(prosody).all()
    return dict(zip(PROSODY_FEATURES, prosody.tolist(), strict=True))


@pytest.mark.parametrize("pitch_hz", [90, 150, 240, 380])
def test_pitch_is_in_semitones_above_55_hz(pitch_hz: float) -> None:
    expected = 12 * np.log2(pitch_hz / 55)

    assert numbers_of(samples_of(voice(pitch_hz, 0.5)))["pitch_median_st"] == pytest.approx(expected, abs=0.7)


def test_level_is_in_decibels_relative_to_full_scale() -> None:
    loud, quiet = numbers_of(samples_of(voice(150, 0.8))), numbers_of(samples_of(voice(150, 0.08)))

    assert loud["level_mean_db"] - quiet["level_mean_db"] == pytest.approx(20, abs=1)
    assert -30 < loud["level_mean_db"] < 0


def test_loudness_changes_levels_and_nothing_else() -> None:
    samples = samples_of(voice(150, 0.8))
    of_level = {"level_mean_db", "level_median_db", "level_high_db"}

    loud, quiet = numbers_of(samples), numbers_of(samples * np.float32(0.25))

    for name in PROSODY_FEATURES:
        if name not in of_level:
            assert loud[name] == pytest.approx(quiet[name], abs=0.02, rel=0.02), name


def test_four_syllables_a_second_are_about_four_peaks() -> None:
    assert numbers_of(samples_of(voice(150, 0.5, seconds=3)))["peaks_per_s"] == pytest.approx(4, abs=0.7)


def test_a_bright_voice_has_more_energy_above_1000_hz() -> None:
    bright, dull = numbers_of(samples_of(voice(150, 0.5, tilt=0.7))), numbers_of(samples_of(voice(150, 0.5, tilt=2)))

    assert bright["alpha_ratio_db"] > dull["alpha_ratio_db"] + 6
    assert bright["centroid_hz"] > dull["centroid_hz"]
    assert bright["high_band_db"] > dull["high_band_db"]


def test_an_agitated_voice_is_louder_and_higher_than_a_calm_one() -> None:
    hot, cold = numbers_of(samples_of(agitated(1))), numbers_of(samples_of(calm(1)))

    assert hot["level_mean_db"] > cold["level_mean_db"]
    assert hot["melody_mean_st"] > cold["melody_mean_st"]


@pytest.mark.parametrize("seconds", [0.25, 0.3, 1, 20])
def test_every_length_from_a_quarter_second_gives_finite_numbers(seconds: float) -> None:
    numbers_of(samples_of(voice(150, 0.5, seconds=seconds)))


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(np.zeros(0, dtype=np.float32), "too_short", id="nothing at all"),
        pytest.param(samples_of(voice(150, 0.5, seconds=0.2)), "too_short", id="shorter than a quarter second"),
        pytest.param(np.zeros(16_000, dtype=np.float32), "silent", id="digital silence"),
        pytest.param(samples_of(voice(150, 0.0005)) * np.float32(0.01), "silent", id="below −60 dBFS"),
        pytest.param(
            np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), "no_voice", id="noise has no pitch"
        ),
    ],
)
def test_a_sound_without_a_voice_gives_the_reason(samples: Samples, reason: str) -> None:
    assert prosody_of(samples) == reason
