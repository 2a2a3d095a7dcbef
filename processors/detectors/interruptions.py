"""Who cuts whom off, and who only shows attention (R43)."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import Attributes, CodeRule
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.text.conversation import ONE_CHANNEL, Conversation, Turn
from schemas.messages.call_ended import Role
from schemas.messages.finding import Finding, Severity
from schemas.messages.transcript import Transcript

INTERRUPTION = CodeRule("interruptions", "interruption", version="1")

MAX_QUOTE_CHARACTERS = 120

_SIDES: tuple[Role, ...] = ("agent", "customer")
_SEVERITY: dict[Role, Severity] = {"agent": "medium", "customer": "low"}


class InterruptionsDetector:
    """One finding for each interruption by R43, and what share of a side's turns interrupts.

    Per side: `…_turns` counts its turns and `…_interruptions` those of them that interrupt, `…_interruption_rate`
    divides one by the other (null without any: `no_turns`), `…_back_channels` counts its back-channels. `overlap_ms` is
    how long both speak at once. Nothing is measured where the sides are not told apart, nor without times
    (`no_times`), nor on one channel whose speakers the event does not name (`one_channel`).

    `role` of a finding is who interrupts, `quote` what is said then. `attributes`: `overlap_ms`; `segment_id`,
    `match_start`, `match_end` of it, with `last_segment_id` where it goes on in later segments.
    """

    name: ClassVar[str] = "interruptions"
    measures: ClassVar[tuple[str, ...]] = (
        *("agent_turns", "agent_interruptions", "agent_interruption_rate", "agent_back_channels"),
        *("customer_turns", "customer_interruptions", "customer_interruption_rate", "customer_back_channels"),
        "overlap_ms",
    )
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    def process(self, context: CallContext) -> Iterable[Result]:
        found = context.conversation
        reason = context.why_not_timed or (ONE_CHANNEL if found.overlap_ms is None else None)
        if reason is not None:
            return [NotMeasured(measure, reason) for measure in self.measures]
        return [
            *(_finding(context.transcript, turn) for turn in found.turns if turn.is_interruption),
            *(result for role in _SIDES for result in of_sides(context, _side(found, role))),
            Measure("overlap_ms", found.overlap_ms),
        ]


def _side(found: Conversation, role: Role) -> Iterator[Measure | NotMeasured]:
    turns = found.turns_of(role)
    interruptions = sum(turn.is_interruption for turn in turns)
    yield Measure(f"{role}_turns", len(turns))
    yield Measure(f"{role}_interruptions", interruptions)
    if turns:
        yield Measure(f"{role}_interruption_rate", round(interruptions / len(turns), 4))
    else:
        yield NotMeasured(f"{role}_interruption_rate", "no_turns")
    yield Measure(f"{role}_back_channels", sum(sound.role == role for sound in found.back_channels))


def _finding(transcript: Transcript, turn: Turn) -> Finding:
    utterance = turn.utterances[0]
    first, last = utterance.segments[0], utterance.segments[-1]
    quote = utterance.text[:MAX_QUOTE_CHARACTERS]
    attributes: Attributes = {
        "overlap_ms": turn.overlap_ms,
        "segment_id": first.segment_id,
        "match_start": 0,
        "match_end": min(len(first.text), MAX_QUOTE_CHARACTERS),
    }
    if last is not first:
        attributes["last_segment_id"] = last.segment_id
    return INTERRUPTION.finding(
        transcript,
        f"{turn.role}:{first.segment_id}",
        role=turn.role,
        start_ms=first.start_ms,
        end_ms=last.end_ms,
        severity=_SEVERITY[turn.role],
        attributes=attributes,
        quote=quote,
        matched=quote,
    )


def detector(_context: DetectorContext) -> InterruptionsDetector:
    """The detector; it needs nothing from the context."""
    return InterruptionsDetector()
