"""Decoding in a process of its own: the same as in this one, and what a file does there harms nobody here."""

import os
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from processors.listening.audio import DecodeLimits, UnhearableError, decode, probe
from processors.listening.renditions import render
from streams.adapters.decoder.process import DecoderProcess
from tests.processors.recordings import example_calls
from tests.support.processes import eventually

LIMITS = DecodeLimits(3_600_000)
STEREO = example_calls()["s01_ecommerce_calm"].data
MONO = example_calls()["s09_mono_logistics"].data

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess() as running:
        yield running


def wav(rate_hz: int, samples: int, channels: int = 1) -> bytes:
    """A WAV file whose header says that rate."""
    data = b"\x10\x00" * samples * channels
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate_hz, rate_hz * 2 * channels & 0xFFFFFFFF, 2 * channels, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data
    )


def test_it_decodes_as_this_process_does(decoder: DecoderProcess) -> None:
    for data in (STEREO, MONO, wav(8_000, 80_000, 2)):
        here, there = decode(data, LIMITS), decoder.decode(data, LIMITS)
        assert (there.facts, there.truncated) == (here.facts, here.truncated)
        for mine, theirs in zip(here.channels, there.channels, strict=True):
            assert mine.sample_rate_hz == theirs.sample_rate_hz
            assert np.array_equal(mine.pcm, theirs.pcm)
        assert decoder.probe(data) == probe(data)


def test_it_renders_as_this_process_does(decoder: DecoderProcess) -> None:
    assert decoder.render(STEREO, LIMITS) == render(STEREO, LIMITS)
    converted = decoder.render(wav(8_000, 80_000, 2), LIMITS, "flac")
    assert converted == render(wav(8_000, 80_000, 2), LIMITS, "flac")
    for data in (STEREO, MONO):
        assert decoder.probe(data) == probe(data)
    with pytest.raises(UnhearableError, match="undecodable"):
        decoder.render(b"no sound at all", LIMITS)


@pytest.mark.parametrize(
    ("data", "outcome", "reason"),
    [
        pytest.param(b"", "no_audio", "empty_recording", id="nothing"),
        pytest.param(b"no sound at all", "bad_audio", "undecodable", id="no recording"),
        pytest.param(wav(2, 12), "unsupported", "sample_rate", id="2 Hz: a division by zero"),
        pytest.param(wav(24, 130), "unsupported", "sample_rate", id="24 Hz"),
        pytest.param(wav(30, 160, 2), "unsupported", "sample_rate", id="30 Hz in stereo"),
        pytest.param(wav(3_999, 40_000), "unsupported", "sample_rate", id="just below the least"),
        pytest.param(wav(384_001, 400), "unsupported", "sample_rate", id="just above the most"),
        pytest.param(wav(99_999_989, 1_000), "unsupported", "sample_rate", id="99,999,989 Hz: 875 MB"),
        pytest.param(wav(2_147_483_647, 12), "unsupported", "sample_rate", id="2,147,483,647 Hz: no memory"),
    ],
)
def test_what_cannot_be_heard_has_its_outcome_in_both(
    decoder: DecoderProcess, data: bytes, outcome: str, reason: str
) -> None:
    for attempt in (lambda: decode(data, LIMITS), lambda: decoder.decode(data, LIMITS), lambda: decoder.probe(data)):
        with pytest.raises(UnhearableError) as refused:
            attempt()
        assert (refused.value.outcome, refused.value.reason) == (outcome, reason)


def test_rates_at_the_ends_are_decoded(decoder: DecoderProcess) -> None:
    assert decoder.decode(wav(4_000, 40_000), LIMITS).facts.duration_ms == 10_000
    assert decoder.decode(wav(384_000, 384_000), LIMITS).facts.duration_ms == 1_000


def child_of(decoder: DecoderProcess) -> int:
    """The process that decodes, started."""
    decoder.probe(MONO)
    assert decoder.pid is not None
    return decoder.pid


def test_a_recording_on_which_it_hangs_is_bad_audio_and_the_next_one_is_decoded() -> None:
    with DecoderProcess(within_s=15) as decoder:
        os.kill(child_of(decoder), signal.SIGSTOP)
        with pytest.raises(UnhearableError) as ended:
            decoder.decode(MONO, LIMITS)
        assert (ended.value.outcome, ended.value.reason) == ("bad_audio", "decoder_failed")
        assert decoder.pid is None
    with DecoderProcess() as decoder:
        os.kill(child_of(decoder), signal.SIGKILL)
        assert eventually(lambda: decoder.pid is None)
        assert decoder.probe(MONO) == probe(MONO)


def test_a_recording_that_takes_more_memory_than_it_may_ends_alone() -> None:
    """The child with room for nothing but itself: what a file may make of itself is then too much for every file."""
    tight = "import streams.adapters.decoder.child as c; c.BASE_BYTES = 1 << 28; c.SAMPLES_TIMES = 0; c.main()"
    data = wav(16_000, 16_000 * 60 * 60)
    with DecoderProcess(command=(sys.executable, "-P", "-c", tight)) as decoder:
        with pytest.raises(UnhearableError) as ended:
            decoder.decode(data, LIMITS)
        assert (ended.value.outcome, ended.value.reason) == ("bad_audio", "decoder_failed")
    with DecoderProcess() as decoder:
        assert decoder.decode(data, LIMITS).facts.duration_ms == 3_600_000


def test_it_knows_no_secret_and_may_write_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSTREAM_S3_SECRET_KEY", "a secret")
    with DecoderProcess() as decoder:
        pid = child_of(decoder)
        assert b"CALLSTREAM" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
        assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]


def test_it_ends_when_it_is_closed() -> None:
    decoder = DecoderProcess()
    pid = child_of(decoder)
    decoder.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_who_stops_a_worker_by_its_group_does_not_stop_what_is_being_decoded(asked: signal.Signals) -> None:
    with DecoderProcess() as decoder:
        pid = child_of(decoder)
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, asked)
        assert decoder.probe(MONO) == probe(MONO)
        assert decoder.pid == pid


def test_a_child_that_is_asked_to_end_before_it_can_ignore_it_is_started_once_more(tmp_path: Path) -> None:
    """It says nothing about the recording; one that ends it that way each time is `bad_audio` all the same."""
    starts = tmp_path / "starts"
    starts.touch()
    ended_once = (
        "import os, pathlib, signal\n"
        f"starts = pathlib.Path({str(starts)!r})\n"
        "starts.write_text(starts.read_text() + 'x')\n"
        "if len(starts.read_text()) != 2: os.kill(os.getpid(), signal.SIGTERM)\n"
        "import streams.adapters.decoder.child as c; c.main()"
    )
    with DecoderProcess(command=(sys.executable, "-P", "-c", ended_once)) as decoder:
        assert decoder.probe(MONO) == probe(MONO)
        assert starts.read_text() == "xx"
        decoder.close()
        with pytest.raises(UnhearableError, match="decoder_failed"):
            decoder.probe(MONO)
        assert starts.read_text() == "xxxx"
