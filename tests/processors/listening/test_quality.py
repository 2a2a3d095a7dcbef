"""The quality of the sound, and what makes a measure doubtful."""

import numpy as np
import pytest

from processors.listening.quality import audio_quality, frames_of
from schemas.messages.sound import AudioQuality, QualityDoubt
from schemas.messages.transcript import Interval
from tests.processors.listening.bad_sound import RATE_HZ, Pcm, added, clipped, noise, silence
from tests.processors.recordings import decoded, example_calls

Span = tuple[int, int]


def intervals(*spans: Span) -> tuple[Interval, ...]:
    return tuple(Interval(start_ms=start, end_ms=end) for start, end in spans)


SPOKEN = [(turn.start_ms, turn.end_ms) for turn in example_calls()["s01_ecommerce_calm"].turns_of("agent")]
ANYBODY = [(turn.start_ms, turn.end_ms) for turn in example_calls()["s01_ecommerce_calm"].turns]


def voice() -> Pcm:
    pcm: Pcm = decoded("s01_ecommerce_calm").channels[0].pcm.copy()
    return pcm


def quality(pcm: Pcm, speech: list[Span] = SPOKEN, anybody: list[Span] = ANYBODY) -> AudioQuality:
    return audio_quality(frames_of(pcm, RATE_HZ), intervals(*speech), intervals(*anybody))


@pytest.mark.parametrize(
    ("pcm", "doubts"),
    [
        pytest.param(voice(), (), id="as_recorded"),
        pytest.param(clipped(voice(), 24), ("clipped",), id="much_too_loud"),
        pytest.param(clipped(voice(), 24) // 3, ("clipped",), id="cut_off_before_it_was_made_softer"),
        pytest.param(added(voice(), noise(42_000, -26)), ("noisy",), id="noise_close_to_the_voice"),
        pytest.param((voice() * 0.04).astype(np.int16), ("quiet",), id="hardly_there"),
    ],
)
def test_what_makes_the_measures_of_a_channel_doubtful_is_named(pcm: Pcm, doubts: tuple[QualityDoubt, ...]) -> None:
    assert quality(pcm).doubts == doubts


def test_a_few_words_are_too_little_to_measure_a_voice() -> None:
    assert quality(voice(), speech=[(300, 2_000)]).doubts == ("little_speech",)


@pytest.mark.parametrize("noise_dbfs", [-30.0, -40.0, -50.0])
def test_the_noise_floor_and_its_distance_to_the_speech_are_estimated(noise_dbfs: float) -> None:
    clean = quality(voice())
    length_ms = len(voice()) * 1000 // RATE_HZ

    noisy = quality(added(voice(), noise(length_ms, noise_dbfs)))

    assert clean.speech_level_dbfs is not None
    assert noisy.noise_floor_dbfs == pytest.approx(noise_dbfs, abs=1.5)
    assert noisy.snr_db == pytest.approx(clean.speech_level_dbfs - noise_dbfs, abs=2)


def test_digital_silence_between_the_words_tells_nothing_of_the_noise() -> None:
    muted = voice()
    speech = np.zeros(len(muted), dtype=np.bool_)
    for start_ms, end_ms in SPOKEN:
        speech[start_ms * 8 : end_ms * 8] = True
    muted[~speech] = 0

    found = quality(muted)

    assert (found.noise_floor_dbfs, found.snr_db) == (None, None)
    assert found.speech_level_dbfs == pytest.approx(quality(voice()).speech_level_dbfs, abs=0.2)


def test_the_leak_of_the_other_side_is_no_noise() -> None:
    other = decoded("s01_ecommerce_calm").channels[1].pcm

    leaking = quality(added(voice(), (other * 0.1).astype(np.int16)))

    assert leaking.noise_floor_dbfs == pytest.approx(quality(voice()).noise_floor_dbfs, abs=1.5)


def test_a_channel_without_speech_has_no_level_of_speech() -> None:
    found = quality(silence(5_000), speech=[], anybody=[])

    assert found == AudioQuality(clipped_share=0, doubts=("little_speech",))
