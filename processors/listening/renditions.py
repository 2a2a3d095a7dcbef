"""What is made of a recording beside its transcript: a waveform to look at, where to seek, another format (R13)."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from processors.listening.audio import DecodeLimits, OpenedRecording, Pcm
from schemas.config.tenants import RecordingFormat

PEAKS_PER_S = 20
_PEAKS_VERSION = 2
_PEAKS_IN_8_BIT = 1
_PEAKS_HEADER = np.dtype(
    [
        ("version", "<i4"),
        ("flags", "<u4"),
        ("rate_hz", "<i4"),
        ("samples_per_peak", "<i4"),
        ("length", "<u4"),
        ("channels", "<i4"),
    ]
)
SEEK_STEP_MS = 1_000


@dataclass(frozen=True)
class Renditions:
    """What was made of a recording.

    `peaks` is the waveform as BBC audiowaveform writes it (binary, version 2, 8 bit): a header of 24 bytes, then for
    each of `PEAKS_PER_S` stretches a second and each channel its least and its greatest sample, each -128–127.
    `seek_index` is JSON, `{"version": 1, "points": [[ms, byte], …]}`, where to begin to read for a time; None for
    formats in which a time is a place by arithmetic. `converted` is the recording in another format, None where none
    was asked for.
    """

    peaks: bytes
    seek_index: bytes | None
    converted: bytes | None


def render(data: bytes, limits: DecodeLimits, convert_to: RecordingFormat | None = None) -> Renditions:
    """Everything at once. Raises `UnhearableError` where `processors.listening.audio.decode` does."""
    with OpenedRecording(data) as reader:
        peaks = peaks_of(reader.limited_blocks(limits), reader.channels, reader.kept_rate_hz)
    return Renditions(peaks, seek_index_of(data), convert(data, convert_to, limits) if convert_to else None)


def peaks_of(blocks: Iterator[Pcm], channels: int, rate_hz: int) -> bytes:
    """The peaks of 16-bit samples, blocks of the shape (channels, n) of any length."""
    samples_per_peak = max(1, round(rate_hz / PEAKS_PER_S))
    rest: Pcm = np.zeros((channels, 0), dtype=np.int16)
    found: list[NDArray[np.int8]] = []
    for block in blocks:
        rest = np.concatenate([rest, block], axis=1)
        whole = rest.shape[1] // samples_per_peak * samples_per_peak
        found.append(_extremes(rest[:, :whole].reshape(channels, -1, samples_per_peak)))
        rest = rest[:, whole:]
    if rest.shape[1]:
        found.append(_extremes(rest.reshape(channels, 1, -1)))
    pairs = np.concatenate(found) if found else np.zeros((0, channels, 2), dtype=np.int8)
    header = np.array(
        [(_PEAKS_VERSION, _PEAKS_IN_8_BIT, rate_hz, samples_per_peak, len(pairs), channels)], dtype=_PEAKS_HEADER
    )
    return header.tobytes() + pairs.tobytes()


def _extremes(stretches: NDArray[np.int16]) -> NDArray[np.int8]:
    """Shape (stretches, channels, 2), of samples of the shape (channels, stretches, n)."""
    pairs = np.stack([stretches.min(axis=2), stretches.max(axis=2)], axis=2) if stretches.size else None
    if pairs is None:
        return np.zeros((0, stretches.shape[0], 2), dtype=np.int8)
    return (pairs >> 8).astype(np.int8).transpose(1, 0, 2)


@dataclass(frozen=True)
class Peaks:
    """Peaks as they are stored: `pairs` has the shape (stretches, channels, 2)."""

    rate_hz: int
    samples_per_peak: int
    pairs: NDArray[np.int8]


def read_peaks(stored: bytes) -> Peaks:
    """What `peaks_of` has written. Raises `ValueError` for anything else."""
    if len(stored) < _PEAKS_HEADER.itemsize:
        raise ValueError("these are no peaks: they are shorter than their header")
    (header,) = np.frombuffer(stored, dtype=_PEAKS_HEADER, count=1)
    pairs = np.frombuffer(stored, dtype=np.int8, offset=_PEAKS_HEADER.itemsize)
    known = header["version"] == _PEAKS_VERSION and header["flags"] == _PEAKS_IN_8_BIT
    if not known or header["channels"] < 1 or len(pairs) != int(header["length"]) * int(header["channels"]) * 2:
        raise ValueError("these are no peaks of version 2 in 8 bit")
    return Peaks(int(header["rate_hz"]), int(header["samples_per_peak"]), pairs.reshape(-1, int(header["channels"]), 2))


def seek_index_of(data: bytes) -> bytes | None:
    """Where to begin to read for a time, at most one point for each `SEEK_STEP_MS`; None where none is needed."""
    points: list[tuple[int, int]] = []
    with OpenedRecording(data) as reader:
        if reader.codec.startswith("pcm_"):
            return None
        for at_ms, byte in reader.packet_places():
            if not points or (at_ms >= points[-1][0] + SEEK_STEP_MS and byte > points[-1][1]):
                points.append((at_ms, byte))
    return json.dumps({"version": 1, "points": points}, separators=(",", ":")).encode()


_ENCODERS: dict[RecordingFormat, tuple[str, str, tuple[int, ...] | None, int | None]] = {
    "wav": ("wav", "pcm_s16le", None, None),
    "mp3": ("mp3", "libmp3lame", (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000), 32_000),
    "flac": ("flac", "flac", None, None),
    "opus": ("ogg", "libopus", (48_000,), 24_000),
}
"""Container, encoder, the rates in Hz that it takes (None: any) and bits per second and channel (None: as it comes)."""
_MOST_LOSSLESS_RATE_HZ = 192_000


def convert(data: bytes, convert_to: RecordingFormat, limits: DecodeLimits) -> bytes:
    """The recording in another format, its channels as they were; at its own rate where the format knows it.

    Raises `UnhearableError` where `processors.listening.audio.decode` does.
    """
    container_format, encoder, rates, bits_per_s = _ENCODERS[convert_to]
    out = io.BytesIO()
    with OpenedRecording(data) as reader:
        rate_hz = _rate_for(reader.rate_hz, rates)
        layout = "mono" if reader.channels == 1 else "stereo"
        with av.open(out, mode="w", format=container_format) as container:
            # Two sides of a call have little in common: each channel is coded for itself.
            options = {"joint_stereo": "0"} if encoder == "libmp3lame" else {}
            stream = container.add_stream(encoder, rate=rate_hz, options=options)
            assert isinstance(stream, av.AudioStream)  # noqa: S101 - these are encoders of sound
            stream.layout = layout
            if bits_per_s is not None:
                stream.bit_rate = bits_per_s * reader.channels
            written = 0
            for block in reader.limited_blocks(limits, rate_hz):
                # Packed samples: those of all channels at one time stand side by side.
                frame = av.AudioFrame.from_ndarray(block.T.reshape(1, -1), format="s16", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate_hz, written, Fraction(1, rate_hz)
                written += block.shape[1]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return out.getvalue()


def _rate_for(rate_hz: int, rates: tuple[int, ...] | None) -> int:
    if rates is None:
        return min(rate_hz, _MOST_LOSSLESS_RATE_HZ)
    return next((one for one in rates if one >= rate_hz), rates[-1])
