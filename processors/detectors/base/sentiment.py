"""How each side feels in the course of a call: its segments whose emotion is known."""

from dataclasses import dataclass

from processors.detectors.base.findings import Attributes
from processors.judging.call_context import CallContext
from schemas.messages.call_ended import Role
from schemas.messages.emotion import SegmentEmotion
from schemas.messages.transcript import Segment, Transcript

NO_EMOTION = "no_emotion"


@dataclass(frozen=True)
class SegmentWithEmotion:
    """A segment with its emotion."""

    segment: Segment
    emotion: SegmentEmotion


def segments_with_emotion(transcript: Transcript, role: Role) -> list[SegmentWithEmotion]:
    """The segments of one side whose emotion is known, in order. Those without are skipped and do not break a run."""
    return [
        SegmentWithEmotion(each, each.emotion)
        for each in transcript.segments
        if each.role == role and each.emotion is not None
    ]


def why_no_emotion(context: CallContext, felt: list[SegmentWithEmotion]) -> str | None:
    """Why nothing can be said of the emotion of a side; None where it can.

    `no_emotion` where none of its segments has one, and what `CallContext.why_not_told_apart` says.
    """
    return context.why_not_told_apart or (None if felt else NO_EMOTION)


def place_of(segment: Segment) -> Attributes:
    """Attributes that point to a whole segment, and to its words if it has any."""
    words: Attributes = {"match_start": 0, "match_end": len(segment.text)} if segment.text else {}
    return {"segment_id": segment.segment_id} | words
