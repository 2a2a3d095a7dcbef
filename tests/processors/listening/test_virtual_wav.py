"""The file that nobody has written reads like one that somebody has."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.listening.audio import OpenedRecording
from processors.listening.plain_wav import plain_wav_of
from processors.listening.renditions import seek_index_of
from processors.listening.stretch import STRETCH_MS, SeekIndex, decode_stretch
from processors.listening.virtual_wav import HEADER_BYTES, SoundFrames, VirtualWav, WavShape
from tests.processors.recordings import encoded, tone, wav, wav_header

RATE_HZ = 8_000


def frames_of(data: bytes) -> SoundFrames:
    """All of a recording as a decoder has it, at its own rate."""
    with OpenedRecording(data) as reader:
        return np.concatenate(list(reader.blocks(reader.rate_hz)), axis=1).T


def noise(
    seconds: float, rate_hz: int = RATE_HZ, channels: int = 2
) -> list[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """Something of which no two stretches are alike."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(channels, int(seconds * rate_hz)))
    smooth = np.stack([np.convolve(each, np.ones(9) / 9, "same") for each in steps])
    return [(each / np.abs(each).max() * 12_000).astype(np.int16) for each in smooth]


def virtual(channels: int, frames: int) -> tuple[VirtualWav, bytes]:
    """One, and the same as bytes."""
    sound = np.random.default_rng(4).integers(-32_768, 32_767, (frames, channels)).astype(np.int16)
    whole = wav(list(sound.T), RATE_HZ) if frames else wav_header(0, channels)
    return VirtualWav(WavShape(RATE_HZ, channels, frames), lambda first, count: sound[first : first + count]), whole


@given(
    channels=st.integers(1, 2), frames=st.integers(0, 400), start=st.integers(0, 2_000), length=st.integers(0, 2_000)
)
def test_any_range_is_that_part_of_the_file(channels: int, frames: int, start: int, length: int) -> None:
    file, whole = virtual(channels, frames)
    assert file.shape.size_bytes == len(whole)
    assert file.read(start, length) == whole[start : start + length]


def test_it_is_a_wav_file_to_others() -> None:
    file, _ = virtual(2, 400)
    with wave.open(io.BytesIO(file.read(0, file.shape.size_bytes))) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate(), read.getnframes()) == (
            2,
            2,
            RATE_HZ,
            400,
        )


def test_a_range_that_runs_backwards_is_a_mistake() -> None:
    file, _ = virtual(1, 10)
    with pytest.raises(ValueError, match="not negative"):
        file.read(-1, 5)


def test_a_time_is_a_place_and_one_behind_the_end_is_the_end() -> None:
    shape = WavShape(RATE_HZ, 2, 8_000)
    assert [shape.byte_at(ms) for ms in (0, 500, 5_000)] == [44, 44 + 4 * 4_000, shape.size_bytes]


def test_a_file_that_a_header_cannot_describe_does_not_fit() -> None:
    assert WavShape(48_000, 2, 2**30 - 20).fits
    assert not WavShape(48_000, 2, 2**30).fits


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "pcm_mulaw", "pcm_alaw"])
@pytest.mark.parametrize("channels", [1, 2])
def test_plain_files_are_read_as_a_decoder_reads_them(codec: str, channels: int) -> None:
    data = encoded(noise(1, channels=channels), RATE_HZ, codec)
    plain = plain_wav_of(lambda start, length: data[start : start + length], len(data))
    assert plain is not None
    assert plain.codec == codec
    found = plain.frames(lambda start, length: data[start : start + length], 0, plain.shape.frames)
    assert (found == frames_of(data)).all()


def test_every_code_of_mu_law_and_a_law_is_what_the_decoder_makes_of_it() -> None:
    for codec in ("pcm_mulaw", "pcm_alaw"):
        data = bytearray(encoded([tone(440, 100, RATE_HZ)], RATE_HZ, codec))
        data[-256:] = bytes(range(256))
        plain = plain_wav_of(lambda start, length, data=data: bytes(data[start : start + length]), len(data))  # type: ignore[misc]
        assert plain is not None
        count = plain.shape.frames
        found = plain.frames(lambda start, length, data=data: bytes(data[start : start + length]), 0, count)  # type: ignore[misc]
        assert (found == frames_of(bytes(data))).all(), codec


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def test_of_a_cut_file_and_of_one_that_says_no_length_what_is_there_is_there() -> None:
    whole = wav(noise(1), RATE_HZ)
    unknown = wav_header(0xFFFFFFFF - 36, 2) + whole[HEADER_BYTES:]
    unknown = unknown[:40] + b"\xff\xff\xff\xff" + unknown[44:]
    for data in (cut(whole), unknown):
        plain = plain_wav_of(lambda start, length, data=data: data[start : start + length], len(data))  # type: ignore[misc]
        assert plain is not None
        assert plain.shape.frames == (len(data) - HEADER_BYTES) // 4


@given(st.binary(max_size=200))
def test_what_is_no_plain_file_is_none(rubbish: bytes) -> None:
    data = b"RIFF\x00\x00\x00\x00WAVE" + rubbish
    plain = plain_wav_of(lambda start, length: data[start : start + length], len(data))
    assert plain is None or plain.shape.frames * plain.shape.channels <= len(data)


@pytest.mark.parametrize(
    "form",
    [
        ("libmp3lame", "mp3", 8_000, 1),
        ("libmp3lame", "mp3", 24_000, 2),
        ("libmp3lame", "mp3", 44_100, 2),
        ("libopus", "ogg", 48_000, 1),
        ("libopus", "ogg", 48_000, 2),
        ("flac", "flac", 8_000, 1),
        ("flac", "flac", 44_100, 2),
    ],
    ids=str,
)
def test_a_stretch_from_the_middle_is_what_the_whole_file_decodes_to(form: tuple[str, str, int, int]) -> None:
    codec, container, rate_hz, channels = form
    data = encoded(noise(9, rate_hz, channels), rate_hz, codec, container)
    index = SeekIndex.of(seek_index_of(data) or b"")
    assert index is not None
    whole = frames_of(data)
    step = STRETCH_MS * rate_hz // 1000
    for number in range(len(whole) // step):
        piece = index.piece(number * STRETCH_MS, (number + 1) * STRETCH_MS, len(data))
        parts = [data[: piece.head], data[piece.start : piece.end]]
        found = decode_stretch(parts, piece.at_ms, number * step, step, channels)
        assert np.abs(found.astype(int) - whole[number * step : (number + 1) * step]).max() <= 1, number
    last = index.piece(8_000, 10_000, len(data))
    assert last.end == len(data)
    assert last.start > len(data) // 2


def test_what_lies_behind_the_end_is_silence() -> None:
    data = encoded(noise(1), RATE_HZ, "flac", "flac")
    found = decode_stretch([data], 0, 4_000, 8_000, 2)
    assert (found[:4_000] == frames_of(data)[4_000:]).all()
    assert not found[4_000:].any()


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"[]",
        b'{"points": 1}',
        b'{"points": [[0, 1]]}',
        b'{"points": [[0, 9], [1, 3]]}',
        b'{"points": [[5, 1], [9, 3]]}',
    ],
    ids=["nothing", "a list", "a number", "one point", "backwards", "not from the beginning"],
)
def test_a_seek_index_that_does_not_serve_is_none(stored: bytes) -> None:
    assert SeekIndex.of(stored) is None
