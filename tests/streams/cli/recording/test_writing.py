"""What `callstream recording get` writes."""

import wave
from pathlib import Path

import numpy as np
import pytest
import typer

from processors.custody.ports import SealBrokenError
from processors.listening.virtual_wav import SoundFrames, VirtualWav, WavShape
from streams.cli.recording.asking import NotShownError, refusals_as_sentences, request_of
from streams.cli.recording.writing import BrokenOffError, OutputError, time_ms, write_wav
from streams.listening import NotPlayedError
from tests.support.playing import INSPECTOR

RATE_HZ = 8_000
SOUND = np.arange(2 * RATE_HZ * 3, dtype=np.int16).reshape(-1, 2)
WAV = VirtualWav(WavShape(RATE_HZ, 2, len(SOUND)), lambda first, count: SOUND[first : first + count])


def test_a_part_is_a_file_of_its_own_that_nobody_else_can_read(tmp_path: Path) -> None:
    target = tmp_path / "part.wav"
    assert write_wav(WAV, 1_000, 1_500, str(target)) == 500
    assert target.stat().st_mode & 0o777 == 0o600
    with wave.open(str(target)) as read:
        assert (read.getnframes(), read.getnchannels(), read.getframerate()) == (4_000, 2, RATE_HZ)
        assert read.readframes(4_000) == SOUND[8_000:12_000].tobytes()


def test_without_times_all_of_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "all.wav"
    assert write_wav(WAV, None, None, str(target)) == 3_000
    assert target.read_bytes() == WAV.read(0, 10**9)


def test_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_wav(WAV, 0, 500, "-")
    assert capfdbinary.readouterr().out == WavShape(RATE_HZ, 2, 4_000).header() + SOUND[:4_000].tobytes()


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "mine.wav"
    target.write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        write_wav(WAV, None, None, str(target))
    assert target.read_text() == "mine"


def test_where_there_is_no_folder_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_wav(WAV, None, None, str(tmp_path / "none" / "a.wav"))


def test_of_a_recording_that_breaks_off_nothing_is_left(tmp_path: Path) -> None:
    def breaks(first: int, count: int) -> SoundFrames:  # noqa: ARG001 - as a virtual WAV asks
        raise SealBrokenError("a segment does not open")

    with pytest.raises(BrokenOffError, match="SealBrokenError"):
        write_wav(VirtualWav(WAV.shape, breaks), None, None, str(tmp_path / "a.wav"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("start_ms", "end_ms"), [(3_000, None), (2_000, 2_000), (2_000, 1_000), (9_000, 10_000)])
def test_a_part_that_is_none_is_refused(tmp_path: Path, start_ms: int, end_ms: int | None) -> None:
    with pytest.raises(typer.BadParameter, match=r"the recording has 3.0 s"):
        write_wav(WAV, start_ms, end_ms, str(tmp_path / "a.wav"))


def test_times_as_people_type_them() -> None:
    typed = {"65": 65_000, "1:05": 65_000, "1:02:03.5": 3_723_500, "0": 0, "0:00.25": 250}
    assert {text: time_ms(text, "--from") for text in typed} == typed
    assert time_ms(None, "--from") is None
    for text in ("", "1:2:3:4", "-5", "1.2345", "a", "٣"):
        with pytest.raises(typer.BadParameter):
            time_ms(text, "--from")


def test_a_purpose_is_one_of_a_list() -> None:
    request = request_of(INSPECTOR, "acme", "c1", "complaint", "T-1", unmasked=False)
    assert (request.purpose, request.ticket, request.client) == ("complaint", "T-1", "cli")
    with pytest.raises(typer.BadParameter, match="complaint"):
        request_of(INSPECTOR, "acme", "c1", "fun", None, unmasked=False)


def test_a_refusal_is_a_sentence_and_says_that_it_is_entered() -> None:
    with (
        pytest.raises(NotShownError, match=r"destroyed.*\(key_destroyed\); this is in the audit log"),
        refusals_as_sentences(),
    ):
        raise NotPlayedError("gone", "key_destroyed")
