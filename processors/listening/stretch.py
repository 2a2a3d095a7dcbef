"""A stretch of a coded recording, decoded from near its beginning instead of from the start of the file.

A stretch is always decoded from the same bytes, so that the same samples come out of it whoever asks for which part.
"""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from processors.listening.audio import OpenedRecording, UnhearableError
from processors.listening.virtual_wav import SoundFrames

STRETCH_MS = 2_000
LEAD_IN_MS = 500
"""So long before the stretch decoding begins: decoders need some sound until theirs is that of the whole file."""

SEEKABLE_CONTAINERS = frozenset({"mp3", "flac", "amr"})
SEEKABLE_CODECS = frozenset({"opus", "libopus"})
"""Of others, such as MP4, parts of a file are no file: they are decoded from their start."""
MOST_HEAD_BYTES = 1024 * 1024


@dataclass(frozen=True)
class SeekPiece:
    """Bytes to decode a stretch from: the head of the file, `[0, head)`, and `[start, end)`; this begins at `at_ms`."""

    head: int
    start: int
    end: int
    at_ms: int


@dataclass(frozen=True)
class SeekIndex:
    """Where to begin to read for a time, as `processors.listening.renditions` makes it: `(ms, byte)`, both rising."""

    points: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, stored: bytes) -> "SeekIndex | None":
        """None for what does not serve. Never raises."""
        try:
            read = json.loads(stored)
            points = tuple((int(ms), int(byte)) for ms, byte in read["points"])
        except (ValueError, TypeError, KeyError):
            return None
        rises = all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(points))
        usable = rises and len(points) > 1 and points[0][0] == 0 and 0 <= points[0][1] <= MOST_HEAD_BYTES
        return cls(points) if usable else None

    def piece(self, start_ms: int, end_ms: int, size_bytes: int) -> SeekPiece:
        """What a stretch is decoded from, in a file of that size."""
        at = max(0, bisect_right(self.points, (max(0, start_ms - LEAD_IN_MS), size_bytes)) - 1)
        behind = bisect_right(self.points, (end_ms + LEAD_IN_MS, size_bytes))
        at_ms, start = self.points[at]
        end = self.points[behind][1] if behind < len(self.points) else size_bytes
        return SeekPiece(self.points[0][1], start, max(start, min(end, size_bytes)), at_ms)


def decode_stretch(parts: Sequence[bytes], at_ms: int, first: int, count: int, channels: int) -> SoundFrames:
    """Frames `first` to `first + count` of a recording of which `parts`, its head and a piece, begin at `at_ms`.

    Shape (count, channels); what is not there is silence. Raises `UnhearableError`, also where the recording has
    another number of channels than it was said to have.
    """
    sound: SoundFrames = np.zeros((count, channels), dtype=np.int16)
    with OpenedRecording(b"".join(parts)) as reader:
        if reader.channels != channels:
            raise UnhearableError("bad_audio", "undecodable")
        for begin, block in reader.blocks_from(at_ms):
            if begin >= first + count:
                break
            start, end = max(first, begin), min(first + count, begin + block.shape[1])
            if start < end:
                sound[start - first : end - first] = block[:, start - begin : end - begin].T
    return sound
