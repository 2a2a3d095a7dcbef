"""A recording as a WAV file that nobody has written: any range of its bytes, made when it is asked for.

16-bit PCM with the channels and the rate of the recording. How long it is is known before anything is decoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import pack

import numpy as np
from numpy.typing import NDArray

SoundFrames = NDArray[np.int16]
"""Samples of the shape (frames, channels)."""

HEADER_BYTES = 44
MOST_BYTES = 2**32 - 1
"""What a WAV file can say of its length."""


@dataclass(frozen=True)
class WavShape:
    """Rate in Hz, channels, and how many samples each channel has."""

    rate_hz: int
    channels: int
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Of one sample of every channel."""
        return 2 * self.channels

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return HEADER_BYTES + self.frames * self.frame_bytes

    @property
    def fits(self) -> bool:
        """Whether there can be such a file."""
        return self.size_bytes <= MOST_BYTES

    def header(self) -> bytes:
        """What the file begins with."""
        data = self.frames * self.frame_bytes
        kind = pack("<4sIHHIIHH", b"fmt ", 16, 1, self.channels, self.rate_hz, self.rate_hz * self.frame_bytes,
                    self.frame_bytes, 16)  # fmt: skip
        return pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + data, b"WAVE") + kind + pack("<4sI", b"data", data)

    def byte_at(self, ms: int) -> int:
        """Where the sound of a time begins; the end of the file for a time behind it."""
        return HEADER_BYTES + min(self.frames, ms * self.rate_hz // 1000) * self.frame_bytes


@dataclass(frozen=True)
class VirtualWav:
    """`sound(first, count)` returns so many frames from `first`, which there are; they may be muted already."""

    shape: WavShape
    sound: Callable[[int, int], SoundFrames]

    def read(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`, fewer where the file ends. Raises `ValueError` and what `sound` does."""
        if start < 0 or length < 0:
            raise ValueError("start and length of a range are not negative")
        end = min(self.shape.size_bytes, start + length)
        if start >= end:
            return b""
        head = self.shape.header()[start:end]
        if end <= HEADER_BYTES:
            return head
        step = self.shape.frame_bytes
        begin, behind = max(0, start - HEADER_BYTES), end - HEADER_BYTES
        first, last = begin // step, -(-behind // step)
        data = np.ascontiguousarray(self.sound(first, last - first), dtype="<i2").tobytes()
        return head + data[begin - first * step : behind - first * step]
