"""Whether the agent won back a customer who had turned negative (R48)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import CodeRule
from processors.detectors.base.sentiment import SegmentWithEmotion, place_of, segments_with_emotion, why_no_emotion
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.text.conversation import says_something
from processors.text.speech_rate import length_in_characters
from schemas.messages.finding import Finding
from schemas.messages.transcript import Segment, Transcript

NEGATIVE_RUN = CodeRule("emotion_coping", "negative_run", version="2")

NO_NEGATIVE_RUN = "no_negative_run"


@dataclass(frozen=True)
class CopingParameters:
    """What R48 leaves open. A segment is negative at a valence of at most `negative_valence`; those in a row are a run
    once they hold `run_characters` Chinese characters or last `run_ms` of speech, in however many segments a recogniser
    cuts them; `following_segments` (N) after the reply are compared; `least_rise` (d) is what counts."""

    negative_valence: float = -0.3
    run_characters: int = 6
    run_ms: int = 2_000
    following_segments: int = 3
    least_rise: float = 0.2


@dataclass(frozen=True)
class EmotionCopingDetector:
    """`emotion_coping` by R48: whether the customer's mean valence rises by d in the N segments after the reply.

    Of the first run of negative customer segments, those before the agent's first reply are compared with the N
    customer segments that begin after it; with fewer, as many as there are. The reply is the first agent segment that
    says more than back-channels and begins after the run has become one. Where the agent does not reply, or the
    customer says no more, nothing rises: false. Null where the customer never turns negative (`no_negative_run`):
    such calls are not in the denominator.

    One finding `negative_run`: `info` where the agent coped, `medium` otherwise. `attributes`: `segment_id`,
    `last_segment_id` (of the run before the reply), `valence_before`, and where there are any `reply_segment_id`,
    `valence_after`; `match_start` and `match_end` where there are words.
    """

    name: ClassVar[str] = "emotion_coping"
    measures: ClassVar[tuple[str, ...]] = ("emotion_coping",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    parameters: CopingParameters = CopingParameters()

    def process(self, context: CallContext) -> Iterable[Result]:
        transcript = context.transcript
        felt = segments_with_emotion(transcript, "customer")
        reason = why_no_emotion(context, felt)
        if reason is not None:
            return [NotMeasured("emotion_coping", reason)]
        run = self._first_run(felt)
        if run is None:
            return [NotMeasured("emotion_coping", NO_NEGATIVE_RUN)]
        reply = _first_reply(transcript, run[self._length_of_run(run) - 1].segment.end_ms)
        before = [each for each in run if reply is None or each.segment.start_ms < reply.start_ms]
        after = [] if reply is None else [each for each in felt if each.segment.start_ms >= reply.end_ms]
        after = after[: self.parameters.following_segments]
        coped = bool(after) and _valence(after) - _valence(before) >= self.parameters.least_rise
        measured = Measure("emotion_coping", coped)
        return of_sides(context, [_finding(transcript, before, reply, after, coped), measured])

    def _first_run(self, felt: Sequence[SegmentWithEmotion]) -> list[SegmentWithEmotion] | None:
        run: list[SegmentWithEmotion] = []
        for each in felt:
            if each.emotion.valence <= self.parameters.negative_valence:
                run.append(each)
            elif self._length_of_run(run):
                break
            else:
                run = []
        return run if self._length_of_run(run) else None

    def _length_of_run(self, negative: Sequence[SegmentWithEmotion]) -> int:
        """With how many of these segments, from the first on, a run is one; 0 where they are none."""
        characters = spoken_ms = 0
        for count, each in enumerate(negative, start=1):
            characters += length_in_characters(each.segment.text)
            spoken_ms += each.segment.end_ms - each.segment.start_ms
            if characters >= self.parameters.run_characters or spoken_ms >= self.parameters.run_ms:
                return count
        return 0


def _first_reply(transcript: Transcript, from_ms: int) -> Segment | None:
    for segment in transcript.segments:
        if segment.role == "agent" and segment.start_ms >= from_ms and says_something(segment):
            return segment
    return None


def _valence(felt: Sequence[SegmentWithEmotion]) -> float:
    return fmean(each.emotion.valence for each in felt)


def _finding(
    transcript: Transcript,
    before: Sequence[SegmentWithEmotion],
    reply: Segment | None,
    after: Sequence[SegmentWithEmotion],
    coped: bool,
) -> Finding:
    first, last = before[0].segment, before[-1].segment
    attributes = place_of(first)
    attributes |= {"last_segment_id": last.segment_id, "valence_before": round(_valence(before), 4)}
    if reply is not None:
        attributes["reply_segment_id"] = reply.segment_id
    if after:
        attributes["valence_after"] = round(_valence(after), 4)
    return NEGATIVE_RUN.finding(
        transcript,
        f"{first.segment_id}-{last.segment_id}",
        role="customer",
        start_ms=first.start_ms,
        end_ms=last.end_ms,
        severity="info" if coped else "medium",
        attributes=attributes,
        quote=first.text,
        matched=first.text,
    )


def detector(_context: DetectorContext) -> EmotionCopingDetector:
    """The detector, with the defaults of `CopingParameters`."""
    return EmotionCopingDetector()
