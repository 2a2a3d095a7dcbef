"""How a call sounded: levels, pace, overlaps, and what makes a measure doubtful."""

import numpy as np
import pytest

from processors.listening.quality import (
    audio_quality,
    frames_of,
    loudness_dbfs,
    overlapping_turns,
)
from schemas.messages.sound import LEAST_DBFS, AudioQuality, QualityDoubt
from schemas.messages.transcript import Interval
from tests.processors.listening.bad_sound import RATE_HZ, Pcm, added, clipped, noise, silence
from tests.processors.recordings import decoded, example_calls, tone

Span = tuple[int, int]


def intervals(*spans: Span) -> tuple[Interval, ...]:
    return tuple(Interval(start_ms=start, end_ms=end) for start, end in spans)


def loudness(pcm: Pcm, sample_rate_hz: int = RATE_HZ) -> tuple[float, ...]:
    return loudness_dbfs(frames_of(pcm, sample_rate_hz))


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 16_000])
def test_each_second_has_its_level(sample_rate_hz: int) -> None:
    def sine(amplitude: float) -> Pcm:
        return tone(440, 1_000, sample_rate_hz, amplitude)

    seconds = [sine(0.5), sine(0.05), 0 * sine(0.5), sine(0.5)[: sample_rate_hz // 2]]

    found = loudness(np.concatenate(seconds), sample_rate_hz)

    # A sine is 3 dB below its amplitude.
    assert found == pytest.approx((-9.0, -29.0, LEAST_DBFS, -9.0), abs=0.2)


def test_nothing_has_no_level() -> None:
    assert loudness(silence(0)) == ()


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


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([[(0, 2_000)]], [[(1_500, 3_000)]], [(1_500, 2_000, 1)], id="the_second_interrupts"),
        pytest.param([[(1_500, 3_000)]], [[(0, 2_000)]], [(1_500, 2_000, 0)], id="the_first_interrupts"),
        pytest.param([[(0, 5_000)]], [[(1_000, 1_400)]], [(1_000, 1_400, 1)], id="a_word_in_between"),
        pytest.param([[(0, 2_000)]], [[(1_900, 3_000)]], [], id="what_voice_activity_adds_is_no_overlap"),
        pytest.param(
            [[(0, 2_000), (2_500, 4_000)]],
            [[(1_000, 3_500)]],
            [(1_000, 3_500, 1)],
            id="one_overlap_for_two_turns_though_one_pauses",
        ),
        pytest.param(
            [[(0, 2_000)], [(3_000, 5_000)]],
            [[(1_500, 3_500)], [(4_500, 6_000)]],
            [(1_500, 2_000, 1), (3_000, 3_500, 0), (4_500, 5_000, 1)],
            id="to_and_fro",
        ),
    ],
)
def test_overlaps_are_found_with_who_began_to_speak_later(
    first: list[list[Span]], second: list[list[Span]], expected: list[tuple[int, int, int]]
) -> None:
    found = overlapping_turns([intervals(*turn) for turn in first], [intervals(*turn) for turn in second])

    assert [(overlap.start_ms, overlap.end_ms, later) for overlap, later in found] == expected
