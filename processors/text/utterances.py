"""Utterances: speech of one speaker, rejoined where the recogniser cut it, with the way back to times."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

from processors.text.normalized_text import NormalizedText, normalize
from processors.text.remembered import remembered
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Segment, Word

SHORT_GAP_MS = 1_000
"""Segments of one speaker with at most this much between them are read as one text."""

MAX_QUOTE_LETTERS = 60
"""A sentence reaches at most this far to either side of what is quoted: recognisers forget full stops."""

_SENTENCE_END = re.compile(r"[。．｡！!？?；;…\n]")
_CLAUSE_ENDS = "，,、：: "
_SPACE = re.compile(r"\s")
_START_MS, _END_MS = attrgetter("start_ms"), attrgetter("end_ms")


@dataclass(frozen=True)
class SegmentSpan:
    """Characters `start` to `end` of the text of one segment. Where more follows in later segments, `last_segment_id`
    and `last_end` say where it ends; otherwise they repeat the segment and its end."""

    segment_id: int
    start: int
    end: int
    last_segment_id: int
    last_end: int


class _AlignedWords(NamedTuple):
    """Words with the characters `starts[i]` to `ends[i]` of the text of their segment."""

    words: Sequence[Word]
    starts: Sequence[int]
    ends: Sequence[int]


@dataclass(frozen=True)
class Utterance:
    """Consecutive segments of one role and channel; offsets are those of `text`."""

    role: Role
    segments: tuple[Segment, ...]

    @remembered
    def text(self) -> str:
        """The texts of the segments, one after the other."""
        return "".join(segment.text for segment in self.segments)

    @remembered
    def normalized(self) -> NormalizedText:
        """The text as the matchers read it."""
        return normalize(self.text)

    @remembered
    def _starts(self) -> list[int]:
        starts, offset = [], 0
        for segment in self.segments:
            starts.append(offset)
            offset += len(segment.text)
        return starts

    @remembered
    def clause_starts(self) -> list[int]:
        """The letters of the normalized text with which clauses begin: after a mark, or a pause between segments."""
        paused = (self.normalized.letters_of(start, start)[0] for start in self._starts)
        return sorted({*self.normalized.clause_starts, *paused})

    def place(self, start: int, end: int) -> SegmentSpan:
        """The segments that characters `start` to `end` are in."""
        first, last = self._segment_at(start), self._segment_at(end - 1)
        segment, last_segment = self.segments[first], self.segments[last]
        last_end = end - self._starts[last]
        return SegmentSpan(
            segment.segment_id,
            start - self._starts[first],
            last_end if first == last else len(segment.text),
            last_segment.segment_id,
            last_end,
        )

    def time_ms(self, start: int, end: int) -> tuple[int, int]:
        """When characters `start` to `end` were said: by the words that hold them, else by their share of the text."""
        begin_ms, _ = self._time_of(start)
        _, end_ms = self._time_of(end - 1)
        return begin_ms, max(begin_ms, end_ms)

    @remembered
    def bounds_ms(self) -> tuple[int, int]:
        """Earliest start and latest end of anything in it, in ms."""
        times = [time for segment in self.segments for time in (segment, *segment.words)]
        return min(map(_START_MS, times)), max(map(_END_MS, times))

    @remembered
    def _words(self) -> dict[int, _AlignedWords]:
        """Position of a segment → its words with their places, once somebody asks for the time of one."""
        return {}

    def _time_of(self, offset: int) -> tuple[int, int]:
        """Start and end of one character."""
        number = self._segment_at(offset)
        segment = self.segments[number]
        offset -= self._starts[number]
        aligned = self._words.get(number)
        if aligned is None:
            aligned = self._words[number] = _aligned_words(segment)
        place = bisect_right(aligned.starts, offset) - 1
        if place >= 0 and offset < aligned.ends[place]:
            return aligned.words[place].start_ms, aligned.words[place].end_ms
        length_ms = segment.end_ms - segment.start_ms
        letters = max(1, len(segment.text))
        return (
            segment.start_ms + length_ms * offset // letters,
            segment.start_ms + length_ms * (offset + 1) // letters,
        )

    def quote(self, start: int, end: int) -> str:
        """The sentence around characters `start` to `end`; of a very long one its nearest clauses."""
        return self.text[self._quote_start(start) : self._quote_end(end)].strip()

    @remembered
    def _sentence_ends(self) -> list[int]:
        return [mark.start() for mark in _SENTENCE_END.finditer(self.text)]

    def _quote_start(self, start: int) -> int:
        earliest = max(0, start - MAX_QUOTE_LETTERS)
        ends = self._sentence_ends
        before = bisect_left(ends, start)
        if before and ends[before - 1] >= earliest:
            return ends[before - 1] + 1
        if earliest == 0:
            return 0
        clauses = [place for mark in _CLAUSE_ENDS if (place := self.text.find(mark, earliest, start)) >= 0]
        return min(clauses) + 1 if clauses else earliest

    def _quote_end(self, end: int) -> int:
        latest = min(len(self.text), end + MAX_QUOTE_LETTERS)
        ends = self._sentence_ends
        behind = bisect_left(ends, end)
        if behind < len(ends) and ends[behind] < latest:
            return ends[behind] + 1
        if latest == len(self.text):
            return latest
        return max(self.text.rfind(mark, end, latest) for mark in _CLAUSE_ENDS) + 1 or latest

    def _segment_at(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1


def utterances(segments: Iterable[Segment], role: Role) -> Iterator[Utterance]:
    """The speech of one role, channel by channel, segments joined over short gaps; segments without text left out.

    An unknown speaker may be another one in each segment, so those are not joined.
    """
    by_channel: dict[int, list[Segment]] = {}
    for segment in segments:
        if segment.role == role and segment.text:
            by_channel.setdefault(segment.channel, []).append(segment)
    for channel in sorted(by_channel):
        joined: list[Segment] = []
        for segment in by_channel[channel]:
            if joined and (role == "unknown" or segment.start_ms - joined[-1].end_ms > SHORT_GAP_MS):
                yield Utterance(role, tuple(joined))
                joined = []
            joined.append(segment)
        yield Utterance(role, tuple(joined))


def _aligned_words(segment: Segment) -> _AlignedWords:
    """Words with their position in the text; a word that is not where it should be is skipped."""
    texts = [word.text for word in segment.words]
    if texts and "".join(texts) == segment.text and all(texts) and not _SPACE.search(segment.text):
        ends = list(accumulate(map(len, texts)))
        return _AlignedWords(segment.words, [0, *ends[:-1]], ends)
    found: list[tuple[Word, int, int]] = []
    offset = 0
    for word, text in zip(segment.words, map(str.strip, texts), strict=True):
        start = segment.text.find(text, offset, offset + 2 * len(text) + 8) if text else -1
        if start >= 0:
            offset = start + len(text)
            found.append((word, start, offset))
    return _AlignedWords([word for word, _, _ in found], [start for _, start, _ in found], [end for _, _, end in found])
