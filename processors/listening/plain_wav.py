"""WAV files in which a time is a place by arithmetic: PCM of 8 and 16 bits, µ-law, A-law. Read without a decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from processors.listening.virtual_wav import SoundFrames, WavShape

PlainCodec = Literal["pcm_s16le", "pcm_u8", "pcm_mulaw", "pcm_alaw"]
_CODEC_OF: dict[tuple[int, int], PlainCodec] = {
    (1, 16): "pcm_s16le",
    (1, 8): "pcm_u8",
    (7, 8): "pcm_mulaw",
    (6, 8): "pcm_alaw",
}
_EXTENSIBLE = 0xFFFE
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_MOST_CHUNKS = 64
_MOST_CHANNELS = 2

ReadRange = Callable[[int, int], bytes]
"""So many bytes from a place, fewer where the file ends."""


@dataclass(frozen=True)
class PlainWav:
    """Where the samples of a WAV file stand."""

    codec: PlainCodec
    shape: WavShape
    data_start: int

    def frames(self, read: ReadRange, first: int, count: int) -> SoundFrames:
        """So many frames from `first`, which there are. Raises what `read` does."""
        step = self.shape.channels * (2 if self.codec == "pcm_s16le" else 1)
        data = read(self.data_start + first * step, count * step)
        return _SAMPLES[self.codec](data).reshape(-1, self.shape.channels)


def plain_wav_of(read: ReadRange, size_bytes: int) -> PlainWav | None:
    """Where the samples stand in a file of that size; None where it is another kind of file, or says what cannot be."""
    if read(0, 4) != b"RIFF" or read(8, 4) != b"WAVE":
        return None
    at, kind = 12, None
    for _ in range(_MOST_CHUNKS):
        head = read(at, 8)
        if len(head) < 8:
            return None
        name, length = unpack("<4sI", head)
        at += 8
        if name == b"fmt ":
            kind = _kind_of(read(at, min(length, 40)))
        elif name == b"data":
            return None if kind is None else _plain(kind, at, length, size_bytes)
        at += length + length % 2
    return None


_Kind = tuple[PlainCodec, int, int]


def _kind_of(chunk: bytes) -> _Kind | None:
    if len(chunk) < 16:
        return None
    tag, channels, rate_hz, _, block, bits = unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    codec = _CODEC_OF.get((tag, bits))
    if codec is None or not 1 <= channels <= _MOST_CHANNELS or rate_hz < 1 or block != channels * bits // 8:
        return None
    return codec, channels, rate_hz


def _plain(kind: _Kind, data_start: int, announced: int, size_bytes: int) -> PlainWav:
    codec, channels, rate_hz = kind
    there = max(0, size_bytes - data_start)
    length = there if announced in _UNKNOWN_SIZES else min(announced, there)
    step = channels * (2 if codec == "pcm_s16le" else 1)
    return PlainWav(codec, WavShape(rate_hz, channels, length // step), data_start)


def _mulaw() -> NDArray[np.int16]:
    """ITU-T G.711."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw() -> NDArray[np.int16]:
    """ITU-T G.711."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, mantissa + 0x108 << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_MULAW, _ALAW = _mulaw(), _alaw()
_SAMPLES: dict[PlainCodec, Callable[[bytes], NDArray[np.int16]]] = {
    "pcm_s16le": lambda data: np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False),
    "pcm_u8": lambda data: (np.frombuffer(data, dtype=np.uint8).astype(np.int16) - 128) << 8,
    "pcm_mulaw": lambda data: _MULAW[np.frombuffer(data, dtype=np.uint8)],
    "pcm_alaw": lambda data: _ALAW[np.frombuffer(data, dtype=np.uint8)],
}
