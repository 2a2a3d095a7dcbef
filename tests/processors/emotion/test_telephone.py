"""What a telephone line does to a sound."""

import numpy as np
import pytest

from processors.emotion.telephone import (
    amplify,
    at_speed,
    mu_law_round_trip,
    through_telephone,
    with_noise,
)
from processors.listening.audio import ChannelSound
from tests.processors.emotion.voices import voice


def test_mu_law_keeps_every_value_that_g711_can_say() -> None:
    all_values = np.arange(-32_768, 32_768, dtype=np.int16)

    once = mu_law_round_trip(all_values)

    # 256 codes, of which +0 and −0 are the same value.
    assert len(np.unique(once)) == 255
    assert np.array_equal(mu_law_round_trip(once), once)


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        pytest.param(0, 0, id="silence stays silence"),
        pytest.param(32_767, 32_124, id="the loudest code of G.711"),
        pytest.param(-32_768, -32_124, id="and its negative"),
        pytest.param(8, 8, id="the finest step"),
        pytest.param(1_000, 988, id="a step of 32 in the fourth segment"),
    ],
)
def test_mu_law_decodes_to_the_values_of_g711(value: int, decoded: int) -> None:
    assert mu_law_round_trip(np.array([value], dtype=np.int16)).tolist() == [decoded]


def test_a_telephone_takes_what_is_above_4_khz() -> None:
    time_s = np.arange(16_000) / 16_000
    high = ChannelSound((8_000 * np.sin(2 * np.pi * 6_000 * time_s)).astype(np.int16), 16_000)

    heard = through_telephone(high)

    assert heard.sample_rate_hz == 8_000
    assert heard.duration_ms == pytest.approx(1_000, abs=5)
    # The filter needs a few milliseconds to settle at both ends.
    assert np.abs(heard.pcm[200:-200].astype(np.int32)).max() < 400


def test_gain_and_speed_change_what_they_say() -> None:
    sound = ChannelSound(voice(150, 0.3), 8_000)

    louder = amplify(sound, 6)
    assert np.std(louder.pcm) / np.std(sound.pcm) == pytest.approx(2, rel=0.02)
    assert at_speed(sound, 1.25).duration_ms == pytest.approx(sound.duration_ms / 1.25, rel=0.1)


def test_noise_has_the_level_that_was_asked_for() -> None:
    sound = ChannelSound(voice(150, 0.3), 8_000)

    noise = with_noise(sound, 20, np.random.default_rng(0)).pcm.astype(np.float64) - sound.pcm

    assert 20 * np.log10(np.std(sound.pcm) / np.std(noise)) == pytest.approx(20, abs=0.3)
