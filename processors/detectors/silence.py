"""Silences, and which of them the agent had asked for."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import Attributes, CodeRule
from processors.detectors.base.rule_detector import LANGUAGE_NOT_SUPPORTED
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.listening.intervals import length_ms, union
from processors.text.back_channel import is_back_channel
from processors.text.conversation import NO_SPEECH, says_something, why_no_times
from processors.text.languages import CHINESE_LANGUAGES
from processors.text.speech_rate import length_in_characters
from schemas.messages.finding import Finding
from schemas.messages.interval import Interval
from schemas.messages.transcript import Segment, Transcript

EXCUSED = CodeRule("silence", "excused_silence", version="2")
UNEXCUSED = CodeRule("silence", "unexcused_silence", version="2")

SILENCE_MS = 3_000
"""From here on a silence counts (as in Contact Lens)."""

ASKED_WITHIN_MS = 60_000
"""So long before a silence may the agent have asked to wait."""

LONG_SILENCE_MS = 10_000
"""From here on an unexcused silence weighs `medium`."""


_WORDS_FIT_MS = 500
"""The words that end a silence may be timed so much before voice activity."""

# Recognisers write 稍等 as 少等, 稍候 as 稍后 and 查询一下 as 查醒一下. No request is that the agent looks at something
# (我看一下), what was looked up already (帮您查到了), what is over (久等了) and what takes days (耐心等待三天).
_ASKS_TO_WAIT = re.compile(
    r"[稍少烧燒捎][等候]|[请請][您你]?稍[后後](?!再|[拨撥]|致)|稍[微作]等"
    r"|[请請您你].{0,4}等(?:一下|一[会會]|一等|等|下|[会會]|片刻)|耐心等(?!.{0,8}[天日周週])"
    r"|(?:不要|[别別]|勿)[挂掛]|保持(?:在[线線]|[线線]路)"
    r"|[帮幫给給为為替][您你].{0,3}(?:查[询詢]?|核[实實对對查]|[确確][认認])(?![询詢]|到|[过過]|了|好|完)"
    r"|我.{0,3}查[^了到过過]{0,2}下"
)

_APOLOGIZES = re.compile(
    r"抱歉|[对對]不起|不好意思|[久九]等|[见見][谅諒]|[谅諒]解|[感谢謝]{1,2}[您你]?的?(?:耐心)?(?:地|的)?等"
)
_LEADS_TO_A_REQUEST = re.compile(
    r"(?:那|我们|我們|我|[这這][边邊里裡]|再|[请請]|[您你]|[麻烦煩]+|就|先|[马馬]上|[来來]|[还還]|需要|得|要|[继繼][续續]|[帮幫给給为為]|[\W_])+$"
)
_LINE_CHECK = re.compile(
    r"[您你]好|喂|(?:[您你]?(?:[还還])?在)[吗嗎嘛]?|在不在|[听聽]得?[到见見]|能|那[个個]|[这這][个個]"
)
_ASKS_SOMETHING = re.compile(
    r"^\W*[请請][问問]|是不是|有没有|有沒有|是否|(?:[吗嗎呢嘛么]|多少|什[么麼]|哪[个個里裡儿位]|[几幾][位号號点點])[啊呀]?\W*$"
)
_SENTENCES = re.compile(r"[^，,。．｡！!？?；;…\n]+[？?]?")
_ANSWER_CHARACTERS = 2
"""A statement of so many characters is an answer: 有货, 查到了."""


@dataclass(frozen=True)
class _Ask:
    """Where and when the agent asked to wait."""

    at_ms: int
    segment: Segment
    start: int
    end: int


class SilenceDetector:
    """Silences of at least 3 s between the first and the last speech, and whether they are excused.

    `non_talk_ms` adds them up, `longest_silence_ms` is the longest stretch in which nobody speaks, however short.
    A silence is excused when it begins at most 60 s after the agent asked to wait, and when the next words, signs of
    listening left out, are the agent's, and are an apology or an answer: a statement. To ask whether the customer is
    there, to ask anything else, or to ask to wait once more is neither. `excused_silences`, `excused_silence_ms`,
    `unexcused_silences` and `unexcused_silence_ms` count and add up; they are not measured where nobody knows who
    speaks (also where there is no silence, or such calls would be counted only when they are good), nor in a language
    in which asking is not recognised. Without times nothing is measured (`no_times`).

    Findings: `excused_silence`, with what the agent said as quote, `segment_id`, `match_start` and `match_end`;
    `unexcused_silence`. Both are of role `unknown` (nobody speaks) and have the attributes `silence_ms`,
    `spoke_before` and `spoke_after`, the roles who spoke last and next.
    """

    name: ClassVar[str] = "silence"
    measures: ClassVar[tuple[str, ...]] = (
        *("non_talk_ms", "longest_silence_ms"),
        *("excused_silences", "excused_silence_ms", "unexcused_silences", "unexcused_silence_ms"),
    )
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    def process(self, context: CallContext) -> Iterable[Result]:
        transcript = context.transcript
        reason = context.why_not_told_apart
        if reason == NO_SPEECH:
            return [NotMeasured(measure, reason) for measure in self.measures]
        if (untimed := why_no_times(transcript)) is not None:
            return [NotMeasured(measure, untimed) for measure in self.measures]
        gaps = _gaps(transcript)
        silences = [Interval(start_ms=start, end_ms=end) for start, end in gaps if end - start >= SILENCE_MS]
        longest_ms = max((end - start for start, end in gaps), default=0)
        measured = [Measure("non_talk_ms", length_ms(silences)), Measure("longest_silence_ms", longest_ms)]
        if reason is None and transcript.language not in CHINESE_LANGUAGES:
            reason = LANGUAGE_NOT_SUPPORTED
        if reason is not None:
            return [*measured, *(NotMeasured(measure, reason) for measure in self.measures[2:])]
        return [*measured, *of_sides(context, _judge(transcript, silences))]


def _gaps(transcript: Transcript) -> list[tuple[int, int]]:
    """Start and end in ms of where nobody speaks, between the first and the last speech."""
    spoken = [interval for speech in transcript.speech.values() for interval in speech]
    speech = union(spoken or transcript.segments)
    return [(one.end_ms, other.start_ms) for one, other in pairwise(speech)]


def _judge(transcript: Transcript, silences: Sequence[Interval]) -> Iterator[Result]:
    """A finding for each silence, and how many and how long they are."""
    asks = list(_asks(transcript)) if silences else []
    starts_ms = [segment.start_ms for segment in transcript.segments]
    excused: list[Interval] = []
    unexcused: list[Interval] = []
    for silence in silences:
        ask = _ask_before(silence, asks)
        following = _words_after(silence, transcript, starts_ms)
        if ask is not None and following is not None and _closes(following, transcript):
            excused.append(silence)
        else:
            unexcused.append(silence)
            ask = None
        yield _finding(transcript, silence, ask, _words_before(silence, transcript, starts_ms), following)
    for name, found in (("excused", excused), ("unexcused", unexcused)):
        yield Measure(f"{name}_silences", len(found))
        yield Measure(f"{name}_silence_ms", length_ms(found))


def _asks(transcript: Transcript) -> Iterator[_Ask]:
    """Where the agent asks to wait, in order; in each segment the last place."""
    for segment in transcript.segments:
        matches = list(_ASKS_TO_WAIT.finditer(segment.text)) if segment.role == "agent" else []
        if matches:
            start, end = matches[-1].span()
            at_ms = segment.start_ms + (segment.end_ms - segment.start_ms) * end // len(segment.text)
            yield _Ask(at_ms, segment, start, end)


def _ask_before(silence: Interval, asks: Sequence[_Ask]) -> _Ask | None:
    """The last request that began before the silence, if it is recent enough."""
    place = bisect_left(asks, silence.start_ms, key=lambda ask: ask.segment.start_ms)
    ask = asks[place - 1] if place else None
    return ask if ask is not None and silence.start_ms - ask.at_ms <= ASKED_WITHIN_MS else None


def _words_after(silence: Interval, transcript: Transcript, starts_ms: Sequence[int]) -> Segment | None:
    """The first segment after the silence that says more than that somebody listens."""
    for place in range(bisect_left(starts_ms, silence.end_ms - _WORDS_FIT_MS), len(starts_ms)):
        segment = transcript.segments[place]
        if says_something(segment):
            return segment
    return None


def _closes(first: Segment, transcript: Transcript) -> bool:
    """Whether the agent apologises or answers, from this segment on until somebody else says something."""
    if first.role != "agent":
        return False
    said = [first]
    for segment in transcript.segments[first.segment_id + 1 :]:
        if segment.start_ms - said[-1].end_ms >= SILENCE_MS or (segment.role != "agent" and says_something(segment)):
            break
        if segment.role == "agent":
            said.append(segment)
    text = "，".join(segment.text for segment in said)
    return _APOLOGIZES.search(text) is not None or _answers(text)


def _answers(text: str) -> bool:
    """Whether anything is stated. What follows a request to wait is what the wait is for."""
    asked = _ASKS_TO_WAIT.search(text)
    if asked is not None:
        text = _LEADS_TO_A_REQUEST.sub("", text[: asked.start()])
    return any(
        length_in_characters(_LINE_CHECK.sub("", sentence)) >= _ANSWER_CHARACTERS
        for sentence in _SENTENCES.findall(text)
        if not (_ASKS_SOMETHING.search(sentence) or sentence.endswith(("?", "？")) or is_back_channel(sentence))
    )


def _words_before(silence: Interval, transcript: Transcript, starts_ms: Sequence[int]) -> Segment | None:
    """The last segment that began before the silence."""
    place = bisect_right(starts_ms, silence.start_ms)
    return transcript.segments[place - 1] if place else None


def _finding(
    transcript: Transcript,
    silence: Interval,
    ask: _Ask | None,
    spoke_before: Segment | None,
    spoke_after: Segment | None,
) -> Finding:
    silence_ms = silence.end_ms - silence.start_ms
    place = f"{silence.start_ms}-{silence.end_ms}"
    attributes: Attributes = {
        "silence_ms": silence_ms,
        "spoke_before": spoke_before.role if spoke_before else "unknown",
        "spoke_after": spoke_after.role if spoke_after else "unknown",
    }
    if ask is None:
        return UNEXCUSED.finding(
            transcript,
            place,
            role="unknown",
            start_ms=silence.start_ms,
            end_ms=silence.end_ms,
            severity="medium" if silence_ms >= LONG_SILENCE_MS else "low",
            attributes=attributes,
        )
    return EXCUSED.finding(
        transcript,
        place,
        role="unknown",
        start_ms=silence.start_ms,
        end_ms=silence.end_ms,
        severity="info",
        attributes=attributes | {"segment_id": ask.segment.segment_id, "match_start": ask.start, "match_end": ask.end},
        quote=ask.segment.text,
        matched=ask.segment.text[ask.start : ask.end],
    )


def detector(_context: DetectorContext) -> SilenceDetector:
    """The detector; it needs nothing from the context."""
    return SilenceDetector()
