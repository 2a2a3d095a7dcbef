"""Packing short stretches of speech into windows of the length a recogniser works best with, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.listening.engine_port import SAMPLES_PER_MS, Samples, SpeechClip
from processors.listening.gain import level

# Measured with Whisper base on two-channel calls and read Mandarin: one clip in a full window costs three
# times as much, windows of both speakers put words into the wrong mouth, no silence in front loses first words.
WINDOW_MS = 15_000
LEAD_MS = 300
GAP_MS = 500
CONTEXT_MS = 100
NATURAL_PAUSE_MS = 800
"""A pause in the recording up to this long stays as it is, with the sound in it, instead of `GAP_MS` of silence."""


@dataclass(frozen=True)
class PackedClip:
    """A clip in a window: the position of the clip among all clips, and where in the window its sound begins.

    `before_ms` of the recording in front of the clip are heard as well.
    """

    index: int
    clip: SpeechClip
    offset_ms: int
    before_ms: int

    @property
    def end_offset_ms(self) -> int:
        """Where the sound of a clip ends within the window."""
        return self.offset_ms + self.clip.end_ms - self.clip.start_ms


@dataclass(frozen=True)
class ClipWindow:
    """Clips of one channel, one after the other, with silence in front, between and behind."""

    places: tuple[PackedClip, ...]

    @property
    def duration_ms(self) -> int:
        """Length of the window, the silence behind the last clip included."""
        return self.places[-1].end_offset_ms + GAP_MS

    def samples(self) -> Samples:
        """The sound of the window as a recogniser hears it: its speech at one level (`processors.listening.gain`)."""
        return level(self.recorded_samples())

    def recorded_samples(self) -> Samples:
        """The sound of the window; each clip with a little of what lies around it in the recording."""
        window = np.zeros(self.duration_ms * SAMPLES_PER_MS, dtype=np.float32)
        for place in self.places:
            sound = place.clip.sound.samples(place.clip.start_ms - place.before_ms, place.clip.end_ms + CONTEXT_MS)
            start = (place.offset_ms - place.before_ms) * SAMPLES_PER_MS
            window[start : start + len(sound)] = sound
        return window

    def place_of(self, start_ms: int, end_ms: int) -> PackedClip:
        """The clip to which a word at this time of the window belongs: the one it overlaps most, else the nearest."""

        def fit(place: PackedClip) -> int:
            return min(end_ms, place.end_offset_ms) - max(start_ms, place.offset_ms)

        return max(self.places, key=fit)


def pack(clips: Sequence[SpeechClip]) -> list[ClipWindow]:
    """Windows that hold every clip once, each of one channel, in the order of the recording within a channel.

    A window is at most `WINDOW_MS` long unless a single clip is longer.
    """
    windows: list[ClipWindow] = []
    for channel in sorted({clip.channel for clip in clips}):
        places: list[PackedClip] = []
        for index, clip in enumerate(clips):
            if clip.channel != channel:
                continue
            place = _follow(places[-1], index, clip) if places else PackedClip(index, clip, LEAD_MS, CONTEXT_MS)
            if places and place.end_offset_ms + GAP_MS > WINDOW_MS:
                windows.append(ClipWindow(tuple(places)))
                places, place = [], PackedClip(index, clip, LEAD_MS, CONTEXT_MS)
            places.append(place)
        windows.append(ClipWindow(tuple(places)))
    return windows


def alone(index: int, clip: SpeechClip) -> ClipWindow:
    """A window with nothing but one clip."""
    return ClipWindow((PackedClip(index, clip, LEAD_MS, CONTEXT_MS),))


def _follow(previous: PackedClip, index: int, clip: SpeechClip) -> PackedClip:
    pause_ms = clip.start_ms - previous.clip.end_ms
    if 0 <= pause_ms <= NATURAL_PAUSE_MS:
        return PackedClip(index, clip, previous.end_offset_ms + pause_ms, pause_ms)
    return PackedClip(index, clip, previous.end_offset_ms + GAP_MS, CONTEXT_MS)
