"""What of a recording is muted for who may not hear personal data (R72), and how. Pure, the same every time.

What was masked in the text is muted in the sound. Words are timed by the recogniser to about a tenth of a second, so
there is a margin on either side. All channels are muted: on a telephone line one side is heard on the other, too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from processors.listening.virtual_wav import SoundFrames
from processors.pii.masking import PLACEHOLDER_OF
from schemas.messages.interval import Interval
from schemas.messages.pii import PiiSpan
from schemas.messages.transcript import EngineIdentity, Segment, Transcript

MARGIN_MS = 250
"""So much more is muted before and after what was said."""

JOINED_MS = 1_000
"""Stretches with less than this between them are one: what stands between two parts of a number is seldom else."""

LEAST_UNHEARD_MS = 300
"""Speech of at least this length of which no text came is muted: nobody knows what it is."""

TONE_HZ = 400
TONE_PEAK = 1_000
"""Of 32,767: about -30 dB, to be heard and not to hurt."""
FADE_MS = 10

MUTING_VERSION = "1"
"""Part of what tells two virtual recordings apart: raise it with whatever changes a muted byte."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WhyNotMuted = Literal["not_heard_yet", "not_analyzed", "times_unknown"]


class NotMutableError(Exception):
    """It is not known what to mute, so that who may not hear all may hear nothing. `reason` says why."""

    def __init__(self, reason: WhyNotMuted) -> None:
        self.reason: WhyNotMuted = reason
        super().__init__(reason)


class MutingChangedError(Exception):
    """What would be muted now is not what was approved."""


def muting_id(transcribed_ms: int) -> str:
    """Which stretches of a recording are muted, and how: the version of this module, and of the transcript that says
    where personal data was said, by when it was made (ms since 1970).
    """
    return f"{MUTING_VERSION}:{transcribed_ms}"


def muting_of(transcript: Transcript) -> str:
    """The `muting_id` of the recording that this is the transcript of."""
    return muting_id((transcript.transcribed_at - _EPOCH) // timedelta(milliseconds=1))


def why_not_mutable(outcome: str | None, engine: EngineIdentity) -> WhyNotMuted | None:
    """Why the transcript with this outcome, of this engine, does not say what to mute; None where it does."""
    if outcome is not None:
        return "not_analyzed"
    return None if engine.knows_times else "times_unknown"


@dataclass(frozen=True)
class MutedStretch:
    """From `start_ms` to `end_ms` (exclusive) nothing is heard but a tone."""

    start_ms: int
    end_ms: int


_PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(map(re.escape, (*PLACEHOLDER_OF.values(), '号码')))})(?::\d{{1,4}})?\]")


def muted_stretches(transcript: Transcript | None) -> tuple[MutedStretch, ...]:
    """What is muted of a recording, in order, apart from each other. Raises `NotMutableError`.

    Where a segment has words, of each masked stretch from the first to the last of them; where it has none, all of it.
    What was recognised and not believed is muted where digits or names stood in it, and so is speech without text.
    """
    if transcript is None:
        raise NotMutableError("not_heard_yet")
    if (why := why_not_mutable(transcript.outcome, transcript.engine)) is not None:
        raise NotMutableError(why)
    segments = {segment.segment_id: segment for segment in transcript.segments}
    found: list[tuple[int, int]] = []
    for span in transcript.pii:
        segment = segments.get(span.segment_id)
        found.append((span.start_ms, span.end_ms) if segment is None else _around(segment, span))
    found += [(each.start_ms, each.end_ms) for each in transcript.rejected if _PLACEHOLDER.search(each.text)]
    found += _unheard(transcript)
    return _joined((max(0, start - MARGIN_MS), end + MARGIN_MS) for start, end in found)


def _around(segment: Segment, span: PiiSpan) -> tuple[int, int]:
    """From when to when: with a word of one character on either side, which may be a digit that was misheard."""
    if not segment.words:
        return min(segment.start_ms, span.start_ms), max(segment.end_ms, span.end_ms)
    start_ms, end_ms = span.start_ms, span.end_ms
    before = [word for word in segment.words if word.end_ms <= span.start_ms]
    behind = [word for word in segment.words if word.start_ms >= span.end_ms]
    if before and len(before[-1].text.strip()) == 1 and span.start_ms - before[-1].end_ms < MARGIN_MS:
        start_ms = before[-1].start_ms
    if behind and len(behind[0].text.strip()) == 1 and behind[0].start_ms - span.end_ms < MARGIN_MS:
        end_ms = behind[0].end_ms
    return start_ms, end_ms


def _unheard(transcript: Transcript) -> Iterator[tuple[int, int]]:
    """Speech of which there is no text, neither believed nor rejected."""
    known = _merged([(each.start_ms, each.end_ms) for each in (*transcript.segments, *transcript.rejected)], apart_ms=0)
    for spoken in _all_speech(transcript.speech.values()):
        at = spoken.start_ms
        for start, end in known:
            if end <= at or start >= spoken.end_ms:
                continue
            if start - at >= LEAST_UNHEARD_MS:
                yield at, start
            at = max(at, end)
        if spoken.end_ms - at >= LEAST_UNHEARD_MS:
            yield at, spoken.end_ms


def _all_speech(roles: Iterable[Sequence[Interval]]) -> Iterator[Interval]:
    for intervals in roles:
        yield from intervals


def _joined(found: Iterable[tuple[int, int]]) -> tuple[MutedStretch, ...]:
    return tuple(MutedStretch(start, end) for start, end in _merged(found, JOINED_MS) if end > start)


def _merged(found: Iterable[tuple[int, int]], apart_ms: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start - merged[-1][1] <= apart_ms:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


@dataclass(frozen=True)
class Muter:
    """Mutes stretches of one recording, whatever part of it is asked for, to the same samples."""

    stretches: tuple[MutedStretch, ...]
    rate_hz: int

    def mute(self, pcm: SoundFrames, first: int) -> SoundFrames:
        """Samples from frame `first` on, muted; the same array where nothing is."""
        fade = max(1, self.rate_hz * FADE_MS // 1000)
        behind = first + len(pcm)
        muted = pcm
        for stretch in self.stretches:
            start = stretch.start_ms * self.rate_hz // 1000
            end = -(-stretch.end_ms * self.rate_hz // 1000)
            if end + fade <= first or start - fade >= behind:
                continue
            if muted is pcm:
                muted = pcm.copy()
            self._mute_one(muted, first, start, end, fade)
        return muted

    def _mute_one(self, pcm: SoundFrames, first: int, start: int, end: int, fade: int) -> None:
        """The sound fades out before the stretch and in behind it; within, not a sample of it is left."""
        begin, behind = max(first, start - fade), min(first + len(pcm), end + fade)
        frames = np.arange(begin, behind, dtype=np.int64)
        outside = np.maximum(start - frames, frames - end + 1).clip(0, fade)
        within = np.minimum(frames - start + 1, end - frames).clip(0, fade)
        kept = pcm[begin - first : behind - first].astype(np.int64) * outside[:, np.newaxis] // fade
        tone = _tone(self.rate_hz)
        added = tone[frames % len(tone)] * within // fade
        pcm[begin - first : behind - first] = (kept + added[:, np.newaxis]).clip(-32768, 32767).astype(np.int16)


@cache
def _tone(rate_hz: int) -> NDArray[np.int64]:
    """Whole periods of the tone."""
    length = rate_hz // gcd(rate_hz, TONE_HZ)
    period: NDArray[np.int64] = np.rint(TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * np.arange(length) / rate_hz)).astype(
        np.int64
    )
    return period
