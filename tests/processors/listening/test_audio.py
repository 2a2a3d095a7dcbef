"""From bytes to sound: every format that recorders write, and every way in which a file can be broken."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from processors.listening.audio import ChannelSound, DecodeLimits, UnhearableError, decode, probe
from tests.processors.recordings import NO_LIMIT, decoded, encoded, tone, wav, wav_header

LOW_HZ, HIGH_HZ = 300.0, 900.0


def strongest_hz(sound: ChannelSound) -> float:
    samples = sound.samples(500, 1500)
    return float(np.argmax(np.abs(np.fft.rfft(samples))))  # one second: the bin is the frequency


@pytest.mark.parametrize(
    ("codec", "container", "sample_rate_hz", "channels", "expected"),
    [
        pytest.param("pcm_s16le", "wav", 8_000, 2, ("wav", "pcm_s16le"), id="wav_two_channels_telephone"),
        pytest.param("pcm_s16le", "wav", 16_000, 1, ("wav", "pcm_s16le"), id="wav_mono_wideband"),
        pytest.param("pcm_s16le", "wav", 32_000, 2, ("wav", "pcm_s16le"), id="wav_32_kHz"),
        pytest.param("pcm_s16le", "wav", 44_100, 2, ("wav", "pcm_s16le"), id="wav_rate_that_divides_nothing"),
        pytest.param("pcm_s24le", "wav", 48_000, 1, ("wav", "pcm_s24le"), id="wav_24_bit"),
        pytest.param("pcm_f32le", "wav", 16_000, 2, ("wav", "pcm_f32le"), id="wav_float"),
        pytest.param("pcm_mulaw", "wav", 8_000, 2, ("wav", "pcm_mulaw"), id="mu_law"),
        pytest.param("pcm_alaw", "wav", 8_000, 2, ("wav", "pcm_alaw"), id="a_law"),
        pytest.param("libmp3lame", "mp3", 8_000, 2, ("mp3", "mp3"), id="mp3_telephone"),
        pytest.param("libmp3lame", "mp3", 44_100, 1, ("mp3", "mp3"), id="mp3_mono"),
        pytest.param("libopus", "ogg", 48_000, 2, ("ogg", "opus"), id="opus"),
        pytest.param("flac", "flac", 8_000, 2, ("flac", "flac"), id="flac_telephone"),
        pytest.param("flac", "flac", 48_000, 1, ("flac", "flac"), id="flac_mono"),
        pytest.param("aac", "mp4", 44_100, 2, ("mov", "aac"), id="m4a"),
    ],
)
def test_a_recording_is_decoded_with_its_channels_in_order(
    codec: str, container: str, sample_rate_hz: int, channels: int, expected: tuple[str, str]
) -> None:
    sounds = [tone(hz, 2_000, sample_rate_hz) for hz in (LOW_HZ, HIGH_HZ)[:channels]]

    recording = decode(encoded(sounds, sample_rate_hz, codec, container), NO_LIMIT)

    assert (recording.facts.container, recording.facts.codec) == expected
    assert recording.facts.sample_rate_hz == sample_rate_hz
    assert recording.facts.channels == len(recording.channels) == channels
    assert abs(recording.facts.duration_ms - 2_000) <= 100  # MP3 and AAC are padded to whole frames
    assert {sound.sample_rate_hz for sound in recording.channels} == {min(sample_rate_hz, 16_000)}
    assert [strongest_hz(sound) for sound in recording.channels] == pytest.approx([LOW_HZ, HIGH_HZ][:channels], abs=2)
    assert not recording.truncated


@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        pytest.param(b"", "no_audio", "empty_recording", id="no_bytes"),
        pytest.param(wav_header(0), "no_audio", "empty_recording", id="header_of_44_bytes_only"),
        pytest.param(
            encoded([tone(LOW_HZ, 100, 8_000)], 8_000)[:78], "no_audio", "empty_recording", id="longer_header_only"
        ),
        pytest.param(b"not a recording\n" * 40, "bad_audio", "undecodable", id="text"),
        pytest.param(np.random.default_rng(7).bytes(50_000), "bad_audio", "undecodable", id="noise_as_bytes"),
        pytest.param(b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(300), "bad_audio", "undecodable", id="wav_without_format"),
        pytest.param(
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
            "bad_audio",
            "undecodable",
            id="playlist_that_points_elsewhere",
        ),
        pytest.param(
            encoded([tone(LOW_HZ, 500, 8_000)] * 6, 8_000, layout="5.1"),
            "unsupported",
            "too_many_channels",
            id="six_channels",
        ),
    ],
)
def test_what_cannot_be_heard_says_why(data: bytes, outcome: str, reason: str) -> None:
    with pytest.raises(UnhearableError) as failure:
        decode(data, NO_LIMIT)

    assert (failure.value.outcome, failure.value.reason) == (outcome, reason)


def test_a_file_that_holds_pictures_only_has_no_audio_stream() -> None:
    with pytest.raises(UnhearableError, match="no_audio_stream"):
        decode(_video(), NO_LIMIT)


def test_a_recording_longer_than_the_limit_is_unsupported() -> None:
    data = encoded([tone(LOW_HZ, 3_000, 8_000)], 8_000)

    assert decode(data, DecodeLimits(3_000)).facts.duration_ms == 3_000
    with pytest.raises(UnhearableError, match="unsupported: too_long"):
        decode(data, DecodeLimits(2_999))


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        pytest.param("pcm_s16le", "wav", id="wav_whose_header_promises_more"),
        pytest.param("libmp3lame", "mp3", id="mp3"),
        pytest.param("flac", "flac", id="flac_with_half_a_frame_at_the_end"),
    ],
)
def test_of_a_truncated_file_what_is_there_is_decoded(codec: str, container: str) -> None:
    noise = (np.random.default_rng(3).normal(size=10 * 16_000) * 3_000).astype(np.int16)
    data = encoded([noise], 16_000, codec, container)

    recording = decode(data[: len(data) // 2], NO_LIMIT)

    assert recording.truncated
    assert 4_000 <= recording.facts.duration_ms <= 6_000


def test_a_damaged_stretch_does_not_take_the_rest_with_it() -> None:
    data = bytearray(encoded([tone(LOW_HZ, 10_000, 16_000)], 16_000, "libmp3lame", "mp3"))
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)

    assert decode(bytes(data), NO_LIMIT).facts.duration_ms >= 9_000


def test_probing_finds_what_decoding_finds() -> None:
    data = encoded([tone(LOW_HZ, 2_000, 44_100), tone(HIGH_HZ, 2_000, 44_100)], 44_100, "libmp3lame", "mp3")

    assert probe(data) == decode(data, NO_LIMIT).facts


def test_sound_outside_the_recording_is_silence() -> None:
    sound = decode(wav([tone(LOW_HZ, 1_000, 8_000)], 8_000), NO_LIMIT).channels[0]

    assert not sound.samples(-3_000, -1_000).any()
    assert not sound.samples(1_100, 2_000).any()
    around = sound.samples(-500, 1_500)
    assert around.shape == (2_000 * 16,)
    assert not around[: 490 * 16].any()
    assert np.abs(around[500 * 16 : 1_500 * 16]).max() > 0.2


def test_pieces_of_a_channel_fit_together() -> None:
    sound = decoded("s09_mono_logistics").channels[0]

    whole = sound.samples(0, 4_000)
    pieces = np.concatenate([sound.samples(start, start + 500) for start in range(0, 4_000, 500)])

    assert np.abs(whole - pieces).max() < 1e-3


@pytest.mark.processes
def test_decoding_broken_files_writes_nothing_to_standard_error(tmp_path: Path) -> None:
    half = encoded([tone(LOW_HZ, 4_000, 16_000)], 16_000, "libmp3lame", "mp3")[3_000:9_000]
    (tmp_path / "half.mp3").write_bytes(half)
    (tmp_path / "text").write_bytes(b"not a recording\n" * 40)
    code = (
        "import sys; from pathlib import Path; from processors.listening.audio import *\n"
        "for name in sys.argv[1:]:\n"
        "    try: decode(Path(name).read_bytes(), DecodeLimits(10**8))\n"
        "    except UnhearableError: pass\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", "")


def _video() -> bytes:
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("mpeg4", rate=5)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return buffer.getvalue()
