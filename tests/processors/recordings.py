"""Recordings for tests: the example calls with what is said in them, and files of any container, codec and rate."""

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from processors.listening.audio import DecodeLimits, Recording, decode
from schemas.messages.call_ended import Agent, Audio, CallEnded, Role

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "calls"
NO_LIMIT = DecodeLimits(max_duration_ms=10 * 60 * 60 * 1000)
SOME_TIME = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Turn:
    """What one speaker says, and its exact extent."""

    channel: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class ExampleCall:
    """An example recording and the truth about it."""

    call_id: str
    duration_ms: int
    is_mono: bool
    turns: tuple[Turn, ...]
    expect: Mapping[str, object]

    @property
    def conversation(self) -> dict[str, object]:
        """What measures of interruptions and silences must be, of a call with a channel for each side.

        What the truth does not mention is not there, and 0.
        """
        expected_as = {
            **{name: name for name in ("agent_interruptions", "customer_interruptions")},
            **{name: name for name in ("excused_silences", "unexcused_silences")},
            "customer_back_channels": "backchannels",
        }
        return {measure: self.expect.get(name, 0) for measure, name in expected_as.items()}

    @property
    def data(self) -> bytes:
        """The file."""
        return (EXAMPLES / f"{self.call_id}.flac").read_bytes()

    @property
    def roles(self) -> tuple[Role, ...] | None:
        """The role of each channel, as its metadata says."""
        metadata = json.loads((EXAMPLES / f"{self.call_id}.json").read_text(encoding="utf-8"))
        told = metadata.get("audio", {}).get("channel_roles")
        return tuple(told) if told else None

    def turns_of(self, channel: str | None) -> list[Turn]:
        """Turns of one speaker; of both for None."""
        return [turn for turn in self.turns if channel in (None, turn.channel)]


@cache
def example_calls() -> dict[str, ExampleCall]:
    """Every example by its call id."""
    truth = json.loads((ROOT / "tests" / "data" / "calls_truth.json").read_text(encoding="utf-8"))
    return {
        call_id: ExampleCall(
            call_id,
            facts["duration_ms"],
            facts["mono"],
            tuple(Turn(t["channel"], t["start_ms"], t["end_ms"], t["text"]) for t in facts["turns"]),
            facts["expect"],
        )
        for call_id, facts in truth.items()
    }


def decoded(call_id: str) -> Recording:
    """An example recording, decoded anew."""
    return decode(example_calls()[call_id].data, NO_LIMIT)


def call_with(
    data: bytes, roles: tuple[Role, ...] | None = ("agent", "customer"), language_hint: str | None = "zh"
) -> CallEnded:
    """The event of a recording."""
    return CallEnded(
        tenant_id="acme",
        call_id="c1",
        direction="inbound",
        started_at=SOME_TIME,
        ended_at=SOME_TIME,
        agent=Agent(id="A1"),
        language_hint=language_hint,
        audio=Audio(uri="s3://recordings/c1", sha256=sha256(data).hexdigest(), bytes=len(data), channel_roles=roles),
    )


def tone(frequency_hz: float, duration_ms: int, sample_rate_hz: int, amplitude: float = 0.25) -> Pcm:
    """A sine."""
    time_s = np.arange(duration_ms * sample_rate_hz // 1000) / sample_rate_hz
    return (np.sin(2 * np.pi * frequency_hz * time_s) * amplitude * 32767).astype(np.int16)


def encoded(
    channels: list[Pcm],
    sample_rate_hz: int,
    codec: str = "pcm_s16le",
    container: str = "wav",
    layout: str = "",
    options: dict[str, str] | None = None,
) -> bytes:
    """A file with these channels; `options` are those of the codec."""
    layout = layout or ("mono" if len(channels) == 1 else "stereo")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=sample_rate_hz, options=options)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        samples = np.stack(channels, axis=1)
        # Second by second: codecs with small frames take time in the square of what they are given at once.
        for start in range(0, len(samples), sample_rate_hz):
            interleaved = np.ascontiguousarray(samples[start : start + sample_rate_hz]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
            frame.sample_rate = sample_rate_hz
            frame.pts = start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def wav_header(data_bytes: int, channels: int = 1, sample_rate_hz: int = 8000) -> bytes:
    """The 44 bytes before the samples of a plain 16-bit WAV file."""
    form = struct.pack("<IHHIIHH", 16, 1, channels, sample_rate_hz, sample_rate_hz * 2 * channels, 2 * channels, 16)
    return b"RIFF" + struct.pack("<I", 36 + data_bytes) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data_bytes)


def wav(channels: list[Pcm], sample_rate_hz: int) -> bytes:
    """A plain 16-bit WAV file."""
    samples = np.stack(channels, axis=1).astype("<i2").tobytes()
    return wav_header(len(samples), len(channels), sample_rate_hz) + samples
