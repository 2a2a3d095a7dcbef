"""Waveform, seek index and other formats of a recording: they are of the same sound, and at the same time."""

import json
import math
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.listening.audio import DecodeLimits, UnhearableError, decode
from processors.listening.renditions import (
    convert,
    peaks_of,
    read_peaks,
    render,
    seek_index_of,
)
from schemas.config.tenants import RecordingFormat
from tests.processors.recordings import example_calls

LIMITS = DecodeLimits(3_600_000)
STEREO = example_calls()["s01_ecommerce_calm"].data
MONO = example_calls()["s09_mono_logistics"].data
RATE_HZ = 8_000
FORMATS: tuple[RecordingFormat, ...] = get_args(RecordingFormat)


def blocks(samples: NDArray[np.int16], length: int) -> Iterator[NDArray[np.int16]]:
    for start in range(0, samples.shape[1], length):
        yield samples[:, start : start + length]


def wav_of(samples: NDArray[np.int16], rate_hz: int = RATE_HZ) -> bytes:
    """A WAV file of samples of the shape (channels, n)."""
    channels, data = samples.shape[0], samples.T.tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate_hz, rate_hz * 2 * channels, 2 * channels, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data
    )


def with_a_click(at_ms: int, seconds: int = 6) -> bytes:
    """Silence on both channels, and a click on the second."""
    samples = np.zeros((2, seconds * RATE_HZ), dtype=np.int16)
    start = at_ms * RATE_HZ // 1000
    samples[1, start : start + 400] = (12_000 * np.sin(np.arange(400) * math.tau * 440 / RATE_HZ)).astype(np.int16)
    return wav_of(samples)


def test_a_peak_is_the_least_and_the_greatest_sample_of_its_twentieth_of_a_second() -> None:
    samples = np.random.default_rng(7).integers(-32_768, 32_767, (2, 10 * 400 + 130), dtype=np.int16)

    for length in (1, 7, 400, 401, 5_000):
        found = read_peaks(peaks_of(blocks(samples, length), 2, RATE_HZ))
        assert (found.rate_hz, found.samples_per_peak, found.pairs.shape) == (RATE_HZ, 400, (11, 2, 2))
        for number in range(11):
            stretch = samples[:, number * 400 : (number + 1) * 400]
            assert found.pairs[number, :, 0].tolist() == (stretch.min(axis=1) >> 8).tolist()
            assert found.pairs[number, :, 1].tolist() == (stretch.max(axis=1) >> 8).tolist()


def test_no_sound_has_no_peaks_and_says_of_how_many_channels() -> None:
    found = read_peaks(peaks_of(iter(()), 1, RATE_HZ))
    assert found.pairs.shape == (0, 1, 2)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x02" + bytes(22), id="shorter than the header"),
        pytest.param(struct.pack("<iIiIIi", 1, 1, 8_000, 400, 0, 1), id="version 1"),
        pytest.param(struct.pack("<iIiIIi", 2, 0, 8_000, 400, 1, 1) + bytes(4), id="16 bit"),
        pytest.param(struct.pack("<iIiIIi", 2, 1, 8_000, 400, 5, 1) + bytes(4), id="cut"),
        pytest.param(struct.pack("<iIiIIi", 2, 1, 8_000, 400, 0, 0), id="of no channel"),
    ],
)
def test_what_is_no_waveform_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="these are no peaks"):
        read_peaks(stored)


@pytest.mark.parametrize("wanted", FORMATS)
def test_in_another_format_it_is_the_same_sound_at_the_same_time(wanted: RecordingFormat) -> None:
    for data in (STEREO, MONO):
        before, after = decode(data, LIMITS), decode(convert(data, wanted, LIMITS), LIMITS)
        assert after.facts.channels == before.facts.channels
        assert abs(after.facts.duration_ms - before.facts.duration_ms) <= 1
        assert not after.truncated
        one, other = (read_peaks(render(each, LIMITS).peaks).pairs.astype(int) for each in (data, _as(data, wanted)))
        assert np.abs(one - other).mean() < 1


def _as(data: bytes, wanted: RecordingFormat) -> bytes:
    return convert(data, wanted, LIMITS)


@pytest.mark.parametrize("wanted", FORMATS)
def test_a_click_stays_on_its_channel_and_at_its_moment(wanted: RecordingFormat) -> None:
    pairs = read_peaks(render(_as(with_a_click(3_000), wanted), LIMITS).peaks).pairs.astype(int)
    loud = np.abs(pairs).max(axis=2)
    assert loud[:, 0].max() <= 3
    assert 59 <= int(loud[:, 1].argmax()) <= 60
    assert loud[:, 1].max() > 30


@pytest.mark.parametrize("lossless", ["wav", "flac"])
def test_lossless_formats_keep_every_sample(lossless: RecordingFormat) -> None:
    before, after = decode(STEREO, LIMITS), decode(_as(STEREO, lossless), LIMITS)
    for one, other in zip(before.channels, after.channels, strict=True):
        assert np.array_equal(one.pcm, other.pcm)


@pytest.mark.parametrize("compressed", ["mp3", "flac", "opus"])
def test_from_a_place_of_the_seek_index_the_rest_can_be_decoded(compressed: RecordingFormat) -> None:
    data = _as(STEREO, compressed)
    index = seek_index_of(data)
    assert index is not None
    told = json.loads(index)
    points = told["points"]
    assert told["version"] == 1
    assert points[0][0] == 0
    steps = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    assert min(steps) >= 1_000
    assert max(steps) <= 1_200
    assert [byte for _, byte in points] == sorted({byte for _, byte in points})
    # A reader has the header, and then what begins at that place.
    at_ms, byte = points[20]
    header = data[: points[0][1]]
    rest = decode(header + data[byte:], LIMITS)
    whole = decode(data, LIMITS)
    assert abs(rest.facts.duration_ms - (whole.facts.duration_ms - at_ms)) < 150


def test_a_format_of_constant_rate_needs_no_seek_index() -> None:
    assert seek_index_of(with_a_click(1_000)) is None


@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        pytest.param(b"", "no_audio", "empty_recording", id="nothing"),
        pytest.param(b"no sound at all", "bad_audio", "undecodable", id="no recording"),
        pytest.param(STEREO[:2_000], "bad_audio", "undecodable", id="a header and little more"),
    ],
)
def test_of_what_cannot_be_heard_nothing_is_made(data: bytes, outcome: str, reason: str) -> None:
    for convert_to in (None, *FORMATS):
        with pytest.raises(UnhearableError) as refused:
            render(data, LIMITS, convert_to)
        assert (refused.value.outcome, refused.value.reason) == (outcome, reason)


def test_a_recording_beyond_the_limit_is_not_converted() -> None:
    with pytest.raises(UnhearableError) as refused:
        convert(STEREO, "wav", DecodeLimits(10_000))
    assert refused.value.reason == "too_long"


def test_half_a_recording_gives_half_a_waveform() -> None:
    half = render(_as(STEREO, "mp3")[:170_000], LIMITS)
    assert 400 < len(read_peaks(half.peaks).pairs) < 440
