"""Clips into windows and words back to their clips."""

import numpy as np
import pytest

from processors.listening.engine_port import ENGINE_SAMPLE_RATE_HZ, MAX_CLIP_MS, Samples, SpeechClip
from processors.listening.gain import level
from processors.listening.packing import LEAD_MS, WINDOW_MS, ClipWindow, pack


class Ramp:
    """A sound whose sample tells its time: the value at t ms is t / 1,000,000."""

    duration_ms = 600_000

    def samples(self, start_ms: int, end_ms: int) -> Samples:
        at_ms = start_ms + np.arange((end_ms - start_ms) * 16) / 16
        return (at_ms / 1e6).astype(np.float32)


def clips(*spans: tuple[int, int, int]) -> list[SpeechClip]:
    return [SpeechClip(channel, start, end, Ramp()) for channel, start, end in spans]


def value_at(window: ClipWindow, window_ms: int) -> float:
    return float(window.recorded_samples()[window_ms * ENGINE_SAMPLE_RATE_HZ // 1000]) * 1e6


MANY = clips(*((i % 2, i * 3_000, i * 3_000 + 2_500) for i in range(30)))


def test_every_clip_is_in_one_window_of_its_channel_in_order() -> None:
    windows = pack(MANY)

    indices = [place.index for window in windows for place in window.places]
    assert sorted(indices) == list(range(len(MANY)))
    assert all(len({place.clip.channel for place in window.places}) == 1 for window in windows)
    assert all(window.duration_ms <= WINDOW_MS for window in windows)
    assert len(windows) < len(MANY) / 3


def test_a_long_clip_has_a_window_of_its_own_that_an_engine_can_hear() -> None:
    windows = pack(clips((0, 0, MAX_CLIP_MS), (0, MAX_CLIP_MS + 200, MAX_CLIP_MS + 900)))

    assert [len(window.places) for window in windows] == [1, 1]
    assert windows[0].duration_ms <= 30_000


@pytest.mark.parametrize("pause_ms", [300, 5_000], ids=["pause_as_recorded", "long_pause_shortened"])
def test_a_window_holds_the_sound_of_its_clips_at_their_places(pause_ms: int) -> None:
    (window,) = pack(clips((0, 10_000, 11_000), (0, 11_000 + pause_ms, 12_000 + pause_ms)))

    for place in window.places:
        assert value_at(window, place.offset_ms + 500) == pytest.approx(place.clip.start_ms + 500, abs=1)
    assert value_at(window, 0) == 0
    assert window.places[0].offset_ms == LEAD_MS
    assert window.places[1].offset_ms - window.places[0].end_offset_ms <= 500


def test_a_recogniser_hears_the_window_at_one_level() -> None:
    (window,) = pack(clips((0, 10_000, 11_000), (0, 14_000, 15_000)))

    heard, recorded = window.samples(), window.recorded_samples()

    assert np.array_equal(heard, level(recorded))
    assert heard.max() > 2 * recorded.max()


def test_a_word_belongs_to_the_clip_that_it_overlaps_most() -> None:
    (window,) = pack(clips((0, 0, 1_000), (0, 9_000, 10_000)))
    first, second = window.places

    assert window.place_of(first.offset_ms, first.offset_ms + 200) is first
    assert window.place_of(first.end_offset_ms - 50, second.offset_ms + 300) is second  # stretched over the gap
    assert window.place_of(first.end_offset_ms + 10, first.end_offset_ms + 20) is first  # in the gap: the nearer
