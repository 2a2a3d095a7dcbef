"""One level for all speech."""

import numpy as np
import pytest

from processors.listening.engine_port import Samples
from processors.listening.gain import TARGET_DBFS, level


def voice(level_dbfs: float, duration_s: float = 4) -> Samples:
    """Bursts of noise with pauses of digital silence; the level is that of the bursts."""
    samples = np.random.default_rng(3).normal(size=int(duration_s * 16_000)) * 10 ** (level_dbfs / 20)
    samples[16_000:32_000] = 0
    return samples.astype(np.float32)


def level_dbfs(samples: Samples) -> float:
    return float(10 * np.log10((samples[samples != 0] ** 2).mean()))


@pytest.mark.parametrize("before_dbfs", [-14, -24, -35, -50])
def test_speech_of_any_level_comes_out_at_the_same(before_dbfs: float) -> None:
    assert level_dbfs(level(voice(before_dbfs))) == pytest.approx(TARGET_DBFS, abs=0.7)


def test_what_is_hardly_there_is_not_raised_without_end() -> None:
    assert level_dbfs(level(voice(-80))) == pytest.approx(-50, abs=0.7)


def test_a_soft_pause_does_not_raise_the_speech_around_it() -> None:
    speech = voice(-30)
    with_hiss = speech + voice(-70)

    assert level_dbfs(level(with_hiss)[:16_000]) == pytest.approx(TARGET_DBFS, abs=0.7)


@pytest.mark.parametrize("samples", [0, 10, 16_000], ids=["nothing", "less_than_a_frame", "a_second"])
def test_silence_stays_silence(samples: int) -> None:
    silence = np.zeros(samples, dtype=np.float32)

    assert np.array_equal(level(silence), silence)
    assert level(voice(-20)).dtype == np.float32
